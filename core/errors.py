"""Errors that a user can correct, and errors of one model."""


class InputError(Exception):
    """Wrong use or bad input: the message is one line that says what, where and the remedy.

    The command line prints it on standard error and exits with status 2.
    """


class ModelError(Exception):
    """A model that cannot be read or rendered; the message says why.

    It is recorded, and the run goes on.
    """


def needs(package: str, extra: str, cause: ImportError | OSError) -> InputError:
    """Turn a failed import into a line with its remedy.

    Parameters
    ----------
    package : name of what failed to import
    extra : the project's extra that installs it
    cause : what the import raised; a missing shared library is told apart from a missing package
    """
    if ".so" in str(cause):
        library = str(cause).split(":")[0]
        return InputError(
            f"{package} cannot be loaded: the system library {library} is missing or broken; "
            "`make libraries` in a checkout installs what is needed (the README lists it)"
        )
    return InputError(
        f"{package} is not installed: pip install 'shapenet3d-cma[{extra}]' ({cause})"
    )
