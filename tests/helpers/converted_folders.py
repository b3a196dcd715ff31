"""Folders of checkpoints, written and compared."""

import json

import jax
import numpy as np

from tests.helpers.small import model_params
from tpsm_jax.checkpoints.orbax_io import save_tree


def contents(folder):
    """Everything in a folder, with its bytes."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def assert_equal(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def write_run(folder, variables, losses):
    """What training leaves: step -> its mean loss, and so many thirds of `variables`."""
    folder.mkdir()
    (folder / "config.json").write_text(
        json.dumps({"image_size": [64, 64], "model_params": model_params()})
    )
    for step, loss in losses.items():
        place = folder / "checkpoints" / str(step)
        (place / "metrics").mkdir(parents=True)
        save_tree(place / "variables", jax.tree.map(lambda x: x * (step / 3), variables))  # noqa: B023
        if loss is not None:
            (place / "metrics" / "metrics").write_text(json.dumps({"loss": loss}))
    return folder
