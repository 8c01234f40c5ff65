"""Loaded by every Python of a command that is under audit: writes down what is written around `outputs`."""

import os
import sys

_LOG, _ROOT = os.environ.get("CMA3D_AUDIT_LOG"), os.environ.get("CMA3D_AUDIT_ROOT", "")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_EVENTS = {
    *(
        "os.rename",
        "os.remove",
        "os.rmdir",
        "os.mkdir",
        "os.link",
        "os.symlink",
        "os.truncate",
        "os.utime",
    ),
    *("shutil.rmtree", "shutil.move", "shutil.copyfile"),
}


def _look(event: str, args: tuple) -> None:
    if event not in _EVENTS and (event != "open" or not (args[2] or 0) & _WRITING):
        return
    paths = [os.fsdecode(arg) for arg in args[:2] if isinstance(arg, str | bytes) and arg]
    number = 2 if event in ("os.rename", "os.link") else 1
    paths = [os.path.abspath(path) for path in paths[:number]]  # noqa: PTH100 - links are not followed
    if not any(path.startswith(_ROOT) and "/.cma3d/tmp/" not in path for path in paths):
        return
    frame = sys._getframe()
    while frame is not None:
        if "/core/outputs/" in frame.f_code.co_filename:
            return
        frame = frame.f_back
    log = os.open(_LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(log, f"{event} {' '.join(paths)}\n".encode(errors="backslashreplace"))
    os.close(log)


if _LOG and _ROOT:
    sys.addaudithook(_look)
