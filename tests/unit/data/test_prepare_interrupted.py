"""A preparation that was killed, or whose disk was full, resumes to the same bytes."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from data.prepare import open_prepared
from tests.helpers.prepare_files import contents, prepare, write_noise_set
from tests.helpers.processes import kill_while, start_python
from tpsm_jax.errors import InputError

# Every way in which the preparation changes what is on disk.
STEPS = ("replace", "mkdir", "rmdir", "unlink")


class Killed(BaseException):
    """Imitates kill -9: no code may clean up after it."""


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    write_noise_set(tmp_path / "raw", train=3, test=1)
    (tmp_path / "raw" / "train" / "broken.mp4").touch()
    return tmp_path / "raw"


@pytest.mark.slow
@pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.long)])
def test_killed_at_any_step_it_goes_on(
    raw: Path, monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    flags = ("--max_broken", "1")
    assert prepare(monkeypatch, raw, raw.parent / "whole", *flags) == 0
    expected = contents(raw.parent / "whole")
    step = 0
    while True:
        output = raw.parent / f"killed{step}"
        with monkeypatch.context() as patch:
            _kill_at(patch, step)
            try:
                assert prepare(patch, raw, output, *flags) == 0
                break  # it had fewer steps
            except Killed:
                pass
        if output.exists() and (output / "prepared.json").exists():
            if (output / "dataset_info.json").exists():
                assert len(open_prepared(output, "train")) == 3
            else:
                with pytest.raises(InputError, match="is unfinished"):
                    open_prepared(output, "train")
        assert prepare(monkeypatch, raw, output, *flags) == 0
        assert contents(output) == expected, step
        step += every
    assert step > 30


def _kill_at(patch: pytest.MonkeyPatch, last: int) -> None:
    """Allows `last` changes on disk; the next one ends the run."""
    done = 0

    def killing(change: Any) -> Any:
        def change_or_die(*args: Any, **more: Any) -> Any:
            nonlocal done
            done += 1
            if done > last:
                raise Killed
            return change(*args, **more)

        return change_or_die

    for name in STEPS:
        patch.setattr(os, name, killing(getattr(os, name)))


@pytest.mark.long
@pytest.mark.parametrize("workers", ["1", "2"])
def test_kill_9_and_the_same_command_with_other_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: str
) -> None:
    puppets = ("--dataset", "puppets", "--clips", "40", "--frames", "6", "--size", "96")
    assert prepare(monkeypatch, None, tmp_path / "whole", *puppets) == 0
    killed = tmp_path / "killed"
    process = start_python(
        *("-m", "data.prepare", "--output", str(killed), *puppets, "--workers", workers)
    )
    # The workers end by themselves.
    kill_while(lambda: len(list(killed.glob("unfinished/*.json"))) > 2, process, alone=True)
    assert (killed / "unfinished").is_dir()
    with pytest.raises(InputError, match="is unfinished"):
        open_prepared(killed, "train")
    others = {"1": "2", "2": "1"}[workers]
    assert prepare(monkeypatch, None, killed, *puppets, "--workers", others) == 0
    assert contents(killed) == contents(tmp_path / "whole")


@contextmanager
def small_disk(size: int) -> Iterator[None]:
    """Limits every file to `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    ("room", "size", "lacking"),
    [
        (0, 200, "prepared.json"),
        (50_000, 200, "clips-train.tfrecord-00000-of-00003"),
        (2000, 16, "dataset_info.json"),  # larger than the record files
    ],
)
def test_a_full_disk_is_reported_and_the_same_command_goes_on(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    room: int,
    size: int,
    lacking: str,
) -> None:
    raw = tmp_path / "raw"
    write_noise_set(raw, train=3, test=1, frames=1, size=size)
    assert prepare(monkeypatch, raw, tmp_path / "whole") == 0
    capfd.readouterr()
    output = tmp_path / "made"
    with monkeypatch.context() as patch, small_disk(room):
        message = _prepare_error(patch, raw, output)
    assert message.startswith(f"error: cannot write {output / lacking} (")
    assert "if the disk is full, make room for it; the same command resumes there" in message
    assert not [path for path in output.glob("unfinished/*.*") if path.suffix != ".json"]
    assert prepare(monkeypatch, raw, output) == 0
    assert contents(output) == contents(tmp_path / "whole")


def _prepare_error(patch: pytest.MonkeyPatch, raw: Path, output: Path) -> str:
    lines: list[str] = []

    class Err:
        """Not a file, since files cannot grow here."""

        def write(self, text: str) -> None:
            lines.append(text)

        def flush(self) -> None:
            pass

    patch.setattr("sys.stderr", Err())
    assert prepare(patch, raw, output) == 2
    return "".join(lines).strip().splitlines()[-1]
