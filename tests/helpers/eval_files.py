"""What eval.py is tried on: a checkpoint, a training run, clips; and its command line."""

import json
import shutil
from pathlib import Path
from typing import Any

import jax
from PIL import Image

from tests.helpers.small import draw_variables
from tests.helpers.tiny_training import tiny_batch, tiny_config
from tpsm_jax.checkpoints.converted import save_checkpoint
from tpsm_jax.checkpoints.orbax_io import save_tree

COUNTS = {"a#1": 3, "b#2": 10, "c#3": 1}  # frames of the test clips


def write_inputs(folder: Path) -> None:
    """A converted checkpoint, a training run of two steps with an average, and clips."""
    config = tiny_config()
    variables = draw_variables(config.model_params)
    save_checkpoint(folder / "converted", variables, config)
    other = {**variables, "params": jax.tree.map(lambda x: 1.1 * x, variables["params"])}
    for step, ours, loss in ((1, variables, 1.0), (2, other, 2.0)):
        place = folder / "run" / "checkpoints" / f"{step}"
        (place / "metrics").mkdir(parents=True)
        (place / "metrics" / "metrics").write_text(json.dumps({"loss": loss}))
        save_tree(place / "variables", ours)
    save_tree(folder / "run/checkpoints/2/ema_params", variables["params"])
    shutil.copy(folder / "converted" / "config.json", folder / "run" / "config.json")
    write_clips(folder / "clips")


def write_clips(root: Path, counts: dict[str, int] = COUNTS) -> None:
    """Folders of frames as test clips; train/ is empty."""
    (root / "train").mkdir(parents=True)
    for step, (name, count) in enumerate(counts.items()):
        place = root / "test" / name
        place.mkdir(parents=True)
        frames = tiny_batch(tiny_config(), step)["driving"]
        for number in range(count):
            Image.fromarray(frames[number % len(frames)]).save(place / f"{number:02d}.png")


def eval_words(
    inputs: Path,
    output: Path,
    *more: Any,
    checkpoint: tuple[str, ...] = ("converted",),
    data: str | Path = "clips",
) -> list[str]:
    """The command line, names within `inputs`, the eight devices of the tests in mind."""
    folders = [str(inputs / name) for name in checkpoint]
    words = ["eval.py", "--checkpoint", *folders, "--data", str(inputs / data)]
    words += ["--output", str(output), "--compilation_cache", "none", "--batch_size", "8"]
    return [*words, *map(str, more)]
