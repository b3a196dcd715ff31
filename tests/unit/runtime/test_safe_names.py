"""Names from files of other people, wherever they become a path."""

import json
from pathlib import Path

import pytest

from data.evaluation_set import check_names
from data.prepare import open_prepared
from data.prepare.boxes import find_boxes
from tests.helpers.prepare_files import contents, prepare, write_noise_set
from tpsm_jax.errors import InputError
from tpsm_jax.evaluation.clip_frames import EvaluationClip
from tpsm_jax.evaluation.detection import write_truth
from tpsm_jax.evaluation.output import CLIPS, PNG, ClipFiles, clip_file, finished_clip
from tpsm_jax.runtime.safe_names import safe_name

LEADING_OUT = ("../../../X", "/tmp/X", "a/b", "..", ".", "", "a\\..\\b", "a\0b", "a\nb", ".x")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared set of one clip a split."""
    root = tmp_path_factory.mktemp("set")
    write_noise_set(root / "raw", train=1, test=1, frames=1)
    with pytest.MonkeyPatch.context() as patch:
        assert prepare(patch, root / "raw", root / "made") == 0
    return root / "made"


@pytest.mark.parametrize("name", LEADING_OUT)
def test_a_name_that_leads_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(InputError) as error:
        safe_name(name, "a clip in list.json")
    assert str(error.value).startswith(f"a clip in list.json is named {name!r}, which ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "name", ["id1#x y.mp4", "-b", "ä", "😀.gif", "caf\udce9", "a..b", "x" * 255]
)
def test_a_name_of_a_file_is_kept(name: str) -> None:
    assert safe_name(name, "a clip") == name


@pytest.mark.parametrize("name", ["x" * 256, "ä" * 128])
def test_a_name_is_measured_in_bytes(name: str) -> None:
    with pytest.raises(InputError, match="has 256 bytes, and file systems take 255"):
        safe_name(name, "a clip")


@pytest.mark.parametrize("name", LEADING_OUT)
@pytest.mark.parametrize("field", ["clip", "record file"])
def test_a_prepared_set_that_names_another_place(
    made: Path, tmp_path: Path, name: str, field: str
) -> None:
    for file, content in contents(made).items():
        (tmp_path / file).write_bytes(content)
    listing = tmp_path / "clips-test.json"
    listed = json.loads(listing.read_text())
    if field == "clip":
        listed["clips"][0]["name"] = name
    else:
        listed["shards"][0]["file"] = name
    listing.write_text(json.dumps(listed))
    for split in ("test", "train"):  # whichever is read
        with pytest.raises(InputError, match=rf"a {field} in .*clips-test\.json is named"):
            open_prepared(tmp_path, split)


@pytest.mark.parametrize("content", [None, "", "[]", '{"shards": [{}], "clips": 1}'])
def test_a_damaged_list_of_the_other_split_does_no_harm(
    made: Path, tmp_path: Path, content: str | None
) -> None:
    for file, whole in contents(made).items():
        (tmp_path / file).write_bytes(whole)
    (tmp_path / "clips-test.json").unlink()
    if content is not None:
        (tmp_path / "clips-test.json").write_text(content)
    assert [clip.name for clip in open_prepared(tmp_path, "train")] == ["t00"]
    with pytest.raises(InputError, match=r"clips-test\.json"):
        open_prepared(tmp_path, "test")


@pytest.mark.parametrize("person", ["../../../X", "/tmp/X", ".x", "a\\b", "a\x1b[2J", "p" * 250])
def test_a_table_of_boxes_whose_person_leads_elsewhere(tmp_path: Path, person: str) -> None:
    table = tmp_path / "boxes.csv"
    table.write_text(
        "video_id,start,end,bbox,fps,width,height,partition,person_id\n"
        f"a,0,2,0-0-9-9,25,10,10,train,{person}\n"
    )
    with pytest.raises(InputError, match=r"boxes\.csv, line 2: the clip is named"):
        find_boxes(table, tmp_path)


@pytest.mark.parametrize("video", ["v" * 300, "a\\b", "."])
def test_a_table_of_boxes_whose_video_leads_elsewhere(tmp_path: Path, video: str) -> None:
    table = tmp_path / "boxes.csv"
    table.write_text(
        f"video_id,start,end,bbox,fps,width,height,partition\n{video},0,2,0-0-9-9,25,10,10,train\n"
    )
    with pytest.raises(InputError, match=r"boxes\.csv, line 2: the video is named"):
        find_boxes(table, tmp_path)


def test_what_no_reader_takes_is_not_prepared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_noise_set(tmp_path / "raw", train=1, test=1, frames=1)
    (tmp_path / "raw/train/t00").rename(tmp_path / "raw/train/t\n00")
    assert prepare(monkeypatch, tmp_path / "raw", tmp_path / "made") == 2
    assert r"named 't\n00', which holds a control character: rename it" in capsys.readouterr().err
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("name", LEADING_OUT)
def test_an_evaluation_writes_nothing_outside_its_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "a" / "b" / "c" / "model"
    with pytest.raises(InputError):
        ClipFiles(folder, name, 25.0, None)
    for read in (clip_file, lambda *place: finished_clip(folder, place[-1])):
        with pytest.raises(InputError):
            read(folder, CLIPS, name)
    clip = EvaluationClip(name, lambda: iter(()))
    with pytest.raises(InputError):
        write_truth(folder, [clip], (16, 16))
    with pytest.raises(InputError):
        check_names([clip])
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_two_clips_of_one_name_would_share_their_files() -> None:
    clips = [EvaluationClip("a", lambda: iter(()))] * 2
    with pytest.raises(InputError, match="two clips are named a, and would write the same files"):
        check_names(clips)


def test_a_clip_has_the_files_that_the_documentation_names(tmp_path: Path) -> None:
    assert clip_file(tmp_path, PNG, "a.mp4") == tmp_path / "png" / "a.mp4.png"
