"""What is written comes back: frames, rate, sound; and nothing is left of what failed."""

import os
import resource

import av
import numpy as np
import pytest
from PIL import Image, ImageSequence

from tests.helpers.videos import ffmpeg, make_clip
from tpsm_jax.errors import InputError
from tpsm_jax.media.video_reader import open_video
from tpsm_jax.media.video_writer import FrameWriter

Y, X = np.mgrid[0:64, 0:96]
FRAMES = [
    np.stack([X * 2, Y * 3, (X + Y + 8 * index) % 128 + 64], axis=-1).astype(np.uint8)
    for index in range(12)
]


def write(path, frames=FRAMES, **options):
    with FrameWriter(path, **{"fps": 12.5, **options}) as writer:
        for frame in frames:
            writer.write(frame)
    return path


def names(folder):
    return sorted(file.name for file in folder.iterdir())


@pytest.mark.parametrize("suffix", [".mp4", ".MOV", ".mkv", ".webm", ".gif"])
def test_frames_and_rate_survive(tmp_path, suffix):
    clip = open_video(write(tmp_path / f"out{suffix}"))
    read = np.stack(list(clip))
    assert clip.fps == 12.5
    assert read.shape == (12, 64, 96, 3)
    assert np.abs(read.astype(float) - FRAMES).mean() < 8
    assert names(tmp_path) == [f"out{suffix}"]


def test_a_gif_keeps_still_frames(tmp_path):
    clip = open_video(write(tmp_path / "out.gif", [FRAMES[0]] * 4 + [FRAMES[5]] * 2, fps=20))
    assert clip.fps == 20
    assert len(list(clip)) == 6


def test_pictures_are_exact_and_floats_are_rounded_to_nearest(tmp_path):
    floats = [(frame + np.float32(0.4)) / np.float32(255) for frame in FRAMES]
    for name, frames in (("bytes/", FRAMES), ("floats/", floats)):
        write(f"{tmp_path}/{name}", frames)
        folder = tmp_path / name
        assert names(folder) == [f"{index:04d}.png" for index in range(12)]
        np.testing.assert_array_equal(list(open_video(folder)), FRAMES)


def test_an_older_folder_of_frames_is_replaced_but_no_other(tmp_path):
    folder = tmp_path / "frames"
    write(f"{folder}/")
    write(f"{folder}/", FRAMES[:3])
    assert names(folder) == ["0000.png", "0001.png", "0002.png"]
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="other files"):
        write(f"{folder}/")
    assert names(folder) == ["0000.png", "0001.png", "0002.png", "notes.txt"]
    assert names(tmp_path) == ["frames"]


def sound(path):
    """(codec, seconds) of the sound, decoded by ffmpeg, or None."""
    clip = open_video(path)
    if clip.audio_codec is None:
        return None
    raw = path.with_name("sound.raw")
    ffmpeg("-i", path, "-vn", "-ac", 1, "-ar", 8000, "-f", "s16le", raw)
    samples = np.fromfile(raw, np.int16)
    assert np.abs(samples).max() > 1000  # the tone is audible
    raw.unlink()
    return clip.audio_codec, len(samples) / 8000


@pytest.mark.parametrize(
    ("made", "suffix", "expected"),
    [
        (["aac"], ".mp4", "aac"),
        (["libmp3lame"], ".mp4", "mp3"),
        (["pcm_s16le"], ".mp4", "aac"),
        (["libopus"], ".mp4", "aac"),
        (["aac"], ".webm", "opus"),
        (["libopus"], ".webm", "opus"),
        (["flac"], ".mkv", "flac"),
        (["pcm_s16le"], ".mov", "aac"),
    ],
)
def test_sound_goes_along_cut_to_the_frames(tmp_path, made, suffix, expected):
    driving = open_video(make_clip(tmp_path / "in.mkv", seconds=3, audio=made))
    path = write(tmp_path / f"out{suffix}", audio=driving)
    codec, seconds = sound(path)
    assert codec == expected
    assert seconds == pytest.approx(12 / 12.5, abs=0.1)
    assert len(list(open_video(path))) == 12
    assert names(tmp_path) == ["in.mkv", f"out{suffix}"]


def test_sound_shorter_than_the_frames_cuts_no_frame(tmp_path):
    driving = open_video(make_clip(tmp_path / "in.mp4", seconds=0.5, audio=["aac"]))
    path = write(tmp_path / "out.mp4", audio=driving)
    assert len(list(open_video(path))) == 12
    assert sound(path)[1] == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("name", ["out.gif", "out/"])
def test_what_has_no_sound_takes_none(tmp_path, name):
    driving = open_video(make_clip(tmp_path / "in.mp4", audio=["aac"]))
    write(f"{tmp_path}/{name}", audio=driving)
    assert len(list(open_video(tmp_path / name))) == 12


def test_silence_stays_silence(tmp_path):
    driving = open_video(make_clip(tmp_path / "in.mp4"))
    assert sound(write(tmp_path / "out.mp4", audio=driving)) is None


def test_sound_that_cannot_be_read_does_not_cost_the_frames(tmp_path):
    driving = open_video(make_clip(tmp_path / "in.mp4", audio=["aac"]))
    driving.path.unlink()
    with pytest.warns(UserWarning, match="sound .* left out"):
        path = write(tmp_path / "out.mp4", audio=driving)
    assert len(list(open_video(path))) == 12


@pytest.mark.parametrize("name", ["out.mp4", "out.gif", "out/"])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_interrupted_run_leaves_the_older_output(tmp_path, name, error):
    def broken():
        yield from FRAMES[:5]
        raise error

    with pytest.raises(error):
        write(f"{tmp_path}/{name}", broken())
    assert names(tmp_path) == []
    write(f"{tmp_path}/{name}", FRAMES[:4])
    with pytest.raises(error):
        write(f"{tmp_path}/{name}", broken())
    assert names(tmp_path) == [name.rstrip("/")]
    assert len(list(open_video(tmp_path / name))) == 4


@pytest.mark.parametrize("name", ["out.mp4", "out/"])
def test_no_frame_is_no_output(tmp_path, name):
    with pytest.raises(InputError, match="no frame"):
        write(f"{tmp_path}/{name}", [])
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", ["out.mp4", "out.webm", "out.gif"])
def test_a_disk_without_room_is_reported(tmp_path, name):
    (tmp_path / "results").mkdir()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        # The system refuses to let a file grow further, as a full disk does.
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
        with pytest.raises(InputError, match=rf"could not write .*{name}: File too large"):
            write(tmp_path / "results" / name, noise(20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert names(tmp_path / "results") == []


def noise(count):
    return np.random.default_rng(0).integers(0, 256, (count, 64, 96, 3), np.uint8)


def test_outputs_that_cannot_be_are_reported_before_any_work(tmp_path):
    Image.fromarray(FRAMES[0]).save(tmp_path / "file.png")
    (tmp_path / "folder.mp4").mkdir()
    for name, reason in {
        "out.avi": "end its name",
        "out": "end its name",
        "missing/out.mp4": "No such file",
        "missing/out/": "No such file",
        "file.png/out.mp4": "Not a directory",
        "file.png/": "is a file",
        "folder.mp4": "is a folder",
    }.items():
        with pytest.raises(InputError, match=reason):
            FrameWriter(f"{tmp_path}/{name}", fps=25)
    assert names(tmp_path) == ["file.png", "folder.mp4"]


def test_a_gif_has_no_delay_that_viewers_would_stretch(tmp_path):
    path = write(tmp_path / "out.gif", FRAMES * 3, fps=60)
    with Image.open(path) as image:
        delays = [frame.info["duration"] for frame in ImageSequence.Iterator(image) if frame.load()]
    assert min(delays) >= 20
    np.testing.assert_allclose(sum(delays), 1000 * 36 / 60, atol=40)


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".gif"])
def test_odd_sides(tmp_path, suffix):
    frames = [frame[:63, :95] for frame in FRAMES]
    read = np.stack(list(open_video(write(tmp_path / f"out{suffix}", frames))))
    even = np.pad(frames, ((0, 0), (0, 1), (0, 1), (0, 0)), mode="edge")
    wanted = even[:, : read.shape[1], : read.shape[2]].astype(float)
    assert read.shape[1:3] in ((63, 95), (64, 96))
    assert np.abs(read - wanted).mean() < 8
    assert np.abs(read[:, -1] - wanted[:, -1]).mean() < 20  # not a black border
    assert np.abs(read[:, :, -1] - wanted[:, :, -1]).mean() < 20


def test_a_video_has_one_shape(tmp_path):
    with pytest.raises(ValueError, match="shape|in a video"):
        write(tmp_path / "out.mp4", [FRAMES[0], FRAMES[0][:32]])
    assert names(tmp_path) == []


def test_the_systems_hidden_files_are_no_obstacle(tmp_path):
    write(f"{tmp_path}/out/")
    (tmp_path / "out" / ".DS_Store").touch()
    write(f"{tmp_path}/out/", FRAMES[:2])
    assert names(tmp_path / "out") == ["0000.png", "0001.png"]


def test_a_failed_exchange_brings_the_older_folder_back(tmp_path, monkeypatch):
    write(f"{tmp_path}/out/", FRAMES[:2])
    rename, calls = os.rename, []

    def fail_on_the_second(*paths):
        calls.append(paths)
        if len(calls) == 2:
            raise KeyboardInterrupt
        rename(*paths)

    monkeypatch.setattr(os, "rename", fail_on_the_second)
    with pytest.raises(KeyboardInterrupt):
        write(f"{tmp_path}/out/")
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["0000.png", "0001.png"]


def test_names_of_more_frames_than_digits_are_all_as_long(tmp_path, monkeypatch):
    monkeypatch.setattr("tpsm_jax.media.video_writer._DIGITS", 1)
    for count, digits in ((10, 1), (12, 2), (101, 3)):
        with FrameWriter(f"{tmp_path}/frames/", fps=25) as writer:
            for number in range(count):
                writer.write(np.full((8, 8, 3), number, np.uint8))
        assert names(tmp_path / "frames") == [f"{number:0{digits}d}.png" for number in range(count)]
        levels = [frame[0, 0, 0] for frame in open_video(tmp_path / "frames")]
        assert levels == list(range(count))
    assert names(tmp_path) == ["frames"]


@pytest.mark.parametrize("name", ["x.mp4", "x.mov", "x.mkv", "x.webm", "x.gif", "x.png", "x.jpg"])
def test_files_carry_a_comment(tmp_path, name):
    is_picture = name.endswith(("png", "jpg"))
    write(tmp_path / name, FRAMES[: 1 if is_picture else 3], comment="made by hand")
    if name.endswith(("gif", "png", "jpg")):
        with Image.open(tmp_path / name) as picture:
            found = {key.lower(): text for key, text in picture.info.items()}["comment"]
            for number in range(getattr(picture, "n_frames", 1)):
                picture.seek(number)  # they can be read
        assert found in ("made by hand", b"made by hand")
    else:
        with av.open(str(tmp_path / name)) as video:
            assert {key.lower(): text for key, text in video.metadata.items()}["comment"] == (
                "made by hand"
            )


def test_frames_of_a_folder_carry_a_comment(tmp_path):
    write(f"{tmp_path}/out/", FRAMES[:2], comment="made by hand")
    for file in (tmp_path / "out").iterdir():
        with Image.open(file) as picture:
            assert picture.info["Comment"] == "made by hand"


def test_a_comment_survives_sound(tmp_path):
    make_clip(tmp_path / "clip.mp4", seconds=0.4, rate=25, audio=["aac"])
    audio = open_video(tmp_path / "clip.mp4")
    write(tmp_path / "x.mp4", FRAMES[:5], audio=audio, comment="made by hand")
    with av.open(str(tmp_path / "x.mp4")) as video:
        assert video.streams.audio
        assert video.metadata["comment"] == "made by hand"
