"""Output folders and files, which replace only what the program wrote.

A command writes into a folder that does not exist, is empty, or has this project's stamp for the
same kind of output. The folder's record, `.cma3d/`, holds the stamp and a journal: a line for each
file, with a digest of its content, written before the file takes its name. Only what the journal
lists, and is still as it was written, is replaced or removed. A single file is replaced only by one
of its own kind. All code that writes goes through this folder.

    .cma3d/stamp.json    the kind of output
    .cma3d/lock          held by who writes
    .cma3d/journal-*     what was written, a JSON object a line; each process has its own
    .cma3d/tmp/          what is being written: <journal>-<number>
"""

from __future__ import annotations

from .claims import claim
from .disk import HIDDEN, cannot_write
from .locks import reading
from .output_folder import Output
from .overlap import refuse_overlap
from .single_file import check_file, stamp_text, write_file, write_new

__all__ = [
    "HIDDEN",
    "Output",
    "cannot_write",
    "check_file",
    "claim",
    "reading",
    "refuse_overlap",
    "stamp_text",
    "write_file",
    "write_new",
]
