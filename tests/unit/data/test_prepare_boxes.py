"""Clips cut out of raw videos by the tables of video-preprocessing."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from data.prepare import PreparedClip, encoding, open_prepared
from data.prepare.boxes import Box, BoxClip, find_boxes, frames_within
from tests.helpers.clip_files import label, write_video
from tests.helpers.prepare_files import contents, prepare
from tpsm_jax.errors import InputError
from tpsm_jax.media.video_reader import open_video
from tpsm_jax.media.video_writer import FrameWriter

VOX = "video_id,start,end,bbox,fps,width,height,partition,person_id"
TAICHI = "video_id,start,end,bbox,fps,width,height,partition"


def write_table(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def found(tmp_path: Path, *lines: str) -> dict[str, list[str]]:
    clips = find_boxes(write_table(tmp_path / "boxes.csv", *lines), tmp_path)
    return {split: [clip.name for clip in members] for split, members in clips.items()}


def test_names_splits_and_identities_of_voxceleb(tmp_path: Path) -> None:
    table = write_table(
        tmp_path / "vox.csv",
        VOX,
        "abcdefghij_,3657,3994,624-48-1018-553,25,1280,720,train,id10005",
        "abcdefghij_,17,120,522-49-931-580,25,1280,720,train,id10005",
        "-b#c,0,10,0-0-9-9,25,1280,720,test,id10270",
        "abcdefghij_,17,120,522-49-931-580,25,1280,720,train,id10005",  # the real one has such
    )
    clips = find_boxes(table, tmp_path / "videos")
    assert [clip.name for clip in clips["train"]] == [
        "id10005#abcdefghij_#000017#000120.mp4",
        "id10005#abcdefghij_#003657#003994.mp4",
    ]
    (test,) = clips["test"]
    assert test.name == "id10270#c#-b#000000#000010.mp4"
    assert test.path == tmp_path / "videos" / "-b.mp4"
    assert {clip.identity for clip in clips["train"]} == {"id10005"}


def test_a_table_without_persons_and_all_of_a_video_in_one_split(tmp_path: Path) -> None:
    assert found(
        tmp_path,
        TAICHI,
        "u6rJ,80,300,118-82-508-472,29.97,640,480,test",
        "u6rJ,575,717,168-99-488-419,29.97,640,480,train",
    ) == {"test": ["u6rJ#000080#000300.mp4", "u6rJ#000575#000717.mp4"]}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("video_id,start,end",), "lacks the column bbox"),
        ((TAICHI,), "names no clip"),
        ((TAICHI, "a,1,2,0-0-9-9,25,10,10"), "line 2: not as many fields as names"),
        ((TAICHI, "a,1,2,0-0-9-9,25,10,10,train,x"), "line 2: not as many fields as names"),
        ((TAICHI, "a,1,2,0-0-9,25,10,10,train"), "line 2: the box '0-0-9' makes no sense"),
        ((TAICHI, "a,x,2,0-0-9-9,25,10,10,train"), "line 2: could not convert string to float"),
        ((TAICHI, "a,2,2,0-0-9-9,25,10,10,train"), "the clip from 2 to 2 at 25 a second"),
        ((TAICHI, "a,1,inf,0-0-9-9,25,10,10,train"), "the clip from 1 to inf at 25 a second"),
        ((TAICHI, "a,1,2,0-0-9-9,1e-320,10,10,train"), "the clip from 1 to 2 at 1e-320 a second"),
        ((TAICHI, f"a,1,2,0-0-9-{10**400},25,10,10,train"), "the clip from 1 to 2 at 25"),
        ((TAICHI, f"a,1,2,0-0-9-9,25,{10**400},10,train"), "the clip from 1 to 2 at 25"),
        ((TAICHI, "a,1,2,0-0-9-9,25,10,10,val"), "the partition 'val' makes no sense"),
        ((TAICHI, "../a,1,2,0-0-9-9,25,10,10,train"), "the video '../a' makes no sense"),
        (
            (TAICHI, "a,1,2,0-0-9-9,25,10,10,train", "a,1,2,0-0-8-8,25,10,10,train"),
            "line 3: a clip a#000001#000002.mp4 was named before",
        ),
    ],
)
def test_a_table_that_makes_no_sense(tmp_path: Path, lines: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError) as error:
        found(tmp_path, *lines)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"table of boxes \S+/none\.csv: No such file or directory$"
    ):
        find_boxes(tmp_path / "none.csv", tmp_path)


def test_boxes_scale_with_the_video_and_start_and_end_with_its_rate() -> None:
    box = Box(*(10, 20, 100, 40, 300, 240), fps=25, width=640, height=480)
    frame = np.arange(240 * 320 * 3).reshape(240, 320, 3)
    np.testing.assert_array_equal(box.crop(frame), frame[20:120, 50:150])
    assert [index for index in range(100) if box.holds(index, 25)] == list(range(10, 20))
    assert [index for index in range(100) if box.holds(index, 50)] == list(range(20, 40))
    assert [index for index in range(100) if box.holds(index, 10)] == [4, 5, 6, 7]
    for fps in (10, 24, 25, 29.97, 50):
        clip = BoxClip(Path("a.mp4"), "a", box)
        held = sum(box.holds(index, fps) for index in range(1000))
        assert clip.expected_frames(fps) == held
    with pytest.raises(InputError, match="box 100-40-100-240 of a video of 640 x 480 is empty"):
        dataclasses.replace(box, right=100).crop(frame)


def test_clips_are_cut_resized_and_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(tmp_path / "videos" / "a.mp4", 2, 12, size=64)  # 10 frames a second
    write_video(tmp_path / "videos" / "b.mkv", 5, 6, size=64)
    table = write_table(
        tmp_path / "boxes.csv",
        VOX,
        "a,2,6,10-10-50-40,10,64,64,train,id1",
        "a,10,22,0-0-128-128,20,128,128,train,id1",
        "b,0,60,0-0-64-64,10,64,64,test,id2",  # longer than the video
        "b,9,20,0-0-64-64,10,64,64,test,id2",  # after its end
        "b,0,3,70-70-90-90,10,64,64,test,id2",  # beside it
        "gone,0,9,0-0-9-9,10,64,64,train,id3",
    )
    flags = ("--dataset", "vox", "--size", "32", "--boxes", str(table), "--max_broken", "3")
    output = tmp_path / "made"
    assert prepare(monkeypatch, tmp_path / "videos", output, *flags) == 0
    labels = {}
    for split in ("train", "test"):
        for clip in open_prepared(output, split):
            assert isinstance(clip, PreparedClip)
            assert (clip.height, clip.width, clip.frame_rate) == (32, 32, 10)
            labels[clip.name] = [label(frame) for frame in clip.frames()]
    assert labels == {
        "id1#a#000002#000006.mp4": [(2, index) for index in (2, 3, 4, 5)],
        "id1#a#000010#000022.mp4": [(2, index) for index in (5, 6, 7, 8, 9, 10)],
        "id2#b#000000#000060.mp4": [(5, index) for index in range(6)],
    }
    report = json.loads((output / "broken.json").read_text())
    reasons = {entry["name"]: entry["reason"] for entry in report["broken"]}
    assert "b.mkv has no frame between start and end" in reasons["id2#b#000009#000020.mp4"]
    assert "box 70-70-90-90 of a video of 64 x 64 is empty" in reasons["id2#b#000000#000003.mp4"]
    assert "there is no video" in reasons["id3#gone#000000#000009.mp4"]
    (short,) = report["short"]
    assert (short["name"], short["frames"]) == ("id2#b#000000#000060.mp4", 6)
    assert short["expected"] == 60

    # With other boxes of the same names it is another data set.
    table.write_text(table.read_text().replace("10-10-50-40", "10-10-50-41"))
    before = contents(output)
    assert prepare(monkeypatch, tmp_path / "videos", output, *flags) == 2
    assert contents(output) == before


def test_a_video_is_decoded_once_for_all_its_clips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_video(tmp_path / "a.gif", 1, 9, size=32)
    lines = [f"a,{at},{at + 2},0-0-32-32,10,32,32,train" for at in range(5)]
    clips = find_boxes(write_table(tmp_path / "boxes.csv", TAICHI, *lines), tmp_path)["train"]
    opened = []
    opener = encoding.open_video
    monkeypatch.setattr(encoding, "open_video", lambda path: opened.append(path) or opener(path))
    made = list(encoding.encode_clips(clips, encoding.Encoding("png", 95, None)))
    assert opened == [tmp_path / "a.gif"]
    for clip, encoded in zip(clips, made, strict=True):
        assert isinstance(encoded, encoding.EncodedClip)
        assert encoded.clip is clip
        assert len(encoded.frames) == len(list(clip.frames())) == 2


def test_boxes_of_a_video_with_frames_at_odd_times_are_those_of_the_clock(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    times = [0, 0.1, 0.2, 0.3, 0.4, 2.4, 2.5, 2.6, 2.7, 2.8]
    with FrameWriter(path, fps=9 / 2.8) as writer:
        for number, time in enumerate(times):
            writer.write(np.full((32, 32, 3), 20 * number, np.uint8), time)
    # Frames 20 to 27 of a rate of 10: the third second, of which 2.4 to 2.6 have frames.
    box = Box(20, 27, 0, 0, 32, 32, 10.0, 32, 32)
    found = [frame.mean() for _, frame in frames_within(open_video(path), [box])]
    assert found == pytest.approx([100, 120, 140], abs=3)
