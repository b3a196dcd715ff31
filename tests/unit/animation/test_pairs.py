"""Which pairs are animated, what they are called, and that one that fails is left out."""

import pytest
from PIL import Image

from tpsm_jax.animation.pairs import Pair, animate_pairs, find_pairs, read_pairs
from tpsm_jax.errors import InputError


@pytest.fixture
def folder(tmp_path):
    """Two pictures, and clips of each kind."""
    for name in ("pictures", "clips", "clips/frames", "clips/nothing", "animated"):
        (tmp_path / name).mkdir()
    for name in ("pictures/10.png", "pictures/9.jpg", "clips/frames/0.png", "animated/0.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    for name in ("pictures/notes.txt", "clips/a.mp4", "clips/b.npz", "clips/.d.mp4"):
        (tmp_path / name).touch()
    return tmp_path


def places(folder, pairs):
    return [
        tuple(str(path).removeprefix(f"{folder}/") for path in pair if path is not None)
        for pair in pairs
    ]


def test_single_inputs_are_no_folder(folder):
    assert find_pairs(str(folder / "pictures/9.jpg"), str(folder / "clips/a.mp4"), "o.mp4") is None
    assert find_pairs("missing.png", "missing.mp4", None) is None


@pytest.mark.parametrize("more", [(), ("1.webp",), ("masks/0.png",), ("result.mp4", "x.npz")])
def test_a_folder_with_pictures_is_one_clip(folder, more):
    for name in more:
        (folder / "animated" / name).parent.mkdir(exist_ok=True)
        (folder / "animated" / name).touch()
    given = str(folder / "pictures/9.jpg"), str(folder / "animated")
    assert find_pairs(*given, "out.mp4") is None


def test_a_folder_of_one_is_a_folder(folder):
    (folder / "pictures/10.png").unlink()
    pictures, clip = str(folder / "pictures"), str(folder / "clips/a.mp4")
    assert places(folder, find_pairs(pictures, clip, "out.mp4")) == [
        ("pictures/9.jpg", "clips/a.mp4", "out.mp4")
    ]


def test_all_pairs_in_natural_order(folder, capsys):
    found = find_pairs(
        str(folder / "pictures"), str(folder / "clips"), f"{folder}/out/{{source}}-{{driving}}.mp4"
    )
    clips = ["a.mp4", "b.npz", "frames"]
    assert places(folder, found) == [
        (f"pictures/{picture}", f"clips/{clip}", f"out/{stem}-{clip.split('.')[0]}.mp4")
        for picture, stem in (("9.jpg", "9"), ("10.png", "10"))
        for clip in clips
    ]
    assert capsys.readouterr().err.splitlines() == [
        f"warning: {folder}/pictures: 1 .txt passed over",
        f"warning: {folder}/clips: 1 folder passed over",
    ]


@pytest.mark.parametrize(
    ("output", "line"),
    [
        ("out.mp4", "several results would be out.mp4: put {driving} into --output"),
        ("{driving}.mp4", "several results would be a.mp4: put {source} into --output"),
    ],
)
def test_results_need_names_of_their_own(folder, output, line):
    with pytest.raises(InputError, match=line):
        find_pairs(str(folder / "pictures"), str(folder / "clips"), output)


def test_inputs_of_one_name_are_refused(folder):
    Image.new("RGB", (8, 8)).save(folder / "pictures/9.png")
    with pytest.raises(InputError, match=r"several results would be 9.mp4: rename"):
        find_pairs(str(folder / "pictures"), str(folder / "clips/a.mp4"), "{source}.mp4")


@pytest.mark.parametrize(
    "output", ["clips/{driving}.mp4", "clips/{source}-{driving}.gif", "clips/"]
)
def test_results_among_the_inputs_are_refused(folder, output):
    with pytest.raises(InputError, match="would lie among the inputs"):
        find_pairs(str(folder / "pictures/9.jpg"), str(folder / "clips"), f"{folder}/{output}")


def test_names_that_look_like_places(folder, monkeypatch):
    Image.new("RGB", (8, 8)).save(folder / "pictures/{driving}.png")
    (folder / "pictures/9.jpg").unlink()
    monkeypatch.chdir(folder / "animated")
    found = find_pairs(str(folder / "pictures"), ".", f"{folder}/out/{{source}}-{{driving}}.mp4")
    assert [pair.output.removeprefix(f"{folder}/out/") for pair in found] == [
        "10-animated.mp4",
        "{driving}-animated.mp4",
    ]


def test_a_folder_without_pictures_is_refused(folder):
    with pytest.raises(InputError, match="holds no picture .* to animate"):
        find_pairs(str(folder / "clips/nothing"), "a.mp4", "out.mp4")


def test_a_table(folder):
    text = "driving,note,source\nclips/a.mp4,,pictures/9.jpg\nclips/c.gif,x,pictures/10.png\n"
    (folder / "pairs.csv").write_text("\ufeff" + text, encoding="utf-8")
    assert places(folder, read_pairs(folder / "pairs.csv", "{source}{driving}.gif")) == [
        ("pictures/9.jpg", "clips/a.mp4", "9a.gif"),
        ("pictures/10.png", "clips/c.gif", "10c.gif"),
    ]


def test_names_of_one_column_may_suffice(folder):
    text = "source,driving\na.png,x.mp4\nb.png,y.mp4\n"
    (folder / "pairs.csv").write_text(text)
    found = read_pairs(folder / "pairs.csv", "{source}.gif")
    assert [pair.output for pair in found] == ["a.gif", "b.gif"]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", "lacks the column source"),
        (b"source,driving\n", "names no pair"),
        (b"source\na.png\n", "lacks the column driving"),
        (b"source,driving\na.png,b.mp4\na.png,\n", "line 3: there is no driving"),
        (b"source,driving\na.png\n", "line 2: there is no driving"),
        (b"source,driving\na.png,b.mp4\na.png,b.mp4\n", "a.png with .*b.mp4 is listed twice"),
        (b"\xff\xfe\x00", "cannot read the pairs"),
    ],
)
def test_no_table(folder, content, line):
    (folder / "pairs.csv").write_bytes(content)
    with pytest.raises(InputError, match=line):
        read_pairs(folder / "pairs.csv", "{source}{driving}.gif")


def test_a_missing_table(folder):
    with pytest.raises(InputError, match="cannot read the pairs of .*none.csv: No such file"):
        read_pairs(folder / "none.csv", "{source}{driving}.gif")


def test_one_that_fails_is_named_and_left_out(tmp_path, capsys):
    pairs = [Pair(f"{name}.png", "x.mp4", f"{tmp_path}/out/{name}.mp4") for name in "abc"]

    def animate(pair):
        if pair.source == "b.png":
            raise InputError("b.png is no picture")
        with open(pair.output, "w"):
            return "wrote it"

    with pytest.raises(InputError, match="1 of 3 pairs were skipped.*; 2 results are there"):
        animate_pairs(pairs, animate)
    out, err = capsys.readouterr()
    assert out == "1 of 3: wrote it\n3 of 3: wrote it\n"
    assert err == "2 of 3: skipped b.png with x.mp4: b.png is no picture\n"


def test_results_that_are_there_are_left_alone(tmp_path, capsys):
    pairs = [Pair(f"{name}.png", "x.mp4", f"{tmp_path}/{name}.mp4") for name in "ab"]
    (tmp_path / "a.mp4").write_text("before")
    animated = []
    animate_pairs(pairs, lambda pair: animated.append(pair.source) or "wrote it")
    assert animated == ["b.png"]
    assert (tmp_path / "a.mp4").read_text() == "before"
    assert "a.mp4 is there; left alone" in capsys.readouterr().out


def test_a_pair_that_fails_leaves_no_folder(tmp_path):
    def animate(pair):
        raise InputError("no picture")

    with pytest.raises(InputError, match="1 of 1 pairs were skipped"):
        animate_pairs([Pair("a.png", "x.mp4", f"{tmp_path}/new/folder/a.mp4")], animate)
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_too_long_is_left_out(tmp_path, capsys):
    pairs = [Pair("a.png", "x.mp4", f"{tmp_path}/{'n' * 300}.mp4")]
    with pytest.raises(InputError, match="1 of 1 pairs were skipped"):
        animate_pairs(pairs, lambda pair: "wrote it")
    assert "File name too long" in capsys.readouterr().err
