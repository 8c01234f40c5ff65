"""ShapeNet3D-CMA: RGB-D views, indexed point clouds, and CrossAlignNet.

The names of `__all__` are loaded when they are first used, so that importing the package loads
neither torch nor any other large library.

>>> import shapenet3d_cma as cma
>>> shards = cma.Shards("shards")  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the same names for type checkers and editors
    from .core.camera import Camera
    from .core.errors import InputError
    from .model.config import PretrainConfig
    from .model.network import CrossAlignNet
    from .model.patches import make_patches, normalise_cloud
    from .model.weights.encoder import load_encoder
    from .pack.reader import Shards
    from .reconstruct.backproject import back_project

__all__ = [
    "Camera",
    "CrossAlignNet",
    "InputError",
    "PretrainConfig",
    "Shards",
    "back_project",
    "load_encoder",
    "make_patches",
    "normalise_cloud",
]

__version__ = "0.1.0"

_MODULES = {
    "Camera": ".core.camera",
    "CrossAlignNet": ".model.network",
    "InputError": ".core.errors",
    "PretrainConfig": ".model.config",
    "Shards": ".pack.reader",
    "back_project": ".reconstruct.backproject",
    "load_encoder": ".model.weights.encoder",
    "make_patches": ".model.patches",
    "normalise_cloud": ".model.patches",
}
"""Where each name of `__all__` is defined."""


def __getattr__(name: str) -> Any:
    """Import a name of `__all__` when it is first used."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name], __name__), name)
    globals()[name] = value  # the next use finds it without this function
    return value


def __dir__() -> list[str]:
    """List the names of `__all__` beside those that are loaded."""
    return sorted({*globals(), *__all__})
