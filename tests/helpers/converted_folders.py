"""Folders of checkpoints, written, harmed and compared."""

import json
import struct

import jax
import numpy as np
from safetensors.numpy import load_file, save_file

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


def write_older(folder, variables, config, vgg19=None):
    """A checkpoint as older versions wrote it, by Orbax."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(dict(config)))
    save_tree(folder / "variables", variables)
    if vgg19 is not None:
        save_tree(folder / "vgg19", vgg19)
    return folder


def rewrite(path, change):
    """Lets `change` replace a safetensors file's arrays, by name, as another program would."""
    arrays = load_file(path)
    save_file(change(arrays) or arrays, path)


def write_tensors(path, header, data=b""):
    """A safetensors file of a header, right or wrong."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


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
