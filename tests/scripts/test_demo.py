"""What the demo measures, on clips and with a model whose errors are known."""

import sys

import numpy as np
import pytest
from PIL import Image

import demo
from tests.helpers.halfway import Halfway
from tests.helpers.tiny_training import SIZE, tiny_config
from tpsm_jax.checkpoints.converted import Checkpoint
from tpsm_jax.errors import InputError


def test_flags_run_nothing(monkeypatch, capsys):
    monkeypatch.setattr(demo, "run", lambda *_: pytest.fail("it ran"))
    monkeypatch.setattr(sys, "argv", ["demo.py", "--help"])
    with pytest.raises(SystemExit) as ended:
        demo.main()
    assert (ended.value.code, "runs/demo" in capsys.readouterr().out) == (0, True)
    monkeypatch.setattr(sys, "argv", ["demo.py", "--steps=1"])
    with pytest.raises(InputError, match="unrecognized arguments: --steps=1"):
        demo.main()


def test_measure(tmp_path):
    config = tiny_config()
    config.dataset.path = str(tmp_path)
    gray = {"train": [[0]], "test": [[0, 100, 200], [50] * (demo.BATCH + 1)]}
    for split, clips in gray.items():
        for number, clip in enumerate(clips):
            folder = tmp_path / split / str(number)
            folder.mkdir(parents=True)
            for frame, value in enumerate(clip):
                Image.fromarray(np.full((SIZE, SIZE, 3), value, np.uint8)).save(
                    folder / f"{frame:03d}.png"
                )
    checkpoint = Checkpoint(config, Halfway(), {})
    metrics = demo.measure(checkpoint)
    frames = 3 + demo.BATCH + 1
    assert metrics["l1_static"] == pytest.approx(300 / 255 / frames)
    assert metrics["l1"] == pytest.approx(150 / 255 / frames)
    assert (metrics["clips"], metrics["frames"]) == (2, frames)
