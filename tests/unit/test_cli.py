import pytest

from tpsm_jax.cli import run_script
from tpsm_jax.errors import InputError


def test_control_characters_of_a_file_do_not_reach_the_terminal(capsys):
    def main():
        raise InputError("a name \x1b[2J\x07 in\ntwo lines, \u202e and caf\udce9 zoë")

    with pytest.raises(SystemExit) as ended:
        run_script(main)
    assert ended.value.code == 2
    printed = capsys.readouterr().err
    assert printed == ("error: a name \\x1b[2J\\x07 in two lines, \\u202e and caf\\udce9 zoë\n")
