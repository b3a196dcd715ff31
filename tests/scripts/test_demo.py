"""What the demo runs and writes, with the commands that it calls replaced."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import demo
from data.puppets import draw_clip, split_identities
from tests.helpers.small import draw_variables
from tests.helpers.tiny_training import SIZE, tiny_config
from tpsm_jax.checkpoints.converted import Checkpoint
from tpsm_jax.errors import InputError
from tpsm_jax.media.images import read_image
from tpsm_jax.media.video_reader import open_video
from tpsm_jax.models.registry import build_model


@pytest.fixture
def commands(monkeypatch, tmp_path):
    """The commands that the demo calls; animate.py and eval.py are played by few lines."""
    called = []

    def run(*words):
        words = list(map(str, words))
        called.append(words)
        if words[0] == "animate.py":
            frames = list(open_video(words[words.index("--driving") + 1]))
            demo.write_video(frames[::-1], Path(words[words.index("--output") + 1]))
        if words[0] == "eval.py":
            place = Path(words[words.index("--output") + 1])
            place.mkdir(exist_ok=True)
            (place / "report.html").write_text("the page")
            model = {"totals": {"l1": 0.02}, "static": {"l1": 0.08}, "clips": [{}] * 4, "frames": 9}
            (place / "metrics.json").write_text(json.dumps({"models": [model]}))

    def load(name):
        called.append(["load", name])
        config = tiny_config()
        variables = draw_variables(config.model_params)
        return Checkpoint(config, build_model(config.model_params), variables)

    monkeypatch.setattr(demo, "run", run)
    monkeypatch.setattr(demo, "load_checkpoint", load)
    monkeypatch.setattr(demo, "ROOT", tmp_path)
    monkeypatch.setattr(demo, "use_compilation_cache", lambda: None)
    monkeypatch.chdir(tmp_path)  # and back at the end, which the demo leaves
    return called


def test_flags_run_nothing(monkeypatch, capsys):
    monkeypatch.setattr(demo, "run", lambda *_: pytest.fail("it ran"))
    monkeypatch.setattr(sys, "argv", ["demo.py", "--help"])
    with pytest.raises(SystemExit) as ended:
        demo.main()
    assert (ended.value.code, "runs/demo" in capsys.readouterr().out) == (0, True)
    monkeypatch.setattr(sys, "argv", ["demo.py", "--steps=1"])
    with pytest.raises(InputError, match="unrecognized arguments: --steps=1"):
        demo.main()


@pytest.mark.slow
@pytest.mark.parametrize("flags", [[], ["--train"]])
def test_what_is_called_and_written(commands, monkeypatch, tmp_path, capsys, flags):
    monkeypatch.setattr(sys, "argv", ["demo.py", *flags])
    demo.main()
    folder = "runs/demo_train" if flags else "runs/demo"
    name = f"{folder}/training" if flags else "puppets"
    trained = [["train.py", "--config", "configs/puppets64.py", "--workdir", name]]
    assert commands == [
        *(trained if flags else []),
        ["load", name],
        ["animate.py", "--checkpoint", name, "--source", f"{folder}/source.png", "--driving",
         f"{folder}/driving.mp4", "--output", f"{folder}/animation.mp4"],
        ["eval.py", "--checkpoint", name, "--data", "puppets", "--clips", "4", "--output",
         f"{folder}/evaluation"],
    ]  # fmt: skip
    output = tmp_path / folder
    assert {path.name for path in output.iterdir()} == {
        "source.png", "driving.mp4", "animation.mp4", "side_by_side.mp4", "strip.png", "sheet.png",
        "report.html", "metrics.json", "evaluation",
    }  # fmt: skip
    metrics = json.loads((output / "metrics.json").read_text())
    assert metrics == {"l1": 0.02, "l1_static": 0.08, "clips": 4, "frames": 9}
    first = split_identities("test").start
    source = draw_clip(first + 1, first + 9, num_frames=1, size=SIZE)[0]
    np.testing.assert_array_equal(read_image(output / "source.png"), source)
    rows = list(open_video(output / "side_by_side.mp4"))
    assert len(rows) == demo.FRAMES
    assert {row.shape for row in rows} == {(2 * SIZE, 6 * SIZE, 3)}
    driving = [frame.astype(float) for frame in open_video(output / "driving.mp4")]
    for index in (0, 40):
        cells = np.split(rows[index][::2, ::2].astype(float), 3, axis=1)
        for cell, picture in zip(cells, (source, driving[index], driving[-1 - index]), strict=True):
            assert np.abs(cell - picture).mean() < 8
    said = capsys.readouterr().out.strip().splitlines()
    assert len(said) == 4
    assert "0.25 of what repeating" in said[2]
    assert f"--checkpoint {name}" in said[3]


def test_a_command_that_fails_ends_the_demo(monkeypatch):
    monkeypatch.setattr(sys, "executable", "false")
    with pytest.raises(InputError, match="the command above failed with exit code 1"):
        demo.run("eval.py")
