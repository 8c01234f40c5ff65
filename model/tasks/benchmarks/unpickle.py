"""Safe reader of the pickles of benchmarks.

It runs nothing that a pickle may hold.

Pickles of numpy 1 (`numpy.core`) and of numpy 2 (`numpy._core`) are read alike, whichever of the
two is installed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ....core.errors import InputError
from ....core.untrusted import open_regular, shown
from ...weights.pickles import PlainUnpickler, Refused, why

__all__ = ["read_pickle"]


def read_pickle(path: Path) -> Any:
    """Read a pickle of arrays and plain containers.

    Parameters
    ----------
    path : the file; pickled by Python 2 or 3, with numpy 1 or 2

    Returns
    -------
    content : numbers, text, bytes, None, tuples, lists, dictionaries, sets, numpy arrays and
        scalars

    Raises
    ------
    InputError : the file cannot be read, is damaged, or asks for anything else; names what it asks
        for
    """
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            return PlainUnpickler(file.read()).load()
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error.strerror or error}; get this file again"
        ) from None
    except Refused as error:
        raise InputError(
            f"{path} is refused: it asks for {shown(str(error))}, "
            f"and only arrays and plain containers are read, since "
            "a pickle can run any code; get the file from its authors again, "
            "or convert it with a program that you "
            "trust"
        ) from None
    except Exception as error:
        raise InputError(
            f"{path} is damaged or no pickle ({why(error)}): download it again"
        ) from None
