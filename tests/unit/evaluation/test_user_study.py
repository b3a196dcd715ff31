"""The user study but for its page in a browser, which is tests/optional/check_user_study.py."""

import json
import math
import re
import subprocess
import sys

import pytest

from tpsm_jax.errors import InputError
from tpsm_jax.evaluation.user_study.counting import count_answers, preference
from tpsm_jax.evaluation.user_study.page import make_page


def folders(tmp_path, names_a=("x.mp4", "y.gif"), names_b=("x.webm", "y.gif")):
    for folder, names in (("ours", names_a), ("theirs", names_b)):
        (tmp_path / folder).mkdir(parents=True)
        for name in names:
            (tmp_path / folder / name).write_bytes(f"{folder} {name}".encode())
    return tmp_path / "ours", tmp_path / "theirs"


def data_of(page):
    found = re.search(r'<script id="study"[^>]*>(.*?)</script>', page.read_text(), re.DOTALL)
    return json.loads(found[1])


def test_the_page_holds_every_pair_and_fetches_nothing(tmp_path):
    page, count = make_page(*folders(tmp_path), tmp_path / "study")
    assert (page, count) == (tmp_path / "study" / "index.html", 2)
    data = data_of(page)
    assert (data["a"], data["b"]) == ("ours", "theirs")
    assert [pair["name"] for pair in data["pairs"]] == ["x", "y"]
    assert data["pairs"][0]["a"] == "data:video/mp4;base64,b3VycyB4Lm1wNA=="
    assert data["pairs"][0]["b"].startswith("data:video/webm;base64,")
    assert not re.search(r"(https?:)?//[a-z]+\.", page.read_text())
    assert "default-src 'none'" in page.read_text()
    assert [path.name for path in page.parent.iterdir()] == ["index.html"]


def test_equal_clips_make_an_equal_page_and_others_another_study(tmp_path):
    a, b = folders(tmp_path)
    first, _ = make_page(a, b, tmp_path / "one")
    second, _ = make_page(a, b, tmp_path / "two")
    assert first.read_bytes() == second.read_bytes()
    (a / "x.mp4").write_bytes(b"changed")
    third, _ = make_page(a, b, tmp_path / "two")
    assert data_of(third)["study"] != data_of(first)["study"]


def test_a_name_cannot_end_the_data(tmp_path):
    name = "<!--<script>STUDY_DATA.gif"
    page, _ = make_page(*folders(tmp_path, (name,), (name,)), tmp_path / "study")
    assert data_of(page)["pairs"][0]["name"] == name.removesuffix(".gif")
    assert page.read_text().count("<!--") == 1  # the page's own comment


def test_answers_beside_the_page_are_left_alone(tmp_path):
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "answers.json").write_text("{}")
    make_page(*folders(tmp_path), tmp_path / "study")
    assert (tmp_path / "study" / "answers.json").read_text() == "{}"


def test_methods_are_named_by_where_their_folders_differ(tmp_path):
    places = [tmp_path / run / "converted" / "video" for run in ("ours", "theirs")]
    for folder, place in zip(folders(tmp_path / "clips"), places, strict=True):
        place.parent.mkdir(parents=True)
        folder.rename(place)
    page, _ = make_page(*places, tmp_path / "study")
    assert (data_of(page)["a"], data_of(page)["b"]) == ("ours", "theirs")
    page, _ = make_page(*places, tmp_path / "study", ("TPSM", "MRAA"))
    assert (data_of(page)["a"], data_of(page)["b"]) == ("TPSM", "MRAA")
    with pytest.raises(InputError, match="are one folder"):
        make_page(places[0], places[0] / ".." / "video", tmp_path / "study")
    with pytest.raises(InputError, match="both methods are named x"):
        make_page(*places, tmp_path / "study", ("x", "x"))


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (("x.mp4", "z.mp4"), ("x.mp4",), "z.mp4 has no partner in .*theirs"),
        (("x.mp4",), ("x.mp4", "z.mp4"), "z.mp4 has no partner in .*ours"),
        (("x.mp4", "x.gif"), ("x.mp4",), "two clips of one name"),
        ((), ("x.mp4",), "ours holds no clips"),
        (("x.txt", ".x.mp4"), ("x.mp4",), "ours holds no clips"),
    ],
)
def test_folders_that_do_not_match_are_refused(tmp_path, a, b, message):
    with pytest.raises(InputError, match=message):
        make_page(*folders(tmp_path, a, b), tmp_path / "study")
    assert not (tmp_path / "study").exists()


def test_an_empty_clip_is_refused(tmp_path):
    a, b = folders(tmp_path)
    (b / "y.gif").write_bytes(b"")
    with pytest.raises(InputError, match=r"y.gif is empty"):
        make_page(a, b, tmp_path / "study")


def answers(participant, *rows, **changed):
    """A file as the page saves it; a row is left, continuity, authenticity."""
    keys = ("left", "continuity", "authenticity")
    file = {
        "format": "tpsm_jax user study", "version": 1, "study": "s", "a": "ours", "b": "theirs",
        "participant": participant, "pairs": len(rows),
        "answers": [
            {"pair": str(i), **dict(zip(keys, row, strict=True))} for i, row in enumerate(rows)
        ],
    }  # fmt: skip
    return file | changed


def write(tmp_path, *files):
    paths = [tmp_path / f"{i}.json" for i in range(len(files))]
    for path, file in zip(paths, files, strict=True):
        path.write_text(json.dumps(file))
    return paths


def test_answers_are_added_up(tmp_path):
    count = count_answers(write(tmp_path, answers("p", "aab", "bab"), answers("q", "bba", "aab")))
    assert (count.a, count.b, count.participants) == ("ours", "theirs", 2)
    assert {q: (p.share, p.answers) for q, p in count.preferences.items()} == {
        "continuity": (0.75, 4),
        "authenticity": (0.25, 4),
    }
    assert (count.left.share, count.left.answers) == (4 / 8, 8)


@pytest.mark.parametrize(("favorable", "answers"), [(0, 5), (3, 10), (70, 100), (5, 5)])
def test_wilsons_interval_by_its_formula(favorable, answers):
    z, share = 1.959963984540054, favorable / answers
    middle = (share + z**2 / (2 * answers)) / (1 + z**2 / answers)
    half = math.sqrt(share * (1 - share) / answers + z**2 / (4 * answers**2))
    half *= z / (1 + z**2 / answers)
    expected = (share, middle - half, middle + half, answers)
    assert preference(favorable, answers) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ([], "no file of answers"),
        ({"format": "other"}, "no file of answers"),
        (answers("q", "aab", version=2), "of version 2"),
        (answers("q", "aab", study="other"), "different studies"),
        (answers("p", "aab"), "same participant"),
        (answers("q", "aac"), "has been changed"),
        (answers("q", "aab", pairs=2), "has been changed"),
        (answers("q"), "has been changed"),
        (answers("q", "aab", "aab", answers=answers("q", "aab")["answers"] * 2), "been changed"),
        (answers(3, "aab"), "has been changed"),
    ],
)
def test_files_that_cannot_be_counted_are_refused(tmp_path, file, message):
    with pytest.raises(InputError, match=message):
        count_answers(write(tmp_path, answers("p", "aab"), file))


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_json_is_refused(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match="not JSON"):
        count_answers([path])


def run(*arguments):
    command = [sys.executable, "-m", "tpsm_jax.evaluation.user_study", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.slow
def test_the_commands(tmp_path):
    a, b = folders(tmp_path)
    done = run("make", a, b, "--output", tmp_path / "study")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"wrote {tmp_path / 'study' / 'index.html'}: 2 pairs, 0.0 MB\n"

    done = run("count", *write(tmp_path, answers("p", *["aab"] * 8, *["bba"] * 2)))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "1 participants, intervals of 95% (Wilson)",
        "continuity, of 10 answers",
        "   80.0%  [49.0%, 94.3%]  ours",
        "   20.0%  [5.7%, 51.0%]  theirs",
        "authenticity, of 10 answers",
        "   20.0%  [5.7%, 51.0%]  ours",
        "   80.0%  [49.0%, 94.3%]  theirs",
        "the clip on the left was chosen in 50.0%  [29.9%, 70.1%]",
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("make", "nowhere", "nowhere", "--output", "x"), "nowhere: No such file or directory"),
        (("make", "a"), "the following arguments are required: B_DIR, --output (--help lists"),
        (("count", "none.json"), "none.json: No such file or directory"),
        ((), "required: command"),
    ],
)
def test_mistakes_end_in_a_line(arguments, message):
    done = run(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
