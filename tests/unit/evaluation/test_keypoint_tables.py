"""AKD, MKR and AED of tables: what pose-evaluation's scripts print, and bad tables."""

import gzip
import json
import pickle
import subprocess
import sys

import numpy as np
import pytest

from tests.helpers.paths import GOLDEN
from tpsm_jax.errors import InputError
from tpsm_jax.evaluation import keypoint_tables as tables

TABLES = GOLDEN / "tables"
PRINTED = json.loads((TABLES / "printed.json").read_text())


def golden(name):
    return (tables.read_table(TABLES / f"{name}_{side}.jsonl") for side in ("truth", "result"))


@pytest.mark.parametrize("name", ["body_pose", "face_pose"])
def test_akd_equals_the_official_scripts(name):
    scores = tables.compare_tables(*golden(name))
    assert scores.akd == pytest.approx(PRINTED[name]["Average difference"], rel=1e-7)
    assert scores.aed is None


def test_mkr_equals_the_official_script():
    scores = tables.compare_tables(*golden("body_pose"))
    assert scores.mkr == pytest.approx(PRINTED["body_pose"]["Missing count"], rel=1e-12)


@pytest.mark.parametrize("name", ["face_id", "body_id"])
def test_aed_equals_the_official_script(name):
    scores = tables.compare_tables(*golden(name))
    # The script subtracts in float32.
    assert scores.aed == pytest.approx(PRINTED[name]["Average difference"], rel=1e-5)
    assert (scores.akd, scores.mkr) == (None, None)


@pytest.mark.parametrize(
    ("name", "counts"), [("body_pose", (10, 8, 1, 1)), ("face_pose", (10, 8, 0, 2))]
)
def test_frames_where_nothing_was_found_are_counted(name, counts):
    assert tables.compare_tables(*golden(name))[3:] == counts


def points(*values, detector=""):
    arrays = [None if value is None else np.array(value, float) for value in values]
    return tables.Table({("clip", i): array for i, array in enumerate(arrays)}, detector)


def test_definitions_by_hand():
    truth = points([[0, 0], [10, 10]], [[-1, -1], [5, 5]], None, [[1, 1], [2, 2]])
    result = points([[3, 1], [-1, -1]], [[9, 9], [6, 6]], [[1, 1], [1, 1]], None)
    scores = tables.compare_tables(truth, result)
    assert scores.akd == pytest.approx(((3 + 1) / 2 + 1) / 2)
    assert scores.mkr == pytest.approx((0.5 + 0 + 1) / 3)
    assert scores[3:] == (4, 2, 1, 1)


def test_a_point_just_outside_the_frame_is_found():
    scores = tables.compare_tables(points([[-1, 40], [3, 3]]), points([[-1, 42], [3, 3]]))
    assert (scores.akd, scores.mkr) == (0.5, 0)


def test_nothing_found_anywhere_has_no_scores():
    scores = tables.compare_tables(points(None, None), points(None, None))
    assert scores == tables.Scores(None, None, None, 2, 0, 2, 2)


def row(name="a.mp4", number=0, value=((1, 2), (3, 4)), **more):
    return json.dumps({"file_name": name, "frame_number": number, "value": value, **more})


def write(folder, *lines, name="table.jsonl"):
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


def test_clips_match_but_for_their_suffixes_in_any_order(tmp_path):
    truth = write(tmp_path, row("a.1.mp4", 0), row("a.2.mp4", 0, [[0, 0], [0, 0]]), name="t.jsonl")
    result = write(tmp_path, row("a.2.mp4.PNG", 0, [[1, 1], [1, 1]]), "", row("a.1", 0))
    assert tables.compare_tables(*map(tables.read_table, (truth, result))).akd == 0.5


def test_a_compressed_table(tmp_path):
    path = tmp_path / "table.jsonl.gz"
    with gzip.open(path, "wt") as file:
        file.write(row())
    assert list(tables.read_table(path).frames) == [("a", 0)]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "holds no frames"),
        (["{"], "line 1: not a JSON object"),
        (["3"], "line 1: not a JSON object"),
        ([row(), '{"file_name": "a"}'], "line 2: not a JSON object"),
        ([row(number=0.5)], "frame_number a whole number"),
        ([row(name=3)], "file_name must be text"),
        ([row(), row("a.png")], "line 2: a has a frame 0 already"),
        ([row(value="x")], "value must be key points"),
        ([row(value=[])], "value must be key points"),
        ([row(value=[[1, 2], [3]])], "value must be key points"),
        ([row(value=[[1, 2, 3], [1, 2, 3]])], "value must be key points"),
        ([row(value=[[1, None], [1, 2]])], "value must be key points"),
        ([row(value=[float("nan")])], "value must be key points"),
        ([row(value=[10**400])], "value must be key points"),
        ([row(value=[1e200])], "value must be key points"),  # its square is no number
        (["[" * 100_000], "line 1: not a JSON object"),
    ],
)
def test_a_broken_table_is_refused_by_its_line(tmp_path, lines, message):
    with pytest.raises(InputError, match=message):
        tables.read_table(write(tmp_path, *lines))


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"\x1f\x8bbroken"])
def test_what_is_no_text_is_refused(tmp_path, content):
    for name in ("table.jsonl", "table.jsonl.gz"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match="no text table"):
            tables.read_table(tmp_path / name)


def test_a_cut_compressed_table_is_refused(tmp_path):
    path = tmp_path / "table.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(row(number=i) for i in range(50)).encode())[:-9])
    with pytest.raises(InputError, match="cut short"):
        tables.read_table(path)


def test_tables_of_other_frames_are_refused(tmp_path):
    one, two = points([[1, 2], [3, 4]]), points([[1, 2], [3, 4]], None)
    with pytest.raises(InputError, match="1 frames are not in the result's table, .* 1 of clip"):
        tables.compare_tables(two, one)
    with pytest.raises(InputError, match="not in the truth's table"):
        tables.compare_tables(one, two)


def test_tables_of_two_detectors_are_refused(tmp_path):
    with pytest.raises(InputError, match="one detector"):
        tables.compare_tables(points([[1, 2], [3, 4]]), points([[1, 2]] * 3))
    one, two = (points([[1, 2]], detector=name) for name in ("A 1.0", "A 1.1"))
    with pytest.raises(InputError, match="truth's table is by A 1.0 and the result's by A 1.1: nu"):
        tables.compare_tables(one, two)
    with pytest.raises(InputError, match="the result's by one without a name"):
        tables.compare_tables(one, points([[1, 2]]))
    path = write(tmp_path, row(detector="A 1.0"), row(number=1, detector="A 1.1"))
    with pytest.raises(InputError, match="is by two detectors, A 1.0 and A 1.1"):
        tables.read_table(path)


def test_the_detector_is_reported(tmp_path):
    path = write(tmp_path, row(detector="A 1.0"), row(number=1, value=None, detector="A 1.0"))
    assert tables.read_table(path).detector == "A 1.0"
    last = run("--truth", path, "--result", path).stdout.splitlines()[-1]
    assert last == "by A 1.0: numbers compare only within one detector"


def test_a_pickle_is_not_read_and_the_way_out_is_reported(tmp_path):
    path = tmp_path / "pose.pkl"
    path.write_bytes(pickle.dumps(print))
    with pytest.raises(InputError, match=r"read_pickle\('pose.pkl'\).to_json\(.*'pose.jsonl'"):
        tables.read_table(path)


def run(*arguments):
    command = [sys.executable, "-m", "tpsm_jax.evaluation.keypoint_tables", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_command_prints_scores_and_counts():
    truth, result = (TABLES / f"body_pose_{side}.jsonl" for side in ("truth", "result"))
    done = run("--truth", truth, "--result", result)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "AKD 3.17369",
        "MKR 0.284092",
        "frames 10, of which the distance is the mean of 8",
        "nothing found in 1 frames of the truth, 1 of the result",
    ]


def test_the_command_tells_a_mistake_in_a_line(tmp_path):
    truth = TABLES / "body_pose_truth.jsonl"
    done = run("--truth", truth, "--result", tmp_path / "none.jsonl")
    assert done.returncode == 2
    assert done.stderr == f"error: {tmp_path / 'none.jsonl'}: No such file or directory\n"
