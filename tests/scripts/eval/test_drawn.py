"""Puppets as the data of eval.py: nothing on disk, and a truth for figures that others move."""

import json

import numpy as np
import pytest

import data.puppets.truth
from data.puppets import draw_clip
from data.puppets.truth import true_frames
from tests.helpers.error_lines import refused
from tests.helpers.tiny_training import SIZE
from tpsm_jax.evaluation.joints import joint_numbers
from tpsm_jax.media.video_reader import open_video

pytestmark = pytest.mark.slow
PUPPETS = ("--data", "puppets")


@pytest.fixture(autouse=True)
def few_frames(monkeypatch):
    monkeypatch.setattr(data.puppets.truth, "FRAMES", 5)


@pytest.mark.parametrize("mode", ["relative", "standard"])
def test_figures_moved_by_others(run, tmp_path, mode):
    more = ("--truth", "cross", "--clips", 2, "--seed", 3, "--mode", mode)
    code, out, _ = run(tmp_path / "out", *PUPPETS, *more)
    assert code == 0
    assert "Joints AKD" in out
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    assert metrics["data"] == {
        "path": "puppets", "dataset": "", "resize": False, "puppets": 2, "seed": 3,
        "truth": "cross",
    }  # fmt: skip
    (model,) = metrics["models"]
    names = [clip["name"] for clip in model["clips"]]
    assert names == ["1030000--1030001#1030000", "1030002--1030003#1030001"]
    for clip in model["clips"]:
        identities, motion = clip["name"].split("#")
        source, driving = map(int, identities.split("--"))
        truth = list(true_frames(source, int(motion), num_frames=5, size=(SIZE, SIZE)))
        repeated = np.stack([truth[0].picture] * 5)
        pictures = np.stack([frame.picture for frame in truth])
        expected = {name: x.mean() for name, x in joint_numbers(repeated, truth).items()}
        expected["l1"] = np.abs(pictures - repeated.astype(float)).mean() / 255
        for name, value in expected.items():
            assert clip["static"][name] == pytest.approx(value, abs=1e-6)
        assert {"l1", "psnr", "ssim", "limbs", "joint_akd", "joint_mkr"} <= clip["metrics"].keys()
        video = list(open_video(tmp_path / f"out/converted/video/{clip['name']}.mp4"))
        assert len(video) == 5
        cells = np.split(video[-1].astype(float), 4, axis=1)
        moved = draw_clip(driving, int(motion), num_frames=5, size=SIZE)[-1]
        for cell, picture in ((0, repeated[0]), (1, moved), (3, pictures[-1])):
            assert np.abs(cells[cell] - picture).mean() < 12
    page = (tmp_path / "out/report.html").read_text()
    assert "compared with the drawn truth" in page
    assert "<span>result</span><span>truth</span>" in page
    assert run(tmp_path / "out", *PUPPETS, *more, "--resume")[0] == 0
    assert json.loads((tmp_path / "out/metrics.json").read_text()) == metrics


def test_figures_that_move_themselves(run, tmp_path):
    assert run(tmp_path / "out", *PUPPETS, "--clips", 1)[0] == 0
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    assert metrics["mode"] == "reconstruction"
    (clip,) = metrics["models"][0]["clips"]
    assert (clip["name"], clip["frames"]) == ("1000000#1000000", 5)
    assert "limbs" not in clip["metrics"]


def test_what_does_not_go_with_puppets(run, tmp_path, monkeypatch):
    for flags, said in (
        (("--resize",), "--resize is not for --data puppets"),
        (("--random_pairs", 2), "--random_pairs is not for --data puppets"),
        (("--detector", "face"), "--detector is not for --data puppets"),
        (("--mode", "standard"), "--mode is for --pairs, --random_pairs and --truth"),
        (("--seed", -1), "--seed is 0 or more"),
        (("--seed", 100), "seeds below 100"),
        (("--clips", 1001), "at most 1000 clips"),
    ):
        refused(run(tmp_path / "out", *PUPPETS, *flags), said)
    refused(run(tmp_path / "out", "--truth", "cross"), "--truth is for --data puppets")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "puppets").mkdir()
    refused(run(tmp_path / "out", *PUPPETS), "say ./puppets for that")
    assert not (tmp_path / "out").exists()
