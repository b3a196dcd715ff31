"""The one line by which a command refuses bad input."""

import pytest


def refused(result, *words):
    code, out, err = result
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert code == 2
    assert len(errors) == 1
    assert "Traceback" not in err + out
    for word in words:
        assert word in errors[0]


def error_of(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line of the error, after the progress bar."""
    lines = capsys.readouterr().err.strip().split("\n")
    errors = [line for line in lines if line.startswith("error: ")]
    assert errors == lines[-1:]
    return errors[0]
