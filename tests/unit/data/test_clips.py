"""The frames of every kind of clip."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import data.clips
from data.clips import FolderClip, VideoClip
from data.fitting import fit
from data.folder import find_clips
from tests.helpers.clip_files import SIZE, frame, label, write_folder, write_strip, write_video
from tests.helpers.found_clips import JUST_BELOW_ONE, find, labels, only
from tpsm_jax.media.images import resize


@pytest.mark.parametrize("name", ["a", "a.mp4", "a.mov", "a.gif", "a.png"])
def test_frames_and_pairs_of_every_kind(tmp_path: Path, name: str) -> None:
    path = tmp_path / "train" / name
    if name == "a":
        write_folder(path, 3, 5)
    else:
        (write_strip if name == "a.png" else write_video)(path, 3, 5)
    clip = only(tmp_path)
    assert labels(clip) == [(3, index) for index in range(5)]
    for first, second, expected in (
        (0.0, JUST_BELOW_ONE, (0, 4)),
        (0.85, 0.25, (1, 4)),  # in time order
        (0.5, 0.41, (2, 2)),
        (0.2, 0.79, (1, 3)),
    ):
        pair = clip.pair(first, second)
        assert [label(picture) for picture in pair] == [(3, index) for index in expected]
        assert all(picture.dtype == np.uint8 for picture in pair)


def test_a_folder_named_like_a_video_is_a_folder(tmp_path: Path) -> None:
    write_folder(tmp_path / "train" / "a.mp4", 1, 2)
    assert isinstance(only(tmp_path), FolderClip)


@pytest.mark.parametrize("kind", ["folder", "strip", "gif", "mp4"])
def test_one_frame_is_both_frames(tmp_path: Path, kind: str) -> None:
    if kind == "folder":
        write_folder(tmp_path / "train" / "a", 2, 1)
    elif kind == "strip":
        write_strip(tmp_path / "train" / "a.png", 2, 1)
    else:
        write_video(tmp_path / "train" / f"a.{kind}", 2, 1)
    pair = only(tmp_path).pair(0.1, 0.9)
    assert [label(picture) for picture in pair] == [(2, 0), (2, 0)]


def test_frames_are_sorted_by_name_and_others_passed_over(tmp_path: Path) -> None:
    folder = tmp_path / "train" / "a"
    folder.mkdir(parents=True)
    for index, name in enumerate(("00.jpg", "01.png", "02.JPG")):
        Image.fromarray(frame(1, index)).save(folder / name, format="PNG")
    for name in (".03.png", "times.txt"):
        (folder / name).write_bytes(b"?")
    assert labels(only(tmp_path)) == [(1, 0), (1, 1), (1, 2)]


def test_gray_palette_and_transparent_frames_become_rgb(tmp_path: Path) -> None:
    folder = tmp_path / "train" / "a"
    write_folder(folder, 1, 1)
    picture = Image.open(folder / "0000.png")
    for mode in ("L", "P", "RGBA", "LA"):
        picture.convert(mode).save(folder / f"{mode}.png")
    frames = list(only(tmp_path).frames())
    assert {picture.shape for picture in frames} == {(SIZE, SIZE, 3)}
    assert len(frames) == 5


def test_only_two_files_of_a_folder_are_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(tmp_path / "train" / "a", 0, 9)
    clip, opened = only(tmp_path), []
    read = data.clips.read_image
    monkeypatch.setattr(data.clips, "read_image", lambda path: opened.append(path) or read(path))
    clip.pair(0.5, 0.95)
    assert [Path(path).name for path in opened] == ["0004.png", "0008.png"]


def test_a_gif_is_decoded_to_the_later_frame_and_counted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, opened = VideoClip(tmp_path / "a.gif"), []

    class Video:
        pixel_aspect = 1.0

        def __iter__(self):  # noqa: ANN204
            for index in range(10):
                opened.append(index)
                yield frame(0, index)

    monkeypatch.setattr(data.clips, "open_video", lambda path, whole: Video())
    assert [label(picture)[1] for picture in clip.pair(0.3, 0.0)] == [0, 3]
    assert opened == [*range(10), *range(4)]
    opened.clear()
    clip.pair(0.65, 0.25)
    assert opened == list(range(7))


@pytest.mark.parametrize(
    ("frame_shape", "count"), [(None, 6), ((SIZE, SIZE, 3), 6), ((SIZE, 2 * SIZE, 3), 3)]
)
def test_width_of_frames_side_by_side(
    tmp_path: Path, frame_shape: tuple | None, count: int
) -> None:
    write_strip(tmp_path / "train" / "a.png", 0, 6)
    assert len(list(only(tmp_path, frame_shape=frame_shape).frames())) == count


def test_without_a_shape_frames_have_the_proportions_of_the_image_size(tmp_path: Path) -> None:
    write_strip(tmp_path / "train" / "a.png", 0, 6, size=24)
    (tmp_path / "test").mkdir()
    (clip,) = find_clips(tmp_path, "train", image_size=(32, 48))
    assert [picture.shape for picture in clip.frames()] == [(24, 36, 3)] * 4


# Names that a shell, a pattern or a URL would take for something else.
@pytest.mark.parametrize("name", ["a b", "a#b", "ü 日本", "%d [1] *", "-i", "a:b", "file:a", "'\""])
@pytest.mark.parametrize("ending", ["", ".mp4", ".gif", ".png"])
def test_odd_names(tmp_path: Path, name: str, ending: str) -> None:
    path = tmp_path / "train" / f"{name}{ending}"
    write = {"": write_folder, ".png": write_strip}.get(ending, write_video)
    write(tmp_path / "plain" / f"a{ending}", 1, 3)
    path.parent.mkdir()
    (tmp_path / "plain" / f"a{ending}").rename(path)
    clip = only(tmp_path)
    assert clip.name == path.name
    assert clip.identity == name.split("#")[0]
    assert [label(picture) for picture in clip.pair(0.0, 0.99)] == [(1, 0), (1, 2)]


def test_linked_clips_and_frames(tmp_path: Path) -> None:
    train = tmp_path / "train"
    write_folder(tmp_path / "there", 1, 2)
    write_video(tmp_path / "there.mp4", 2, 2)
    (train / "b").mkdir(parents=True)
    (train / "a").symlink_to(tmp_path / "there")
    (train / "b" / "0.png").symlink_to(tmp_path / "there" / "0001.png")
    (train / "c.mp4").symlink_to(tmp_path / "there.mp4")
    (tmp_path / "test").mkdir()
    clips = [[label(picture)[0] for picture in clip.pair(0.0, 0.9)] for clip in find(tmp_path)]
    assert clips == [[1, 1], [1, 1], [2, 2]]


def test_frames_of_several_sizes_in_a_clip(tmp_path: Path) -> None:
    write_folder(tmp_path / "train" / "a", 1, 1)
    Image.fromarray(frame(1, 1, 2 * SIZE)).save(tmp_path / "train" / "a" / "1.png")
    pair = only(tmp_path).pair(0.0, 0.9)
    assert [picture.shape[0] for picture in pair] == [SIZE, 2 * SIZE]
    assert [label(fit(picture, (SIZE, SIZE))) for picture in pair] == [(1, 0), (1, 1)]


def test_fit_resizes_and_rounds() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (20, 31, 3), np.uint8)
    made = fit(picture, (16, 24))
    assert made.dtype == np.uint8
    assert made.shape == (16, 24, 3)
    assert np.abs(made / 255 - resize(picture, 16, 24)).max() < 0.5001 / 255


def test_fit_leaves_a_frame_of_the_right_size_alone() -> None:
    picture = frame(1, 2)
    assert fit(picture, (SIZE, SIZE)) is picture
