"""Commands given any words: strategies for those, and the one way in which a command may end."""

import argparse
import contextlib
import io
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tests.helpers.clip_files import write_folder, write_video
from tpsm_jax.cli import run_script
from tpsm_jax.errors import InputError


def examples(count: int) -> settings:
    """The same examples in every run, and nothing is left on the disk."""
    return settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


# Words that were trouble somewhere, or could be. The paths exist in `write_inputs`.
ODD = (
    "", " ", "-", "--", "=", ".", "..", "~nobody", "nan", "inf", "-inf", "1e400", "-1", "0", "1",
    "2", "64", "1.5", "1e3", "0x10", "1_000", "\uff12", "\u00b2", "9" * 30, "9" * 5000, "True",
    "None", "()", "(", "(1,)", "('a',)", "[1, 2]", "{'a': 1}", "{", "1,2", "16,16", "16x16", "0x0",
    "16x16x16", "\n", "a\nb", "\udcff", "x" * 300, "[", "(a+", "*", "best", "latest", "none",
    "face", "adam", "in", "in/data", "in/empty", "in/text.txt", "in/config.py", "in/config_bad.py",
    "in/clip.mp4", "in/source.png", "in/broken.png", "in/pairs.csv", "in/weights.pth",
    "in/table.jsonl", "in/missing/x", "out.mp4", "out.png", "out/", "out.jsonl", "out.jaxexport",
)  # fmt: skip
# Not what could lead out of the folder that a test runs in, nor what no command line can hold.
_LETTERS = st.characters(exclude_characters="/~\0", exclude_categories=())
JUNK = st.text(_LETTERS, max_size=12).map(lambda text: text.replace("..", ". "))
WORDS = st.one_of(st.sampled_from(ODD), JUNK, st.integers().map(str), st.floats().map(repr))


def write_inputs(folder: Path) -> None:
    """Small inputs of all kinds, good and bad ones."""
    for clip, split in enumerate(("train", "train", "test", "test")):
        write_folder(folder / "data" / split / f"a#{clip}", clip, 2)
    (folder / "empty").mkdir()
    write_video(folder / "clip.mp4", 1, 2)
    shutil.copy(folder / "data" / "test" / "a#2" / "0000.png", folder / "source.png")
    (folder / "broken.png").write_bytes((folder / "source.png").read_bytes()[:30])
    (folder / "text.txt").write_text("words\n")
    (folder / "weights.pth").write_bytes(b"PK\x03\x04 and then nothing")
    (folder / "pairs.csv").write_text("source,driving\na#2,a#3\n")
    (folder / "table.jsonl").write_text('{"clip": "a#2", "frame": 0, "value": [[1, 2]]}\n')
    (folder / "config_bad.py").write_text("def get_config(): return {}\n")
    (folder / "config.py").write_text(
        "from tests.helpers.tiny_training import tiny_config\n"
        "def get_config():\n"
        "    config = tiny_config()\n"
        "    config.dataset.path = 'in/data'\n"
        "    return config\n"
    )


def stop(*_: Any, **__: Any) -> Any:
    """What stands in place of the work that follows a command's checks."""
    raise InputError("stopped: all that was given can be used")


def flags_of(main: Callable[[], Any]) -> list[argparse.Action]:
    """The flags of a command."""

    class FoundError(Exception):
        pass

    found: list[argparse.Action] = []

    def parse(self: argparse.ArgumentParser, *_: Any, **__: Any) -> Any:
        found.extend(self._actions)
        raise FoundError

    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(FoundError):
        patch.setattr(argparse.ArgumentParser, "parse_args", parse)
        patch.setattr(argparse.ArgumentParser, "parse_known_args", parse)
        main()
    return [action for action in found if not isinstance(action, argparse._HelpAction)]


def command_lines(actions: list[argparse.Action], **usual: str) -> st.SearchStrategy[list[str]]:
    """Command lines of a command.

    Args:
      actions: its flags, from `flags_of`.
      **usual: words for flags that are given in most lines, or the line would fail at once.
    """

    def words_of(action: argparse.Action) -> st.SearchStrategy[list[str]]:
        value = st.sampled_from(list(action.choices)) | WORDS if action.choices else WORDS
        if action.nargs == 0:
            values = st.just([])
        elif action.nargs is None:
            values = st.lists(value, min_size=1, max_size=1)
        else:
            values = st.lists(value, max_size=3)
        return values.map(lambda given: [*action.option_strings[:1], *map(str, given)])

    given = st.lists(st.one_of(*map(words_of, actions)), max_size=4)
    keep = st.sets(st.sampled_from([None, *usual]), max_size=1)  # without one of them at times

    def joined(line: list[list[str]], left_out: set[str | None]) -> list[str]:
        named = {words[0] for words in line if words}
        first = [
            word
            for name, value in usual.items()
            if f"--{name}" not in named and name not in left_out
            for word in (f"--{name}", *value.split(" "))
        ]
        return first + [word for words in line for word in words]

    return st.builds(joined, given, keep)


class Workplace:
    """A folder with inputs, fresh for each command line."""

    def __init__(self, folder: Path):
        """Writes the inputs once."""
        self._original, self._place = folder / "original", folder / "place"
        write_inputs(self._original)

    def run(self, main: Callable[[], Any], words: list[str]) -> str:
        """Runs a command here; fails unless it ends well or in one line. Returns that line."""
        shutil.rmtree(self._place, ignore_errors=True)
        shutil.copytree(self._original, self._place / "in")
        before, handler = os.getcwd(), signal.getsignal(signal.SIGTERM)
        out, err = io.StringIO(), io.StringIO()
        os.chdir(self._place)
        try:
            with (
                pytest.MonkeyPatch.context() as patch,
                contextlib.redirect_stdout(out),
                contextlib.redirect_stderr(err),
            ):
                patch.setattr(sys, "argv", ["command", *words])
                with pytest.raises(SystemExit) as end:
                    run_script(main)
        finally:
            os.chdir(before)
            signal.signal(signal.SIGTERM, handler)
        text = err.getvalue()
        assert end.value.code in (0, 2), (end.value.code, text)
        if end.value.code == 0:
            return ""
        lines = text.split("\n")
        assert lines[-1] == ""
        assert lines[-2].startswith("error: "), text
        assert sum(line.startswith("error: ") for line in lines) == 1
        assert "Traceback" not in text
        return lines[-2]
