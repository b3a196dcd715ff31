"""AKD, MKR and AED of an evaluation: numbers, tables that do not fit, commands that make them."""

import json
import os
import sys

import pytest

from tests.unit.evaluation.test_keypoint_tables import PRINTED, TABLES, row, write
from tpsm_jax.errors import InputError
from tpsm_jax.evaluation.detection import Detector, add_scores, run_detector
from tpsm_jax.evaluation.summary import as_text, make_table

COUNTS = {"id10#a.mp4": 4, "id2#b.mp4": 3, "id10#a_2.mp4": 3}


def model(counts=COUNTS, name="m"):
    """An entry of metrics.json without numbers."""
    clips = [
        {"name": clip, "frames": count, "metrics": {}, "static": {}}
        for clip, count in counts.items()
    ]
    numbers = {"totals": {}, "static": {}, "detections": [], "clips": clips}
    return {"name": name, "frames": sum(counts.values()), **numbers}


def golden(name):
    return [TABLES / f"{name}_{side}.jsonl" for side in ("truth", "result")]


def text(*models, dataset=""):
    return as_text(make_table({"models": models, "data": {"dataset": dataset}}))


def test_numbers_of_key_points_and_embeddings(tmp_path):
    ours = model()
    add_scores(tmp_path, [ours], golden("body_pose"))
    add_scores(tmp_path, [ours], golden("body_id"))
    assert ours["totals"] == {
        "akd": pytest.approx(PRINTED["body_pose"]["Average difference"], rel=1e-7),
        "mkr": pytest.approx(PRINTED["body_pose"]["Missing count"], rel=1e-12),
        "aed": pytest.approx(PRINTED["body_id"]["Average difference"], rel=1e-5),
    }
    body, identity = ours["detections"]
    assert body == {
        "detector": "",
        "metrics": ["akd", "mkr"],
        "truth_table": str(TABLES / "body_pose_truth.jsonl"),
        "result_table": str(TABLES / "body_pose_result.jsonl"),
        "frames": 10,
        "compared": 8,
        "missing_in_truth": 1,
        "missing_in_result": 1,
    }
    assert (identity["metrics"], identity["compared"]) == (["aed"], 10)
    assert all(set(clip["metrics"]) == {"akd", "mkr", "aed"} for clip in ours["clips"])
    # One frame without a find is the third of the first clip, of the truth.
    assert set(ours["static"]) == {"akd", "mkr", "aed"}


def jsonl(folder, name, values, detector="corners", **clips):
    """A table of one clip, and of others with one frame each."""
    rows = [row("a.mp4", number, value, detector=detector) for number, value in enumerate(values)]
    rows += [row(clip, 0, value, detector=detector) for clip, value in clips.items()]
    return write(folder, *rows, name=name)


def test_numbers_by_hand_and_repeating_the_source(tmp_path):
    truth = jsonl(tmp_path, "t.jsonl", [[[1, 1], [5, 5]], [[3, 1], [-1, -1]], None], b=[[0, 0]] * 2)
    result = jsonl(tmp_path, "r.jsonl", [[[1, 1], [5, 7]], [[-1, -1], [9, 9]], None])
    ours, other = model({"a.mp4": 3}), model({"a.mp4": 3}, "other")
    add_scores(tmp_path, [ours, other], [truth, result, truth])
    assert ours["totals"] == {"akd": 0.5, "mkr": 0.5}
    assert ours["static"] == {"akd": 0.5, "mkr": 0}  # the source has the one point, 2 pixels off
    assert ours["clips"][0]["metrics"] == ours["totals"]
    assert ours["clips"][0]["static"] == ours["static"]
    assert ours["detections"][0]["result_table"] == "r.jsonl"
    lines = text(ours, other).splitlines()
    assert lines[0].split() == ["AKD", "\u2193", "MKR", "\u2193"]
    assert [line.split()[-2:] for line in lines[1:4]] == [
        ["0.500", "0.500"],
        ["0.000", "0.000"],
        ["0.500", "0.000"],
    ]
    assert lines[4] == (
        "AKD, MKR: by corners, which found nothing in 1 of 3 frames of the clips, and in those of "
        "the results: m 1; other 1."
    )
    assert lines[5].startswith("AKD, MKR and AED compare only within one detector")


def test_nothing_found_anywhere_is_reported(tmp_path):
    ours = model({"a.mp4": 2})
    add_scores(tmp_path, [ours], [jsonl(tmp_path, "t.jsonl", [None, None])] * 2)
    assert (ours["totals"], ours["clips"][0]["metrics"]) == ({}, {})
    assert "No number: by corners, which found nothing in 2 of 2 frames" in text(ours)


def test_published_numbers_stand_as_printed():
    ours = model()
    ours["totals"]["l1"] = 0.0333
    lines = text(ours, dataset="mgif").splitlines()
    assert lines[1].split() == ["m", "0.0333"]
    assert lines[-1] == "MTIA (published: Tao et al., ECCV 2022, poster)  0.0200"
    tpsm = text(model(), dataset="taichi").splitlines()[2]
    assert tpsm.startswith("TPSM (published: Zhao and Zhang, CVPR 2022, Table 1) ")
    assert tpsm.split()[-4:] == ["0.045", "4.57", "0.018", "0.151"]


@pytest.mark.parametrize(
    ("truth", "result", "message"),
    [
        (["x"] * 3, ["x"] * 2, "r.jsonl is not of the clips .* lacks 1 .* frame 2 of a$"),
        (["x"] * 2, ["x"] * 3, "t.jsonl is not of the clips .* lacks 1 .* frame 2 of a$"),
        (["x"] * 4, ["x"] * 4, "t.jsonl .* has beyond them 1 .* frame 3 of a$"),
    ],
)
def test_tables_of_other_frames(tmp_path, truth, result, message):
    paths = [
        jsonl(tmp_path, name, [[[1, 2]] for _ in values])
        for name, values in (("t.jsonl", truth), ("r.jsonl", result))
    ]
    with pytest.raises(InputError, match=message):
        add_scores(tmp_path, [model({"a.mp4": 3})], paths)


def test_what_does_not_go_together(tmp_path):
    one = jsonl(tmp_path, "one.jsonl", [[[1, 2]]])
    two = jsonl(tmp_path, "two.jsonl", [[[1, 2]]], detector="others")
    with pytest.raises(InputError, match="by corners and the result's by others"):
        add_scores(tmp_path, [model({"a.mp4": 1})], [one, two])
    ours = model({"a.mp4": 1})
    add_scores(tmp_path, [ours], [one, one])
    with pytest.raises(InputError, match="two detectors give AKD"):
        add_scores(tmp_path, [ours], [two, two])
    with pytest.raises(InputError, match="one name but for the suffix"):
        add_scores(tmp_path, [model({"a.mp4": 1, "a.gif": 1})], [one, one])


WRITE = "import sys; open(sys.argv[1], 'w').write(' '.join(sys.argv[2:]))"


def command(code=WRITE, words="{output} {input} {height}x{width}"):
    return Detector("dots", f'{sys.executable} -c "{code}" {words}')


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a b" / "png").mkdir(parents=True)
    (tmp_path / "a b" / "png" / "clip.png").touch()
    return tmp_path / "a b"


def test_a_command_makes_the_table(folder, capfd):
    table = run_detector(folder, command(WRITE + "; print('looking')"), (24, 32), {"by": "me"})
    assert table == folder / "tables" / "dots.jsonl"
    assert table.read_text() == f"{folder / 'png'} 24x32"
    assert capfd.readouterr() == ("", "looking\n")
    assert sorted(os.listdir(table.parent)) == ["dots.jsonl", "dots.maker.json"]
    assert json.loads((table.parent / "dots.maker.json").read_text()) == {"by": "me"}


def test_a_table_is_kept_until_a_picture_is_newer(folder):
    table = run_detector(folder, command(), (24, 32), {})
    failing = command("import sys; sys.exit(3)")
    assert run_detector(folder, failing, (24, 32), {}) == table
    os.utime(folder / "png" / "clip.png")
    os.utime(table, (0, 0))
    with pytest.raises(InputError, match="the detector ended with code 3; it was called as"):
        run_detector(folder, failing, (24, 32), {})
    with pytest.raises(InputError, match=r"the detector wrote no .*dots\.jsonl; it was called"):
        run_detector(folder, command("0"), (24, 32), {})
    assert run_detector(folder, command(), (9, 9), {}).read_text().endswith("9x9")


@pytest.mark.parametrize("record", ["another", "none", "damaged"])
def test_a_table_of_another_maker_is_made_again(folder, record):
    table = run_detector(folder, command(), (24, 32), {"by": "me"})
    if record == "none":
        (table.parent / "dots.maker.json").unlink()
    elif record == "damaged":
        (table.parent / "dots.maker.json").write_text('{"by": "m')
    maker = {"by": "another" if record == "another" else "me"}
    with pytest.raises(InputError, match="ended with code 3"):
        run_detector(folder, command("import sys; sys.exit(3)"), (24, 32), maker)
    # Nobody knows yet who made the table that is still there.
    assert run_detector(folder, command(), (9, 9), {"by": "me"}).read_text().endswith("9x9")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("python {input}", r"has no \{output\}"),
        ("python {output}", r"has no \{input\}"),
        ("no-such-program {input} {output}", "there is no program no-such-program"),
        ("python '{input} {output}", "No closing quotation"),
    ],
)
def test_commands_that_cannot_be_called(text, message):
    with pytest.raises(InputError, match=message):
        Detector("dots", text).words()
