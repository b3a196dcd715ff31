"""The layouts of data sets, and the frames of every kind of clip."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import data.clips
from data.clips import Clip, FolderClip, VideoClip, fit
from data.folder import find_clips
from data.loader import group_by_identity
from tests.helpers.clip_files import SIZE, frame, label, write_folder, write_strip, write_video
from tpsm_jax.errors import InputError
from tpsm_jax.media.images import resize

JUST_BELOW_ONE = 1 - 2.0**-53


def find(root: Path, split: str = "train", frame_shape: tuple | None = None) -> list[Clip]:
    return find_clips(root, split, image_size=(SIZE, SIZE), frame_shape=frame_shape)


def names(clips: list[Clip]) -> list[str]:
    return [clip.name for clip in clips]


def only(root: Path, **more: tuple) -> Clip:
    """The one training clip of a root."""
    (root / "test").mkdir()
    (clip,) = find(root, **more)
    return clip


def labels(clip: Clip) -> list[tuple[int, int]]:
    return [label(picture) for picture in clip.frames()]


# ---------------------------------------------------------------- which clips there are


def test_train_and_test_folders(tmp_path: Path) -> None:
    for name in ("train/b", "train/a", "train/c.mp4", "test/d"):
        write_folder(tmp_path / name, 0, 1)
    assert names(find(tmp_path)) == ["a", "b", "c.mp4"]
    assert names(find(tmp_path, "test")) == ["d"]


def test_every_kind_of_clip_is_found_and_nothing_else(tmp_path: Path) -> None:
    kinds = ("a.mp4", "b.GIF", "c.mov", "d.avi", "e.mkv", "f.webm", "g.m4v", "h.png", "i.JPG")
    for name in (*kinds, ".DS_Store", "._a.mp4", "README.md", "boxes.csv"):
        (tmp_path / "train").mkdir(exist_ok=True)
        (tmp_path / "train" / name).write_bytes(b"?")
    write_folder(tmp_path / "train" / "folder #1 ü.mp4", 0, 1)
    write_folder(tmp_path / "train" / ".hidden", 0, 1)
    (tmp_path / "train" / "link").symlink_to(tmp_path / "train" / "folder #1 ü.mp4")
    write_folder(tmp_path / "test" / "x", 0, 1)
    assert names(find(tmp_path)) == sorted((*kinds, "folder #1 ü.mp4", "link"))


def test_without_train_and_test_one_clip_in_five_is_kept_for_testing(tmp_path: Path) -> None:
    everything = [f"clip{number:02d}" for number in range(11)]
    for name in everything:
        write_folder(tmp_path / name, 0, 1)
    train, test = names(find(tmp_path)), names(find(tmp_path, "test"))
    assert len(test) == 3  # a fifth, rounded up
    assert sorted(train + test) == everything
    assert train == sorted(train)
    assert test == ["clip00", "clip04", "clip07"]  # on every machine, for ever


def test_identities_are_whole_names(tmp_path: Path) -> None:
    for name in ("id1#a", "id10#a.mp4", "id1#b#c", "id2"):
        write_folder(tmp_path / "train" / name, 0, 1)
    write_strip(tmp_path / "train" / "id2.v.png", 0, 1)
    write_strip(tmp_path / "train" / "id2.png", 0, 1)
    write_folder(tmp_path / "test" / "x", 0, 1)
    groups = [names(group) for group in group_by_identity(find(tmp_path))]
    assert groups == [["id1#a", "id1#b#c"], ["id10#a.mp4"], ["id2", "id2.png"], ["id2.v.png"]]


def test_a_missing_root_is_reported(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder of clips '.*nowhere'"):
        find(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["a", "a.mp4", "a.png", "README.md"])
@pytest.mark.parametrize("target", ["nothing", "loop"])
def test_a_link_that_leads_nowhere_is_reported(tmp_path: Path, name: str, target: str) -> None:
    write_folder(tmp_path / "train" / "b", 0, 1)
    write_folder(tmp_path / "test" / "b", 0, 1)
    link = tmp_path / "train" / name
    link.symlink_to(name if target == "loop" else "nothing")
    with pytest.raises(InputError, match=f"train/{name} is a link that leads nowhere: mend it"):
        find(tmp_path)
    link.rename(link.with_name(f".{name}"))
    assert names(find(tmp_path)) == ["b"]


def test_a_folder_that_links_to_the_one_around_it_is_reported(tmp_path: Path) -> None:
    write_folder(tmp_path / "train" / "a", 0, 1)
    write_folder(tmp_path / "test" / "b", 0, 1)
    (tmp_path / "train" / "round").symlink_to("..")
    with pytest.raises(InputError, match="round is a folder without a picture"):
        find(tmp_path)


@pytest.mark.parametrize(("there", "missing"), [("train", "test"), ("test", "train")])
def test_half_a_split_is_reported(tmp_path: Path, there: str, missing: str) -> None:
    write_folder(tmp_path / there / "a", 0, 1)
    with pytest.raises(InputError, match=f"has {there}/ but no {missing}/"):
        find(tmp_path)


def test_an_evaluation_needs_test_alone(tmp_path: Path) -> None:
    write_folder(tmp_path / "test" / "a", 0, 1)
    assert names(find(tmp_path, "test")) == ["a"]
    (tmp_path / "test").rename(tmp_path / "train")
    with pytest.raises(InputError, match="has train/ but no test/"):
        find(tmp_path, "test")


@pytest.mark.parametrize(("empty", "other"), [("test", "train"), ("train", "test")])
def test_an_empty_split_is_reported(tmp_path: Path, empty: str, other: str) -> None:
    write_folder(tmp_path / other / "a", 0, 1)
    (tmp_path / empty).mkdir()
    (tmp_path / empty / ".DS_Store").touch()
    with pytest.raises(InputError, match=f"{empty} holds no clip"):
        find(tmp_path, empty)
    assert names(find(tmp_path, other)) == ["a"]


def test_a_folder_without_pictures_is_reported(tmp_path: Path) -> None:
    write_folder(tmp_path / "train" / "a", 0, 1)
    (tmp_path / "train" / "empty").mkdir()
    (tmp_path / "train" / "empty" / ".DS_Store").touch()
    (tmp_path / "test").mkdir()
    with pytest.raises(InputError, match="empty is a folder without a picture"):
        find(tmp_path)


def test_one_clip_cannot_be_split(tmp_path: Path) -> None:
    write_folder(tmp_path / "a", 0, 1)
    with pytest.raises(InputError, match="holds one clip"):
        find(tmp_path)


def test_an_unknown_split_is_a_mistake_of_the_caller(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'train' or 'test', not 'val'"):
        find(tmp_path, "val")


# ---------------------------------------------------------------- frames out of a clip


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
        def __iter__(self):  # noqa: ANN204
            for index in range(10):
                opened.append(index)
                yield frame(0, index)

    monkeypatch.setattr(data.clips, "open_video", lambda path: Video())
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


@pytest.mark.parametrize("frame_shape", [(SIZE, 20, 3), (2 * SIZE, SIZE, 3)])
def test_frames_side_by_side_that_do_not_fit_are_reported(
    tmp_path: Path, frame_shape: tuple
) -> None:
    write_strip(tmp_path / "train" / "a.png", 0, 6)
    clip = only(tmp_path, frame_shape=frame_shape)
    with pytest.raises(
        InputError, match=r"a\.png, 96 x 16 pixels, is not made of frames"
    ) as raised:
        clip.pair(0.0, 0.5)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("content", [b"not a picture", b""])
@pytest.mark.parametrize("name", ["a/0000.png", "a.mp4", "a.gif", "a.png"])
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / "train" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    clip = only(tmp_path)
    for read in (lambda: clip.pair(0.0, 0.5), lambda: list(clip.frames())):
        with pytest.raises(InputError, match=r"train/a") as raised:
            read()
        assert "\n" not in str(raised.value)


def test_of_a_gif_that_breaks_off_the_part_before_counts(tmp_path: Path) -> None:
    path = tmp_path / "train" / "a.gif"
    write_video(path, 1, 6)
    path.write_bytes(path.read_bytes()[:-200])
    clip = only(tmp_path)
    assert 1 <= label(clip.pair(0.0, JUST_BELOW_ONE)[1])[1] < 5
    with pytest.raises(InputError, match=r"cannot read frame \d of .*train/a\.gif"):
        labels(clip)


@pytest.mark.parametrize("part", ["end", "picture"])
def test_a_half_written_picture_is_named(tmp_path: Path, part: str) -> None:
    write_folder(tmp_path / "train" / "a", 1, 3, size=64)
    path = tmp_path / "train" / "a" / "0002.png"
    if part == "end":
        path.write_bytes(path.read_bytes()[:60])
    else:
        path.unlink()
        path.symlink_to("nothing")
    with pytest.raises(InputError, match=r"picture .*train/a/0002\.png") as raised:
        only(tmp_path).pair(0.0, JUST_BELOW_ONE)
    assert "\n" not in str(raised.value)


def test_a_half_written_video_is_named(tmp_path: Path) -> None:
    """Without the table that an encoder writes last, nothing of it can be read."""
    path = tmp_path / "train" / "a.mp4"
    write_video(path, 1, 6)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(
        InputError, match=r"train/a\.mp4 is no video that ffmpeg can read"
    ) as raised:
        only(tmp_path).pair(0.0, 0.5)
    assert "\n" not in str(raised.value)


def test_a_folder_that_goes_away_is_named(tmp_path: Path) -> None:
    write_folder(tmp_path / "train" / "a", 1, 2)
    clip = only(tmp_path)
    (tmp_path / "train" / "a").rename(tmp_path / "a")
    with pytest.raises(InputError, match="cannot read the clip .*train/a: No such file"):
        clip.pair(0.0, 0.5)


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


# ---------------------------------------------------------------- size


def test_fit_resizes_and_rounds() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (20, 31, 3), np.uint8)
    made = fit(picture, (16, 24))
    assert made.dtype == np.uint8
    assert made.shape == (16, 24, 3)
    assert np.abs(made / 255 - resize(picture, 16, 24)).max() < 0.5001 / 255


def test_fit_leaves_a_frame_of_the_right_size_alone() -> None:
    picture = frame(1, 2)
    assert fit(picture, (SIZE, SIZE)) is picture
