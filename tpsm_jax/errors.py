"""Errors that a user can mend. Scripts print them in one line, see `cli.run_script`."""


class InputError(Exception):
    """Something the caller gave cannot be used: one line that says what, and what to do."""


def one_line(error: InputError | OSError) -> str:
    """One line for an error, with the file that it is about where it names one."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)
