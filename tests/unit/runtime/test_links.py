"""An output that is a link is written to what the link leads to, by every writer."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from data.puppets.data_set import draw_clips
from detectors.table import table_file
from tests.helpers.prepare_files import prepare, write_noise_set
from tpsm_jax.checkpoints.files import output_folder, replaced_part
from tpsm_jax.checkpoints.torch.writer import write_torch_file
from tpsm_jax.cli import folder_to_write
from tpsm_jax.errors import InputError, one_line
from tpsm_jax.evaluation.wide_picture import WidePicture
from tpsm_jax.media.video_writer import FrameWriter
from tpsm_jax.runtime.atomic_files import replace_text, replaced
from tpsm_jax.runtime.run_lock import only_writer

FRAMES = np.zeros((2, 32, 48, 3), np.uint8)


def write_frames(path: Path, count: int) -> None:
    with FrameWriter(path, fps=25) as writer:
        for frame in FRAMES[:count]:
            writer.write(frame)


def write_wide(path: Path) -> None:
    with WidePicture(path) as picture:
        picture.write(FRAMES)


def write_table(path: Path) -> None:
    with table_file(path) as file:
        file.write("{}\n")


WRITERS: dict[str, Callable[[Path], None]] = {
    "a.mp4": lambda path: write_frames(path, 2),
    "a.gif": lambda path: write_frames(path, 2),
    "a.png": lambda path: write_frames(path, 1),
    "a.jpg": lambda path: write_frames(path, 1),
    "wide.png": write_wide,
    "a.jsonl": write_table,
    "a.jsonl.gz": write_table,
    "a.pth.tar": lambda path: write_torch_file(path, {"a": np.zeros(3, np.float32)}),
    "a.json": lambda path: replace_text(path, "{}\n"),
}


@pytest.mark.parametrize("before", ["file", "nothing"])
@pytest.mark.parametrize("name", WRITERS)
def test_a_file_is_written_through_a_link(tmp_path: Path, name: str, before: str) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    # Its name says nothing of the format.
    link, target = tmp_path / "here" / name, tmp_path / "there" / "target"
    link.symlink_to(os.path.join("..", "there", "target"))
    if before == "file":
        target.write_bytes(b"of an earlier run")
    WRITERS[name](link)
    assert link.is_symlink()
    assert os.listdir(target.parent) == ["target"]
    assert os.listdir(link.parent) == [name]
    (tmp_path / "plain").mkdir()
    WRITERS[name](tmp_path / "plain" / name)
    if not name.endswith(".gz"):  # which holds a time
        assert target.read_bytes() == (tmp_path / "plain" / name).read_bytes()


@pytest.mark.parametrize("name", WRITERS)
def test_a_link_that_leads_in_a_circle_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).symlink_to("other")
    (tmp_path / "other").symlink_to(name)
    with pytest.raises(InputError, match=r"is a link that leads in a circle"):
        WRITERS[name](tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == sorted([name, "other"])


def test_two_names_of_one_output_have_one_lock(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").symlink_to("b.mp4")
    with (
        only_writer(tmp_path / "a.mp4"),
        pytest.raises(InputError, match="another run is writing"),
        only_writer(tmp_path / "b.mp4"),
    ):
        pass


def test_a_folder_is_made_where_a_link_leads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_noise_set(tmp_path / "raw", train=1, test=1, frames=1)

    def fill(link: Path) -> None:
        with replaced_part(output_folder(link)) as partial:
            (partial / "config.json").touch()

    ways: dict[str, Callable[[Path], object]] = {
        "frames": lambda link: write_frames(f"{link}/", 2),  # type: ignore[arg-type]
        "checkpoint": fill,
        "puppets": lambda link: draw_clips(
            folder_to_write(str(link)), ("test",), clips=1, frames=1, size=16
        ),
        "prepared": lambda link: prepare(monkeypatch, tmp_path / "raw", link),
    }
    for name, write in ways.items():
        link, target = tmp_path / name, tmp_path / "there" / name
        target.parent.mkdir(exist_ok=True)
        link.symlink_to(target)
        write(link)
        assert link.is_symlink()
        assert os.listdir(target)


def test_a_folder_that_leads_in_a_circle_is_no_value_of_a_flag(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("a")
    with pytest.raises(argparse.ArgumentTypeError, match="leads in a circle"):
        folder_to_write(str(tmp_path / "a"))


def test_an_error_without_a_number_keeps_its_words(tmp_path):
    """Pillow's encoders raise such ones."""
    with pytest.raises(OSError) as found, replaced(tmp_path / "x.png"):
        raise OSError("encoder error -2")
    assert one_line(found.value) == f"{tmp_path}/x.png: encoder error -2"
    assert list(tmp_path.iterdir()) == []
