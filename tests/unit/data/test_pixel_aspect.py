"""Pixels that are not square: readers hand out the same frames and say how they are shown."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import data.clips
from data.clips import StripClip, VideoClip
from data.evaluation_set import clips_for_test
from data.fitting import fitted_frames
from data.loader import open_dataset
from data.prepare.boxes import Box, BoxClip
from data.prepare.encoding import Encoding, encode_clips
from data.sample_reader import SampleReader
from data.sampling import SampleDraws
from data.wide_pictures import WidePictures
from tests.helpers.clip_files import small_config
from tests.helpers.prepare_files import prepare, write_noise_clip
from tests.helpers.videos import X264, decode, encode, ffmpeg
from tpsm_jax.media.proportions import SqueezeWarning
from tpsm_jax.media.video_reader import FrameSource, open_video

WIDE = (*X264, "-vf", "scale=32:32,setsar=16/9", "-pix_fmt", "yuv444p")
DRAWS = SampleDraws(0.5, (0.1, 0.9), 0.5, (0.5, 0.5))
AT_32 = "(32 x 32, shown as 57 x 32); crop to the same proportions first to keep shapes"


@pytest.mark.parametrize(
    ("name", "options", "aspect"),
    [
        ("a.mp4", (*X264, "-vf", "setsar=64/45"), 64 / 45),
        ("a.mkv", ("-c:v", "ffv1", "-vf", "setsar=64/45"), 64 / 45),
        ("a.avi", ("-c:v", "mpeg4", "-vf", "setsar=16/11"), 16 / 11),
        ("a.dv", ("-target", "pal-dv", "-aspect", "16:9", "-s", "720x576"), 64 / 45),
        ("a.mp4", X264, 1.0),
        ("a.gif", (), 1.0),
    ],
)
def test_readers_agree(tmp_path: Path, name: str, options: tuple[str, ...], aspect: float) -> None:
    path = encode(tmp_path / name, *options, count=3)
    assert open_video(path).pixel_aspect == pytest.approx(aspect)
    clip = VideoClip(path)
    assert clip.pixel_aspect == pytest.approx(aspect)
    strip = StripClip(path, WidePictures((64, 64), False))
    assert strip.pixel_aspect == pytest.approx(aspect)
    if name != "a.gif":  # whose colors are rounded by its palette
        np.testing.assert_array_equal(list(clip.frames()), decode(path))  # as they are stored


def test_it_is_turned_with_the_frames(tmp_path: Path) -> None:
    whole = encode(tmp_path / "a.mp4", *X264, "-vf", "setsar=3/2", count=3)
    for turn, expected in ((90, 2 / 3), (180, 3 / 2), (270, 2 / 3)):
        turned = tmp_path / f"{turn}.mp4"
        ffmpeg("-display_rotation", turn, "-i", whole, "-c", "copy", turned)
        assert open_video(turned).pixel_aspect == pytest.approx(expected)
        clip = VideoClip(turned)
        clip.pair(0.0, 0.5)
        assert clip.pixel_aspect == pytest.approx(expected)


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ((*X264, "-vf", "setsar=1"), 0),  # a plain video: the container says enough
        ((*X264, "-vf", "setsar=1,select=not(eq(mod(n\\,5)\\,1))", "-fps_mode", "vfr"), 1),
        ((*X264, "-vf", "setsar=3/2"), 1),  # they may be turned
    ],
)
def test_samples_open_no_video_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], count: int
) -> None:
    clip = VideoClip(encode(tmp_path / "a.mp4", *options, count=20))
    opened = counted_opening(monkeypatch)
    reader = SampleReader((64, 144 if "3/2" in options[-1] else 96))
    for _ in range(3):
        reader(clip, DRAWS)
    assert len(opened) == count
    assert not reader.squeeze_warning.is_said


def test_nothing_is_opened_for_it_once_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [encode(tmp_path / name, *WIDE, count=3) for name in ("a.mp4", "b.mp4")]
    opened = counted_opening(monkeypatch)
    reader = SampleReader((32, 32))
    for path in paths:
        reader(VideoClip(path), DRAWS)
    assert opened == paths[:1]
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("options", [X264, WIDE])
def test_a_clip_whose_frames_are_read_is_opened_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    clip = VideoClip(encode(tmp_path / "a.mp4", *options, count=3))
    opened = counted_opening(monkeypatch)
    assert len(list(fitted_frames(clip, (64, 96), SqueezeWarning()))) == 3
    assert opened == [clip.path]


def counted_opening(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The list of paths that clips open as videos from now on."""
    opened = []

    def counting(path: Path, **options: Any) -> FrameSource:
        opened.append(path)
        return open_video(path, **options)

    monkeypatch.setattr(data.clips, "open_video", counting)
    return opened


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two clips a split, stored as 32 x 32 and shown as 16:9."""
    for split in ("train", "test"):
        (tmp_path / "raw" / split).mkdir(parents=True)
        for name in ("a", "b"):
            encode(tmp_path / "raw" / split / f"{split}-{name}.mp4", *WIDE, count=3)
    return tmp_path / "raw"


def test_training_says_what_is_shown(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = open_dataset(small_config(root))
    with dataset.batches(batch_size=2, num_repeats=4, seed=0) as batches:
        for _ in range(2):
            next(batches)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: squeezed to 16 x 16: frames such as those of train-")
    assert line.endswith(AT_32)


@pytest.mark.parametrize(("resize", "size"), [(True, "16 x 16"), (False, "32 x 32")])
def test_an_evaluation_says_it_also_of_frames_that_keep_their_size(
    root: Path, capsys: pytest.CaptureFixture[str], resize: bool, size: str
) -> None:
    for clip in clips_for_test(small_config(root), resize=resize):
        assert len(list(clip.frames())) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"warning: squeezed to {size}: frames such as those of test-a.mp4 ")
    assert line.endswith(AT_32)


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (
            ("--size", "16"),
            "2 of 5 clips had other proportions than 16 x 16, and were squeezed to that: crop them "
            "first to keep shapes",
        ),
        (
            (),
            "2 of 5 clips had pixels that are not square, and were squeezed to the size that they "
            "are stored at: make pixels square first to keep shapes",
        ),
    ],
)
def test_preparing_counts_them(
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    flags: tuple[str, ...],
    line: str,
) -> None:
    for split in ("train", "test"):
        (root / split / f"{split}-b.mp4").unlink()
        write_noise_clip(root / split / "square", 2)
    encode(root / "train" / "square.mp4", *X264, "-vf", "scale=32:32,setsar=1", count=2)
    assert prepare(monkeypatch, root, root.parent / "made", *flags) == 0
    said = [each for each in capsys.readouterr().err.splitlines() if "warning" in each]
    assert said == [f"warning: {line}"]


def test_what_is_shown_in_the_proportions_of_the_size_is_not_squeezed(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", *X264, "-vf", "scale=48:32,setsar=2/3", count=2)
    (made,) = encode_clips([VideoClip(path)], Encoding("png", 95, (16, 16)))
    assert made.is_squeezed is False  # type: ignore[union-attr]
    box = Box(0, 9, 0, 0, 48, 32, 25.0, 48, 32)
    (made,) = encode_clips([BoxClip(path, "a", box)], Encoding("png", 95, (16, 16)))
    assert made.is_squeezed is False  # type: ignore[union-attr]
