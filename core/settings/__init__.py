"""Settings of a stage: one dataclass, from command line and TOML.

A stage declares its fields once with `setting`; `options` turns them into click options,
`read_settings` merges defaults, a TOML file and the options given, and checks every value with the
same types.
"""

from .command_options import given_options, options
from .declaration import (
    as_toml,
    by_name,
    config_hash,
    from_names,
    identity_names,
    setting,
    setting_names,
)
from .toml_file import assignments, read_settings, read_toml
from .values import FOLDER, JOBS, JSON, FiniteRange, GivenPath, WholeRange

__all__ = [
    "FOLDER",
    "JOBS",
    "JSON",
    "FiniteRange",
    "GivenPath",
    "WholeRange",
    "as_toml",
    "assignments",
    "by_name",
    "config_hash",
    "from_names",
    "given_options",
    "identity_names",
    "options",
    "read_settings",
    "read_toml",
    "setting",
    "setting_names",
]
