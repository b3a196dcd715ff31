"""animate.py as a command: folders of pictures and clips."""

import shutil

import numpy as np
import pytest

from tests.scripts import test_animate
from tpsm_jax.media.video_reader import open_video

inputs, run = test_animate.inputs, test_animate.run


@pytest.mark.slow
def test_all_pairs_are_as_one_by_one(run, inputs, tmp_path):
    for name in ("sources", "clips"):
        (tmp_path / name).mkdir()
    shutil.copy(inputs / "source.png", tmp_path / "sources" / "a.png")
    shutil.copy(inputs / "frames/1.png", tmp_path / "sources" / "b.png")
    (tmp_path / "sources" / "broken.png").write_bytes(b"no picture")
    shutil.copytree(inputs / "frames", tmp_path / "clips" / "first")
    shutil.copy(inputs / "driving.mp4", tmp_path / "clips" / "second.mp4")
    folders = {"source": tmp_path / "sources", "driving": tmp_path / "clips"}
    place = f"{tmp_path}/out/{{source}}-{{driving}}/"
    code, out, err = run(place, **folders)
    assert code == 2
    assert out.count("frames, the first after") == 4
    assert "5 of 6: skipped" in err
    assert "2 of 6 pairs were skipped" in err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *("a-first", "a-second", "b-first", "b-second")
    ]
    for source in "ab":
        options = {"source": tmp_path / f"sources/{source}.png", "driving": "driving.mp4"}
        assert run(f"{tmp_path}/one/", **options)[0] == 0
        one, other = (open_video(tmp_path / name) for name in ("one", f"out/{source}-second"))
        np.testing.assert_array_equal(list(one), list(other))
    _, out, _ = run(place, **folders)  # a second time
    assert out.count("is there; left alone") == 4


@pytest.mark.slow
def test_a_table_of_pairs(inputs, monkeypatch, capsys, tmp_path):
    (tmp_path / "pairs.csv").write_text(f"source,driving\n{inputs}/source.png,{inputs}/frames\n")
    words = ["animate.py", "--checkpoint", str(inputs / "checkpoint"), "--crop", "none"]
    words += ["--pairs", str(tmp_path / "pairs.csv"), "--output", f"{tmp_path}/{{source}}.mp4"]
    monkeypatch.setattr("sys.argv", [*words, "--compilation_cache", "none"])
    with pytest.raises(SystemExit) as end:
        test_animate.run_script(test_animate.animate.main)
    assert end.value.code == 0
    assert "1 of 1: wrote" in capsys.readouterr().out
    assert (tmp_path / "source.mp4").is_file()


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"pairs": "x.csv"}, "--pairs: not together with --source and --driving"),
        ({"source": "frames"}, "put {source} into --output"),
    ],
)
def test_what_does_not_go_together(run, inputs, tmp_path, options, line):
    code, _, err = run(tmp_path / "out.mp4", **options)
    assert (code, list(tmp_path.iterdir())) == (2, [])
    assert line in err


def test_a_motion_is_saved_for_a_single_pair(run, tmp_path):
    options = {"source": "frames", "save_motion": tmp_path / "x.npz"}
    code, _, err = run(f"{tmp_path}/{{source}}.mp4", **options)
    assert (code, list(tmp_path.iterdir())) == (2, [])
    assert err == "error: --save_motion is for one picture and one clip, not for several\n"
