"""Mutated weight files: both formats of PyTorch, and safetensors; see `tests.helpers.fuzzing`.

python -m tests.helpers.fuzz_weights FIRST LAST
"""

import argparse
import collections
import functools
import io
import itertools
import pickle
import pickletools
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from tests.helpers.fuzzing import mutated, run
from tests.helpers.paths import TORCH_FILES
from tests.helpers.small import draw_variables, model_params
from tests.helpers.torch_files import add_objects, read_zip, write_zip
from tpsm_jax.checkpoints.torch import (
    ignored_beside_vgg19,
    read_torch_file,
    torch_from_variables,
    variables_from_torch,
    vgg19_from_torch,
    write_torch_file,
)
from tpsm_jax.checkpoints.torch import vgg19 as vgg19_module
from tpsm_jax.errors import InputError

MEGABYTES = 150  # the files have 100 kB at most
PARAMS = {
    **model_params(),
    "generator_params": {"block_expansion": 2, "max_features": 2, "num_down_blocks": 3},
    "dense_motion_params": {
        "block_expansion": 2, "max_features": 2, "num_blocks": 2, "scale_factor": 0.25,
    },
    "kp_detector_params": {"width": 2, "blocks": 0},
    "bg_predictor_params": {"width": 2, "blocks": 0},
}  # fmt: skip
OBJECTS = {
    "best": np.float64(0.25),
    "scheduler": {"milestones": collections.Counter([60, 90])},
    "args": argparse.Namespace(lr=1e-4, keys={(1, 2): None}),
    "array": np.arange(3),
}
# One instruction of a pickle each, with an argument where it takes one.
_INSTRUCTIONS = [bytes([code]) for code in range(256)] + [
    b"cos\nsystem\n", b"ccollections\nOrderedDict\n", b"K\x01", b"h\x00", b"q\x00", b"X\x01\0\0\0a",
    b")R", b"}b", b")\x81", b"(tQ", b"(u", b"(e",
]  # fmt: skip


@functools.cache
def _made() -> dict[str, Any]:
    """What files are made of."""
    networks = torch_from_variables(draw_variables(PARAMS), PARAMS)
    del networks["avd_network"]  # whose widths are fixed
    flat = {
        f"{name}.{key}": np.array(value, order="C")
        for name, state in networks.items()
        for key, value in state.items()
    }
    originals = ("tensors", "training")
    return {
        "small": [read_zip(TORCH_FILES / f"{name}_zip.pth") for name in originals],
        "whole": _whole_checkpoints(networks),
        "legacy": [(TORCH_FILES / f"{name}_legacy.pth").read_bytes() for name in originals],
        "safetensors": [save(flat), save({"features.0.weight": np.zeros((2, 2), np.float32)})],
        "objects": [pickle.dumps(value, 2)[2:-1] for value in OBJECTS.values()],
    }


def _whole_checkpoints(networks: dict[str, Any]) -> list[dict[str, bytes]]:
    """One with objects beside the networks, and one in an entry and with prefixed keys."""
    nested = {
        name: {f"module.{key}": value for key, value in state.items()}
        for name, state in networks.items()
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "base.pth")
        write_torch_file(path, {**networks, "epoch": 3})
        plain = read_zip(add_objects(path, Path(folder, "objects.pth"), OBJECTS))
        write_torch_file(path, {"epoch": 3, "state_dict": nested})
        return [plain, read_zip(path)]


def _instructions(data: bytes) -> list[bytes]:
    """The instructions of a pickle."""
    places = [place for _, _, place in pickletools.genops(data)]
    return [data[start:end] for start, end in itertools.pairwise([*places, len(data)])]


def _mutated_pickle(rng: random.Random, data: bytes) -> bytes:
    """Changes bytes, or whole instructions: drops, swaps and repeats them, and puts others in."""
    if rng.random() < 0.3:
        return mutated(rng, data, _made()["objects"])
    parts = _instructions(data)
    for _ in range(rng.choice([1, 1, 2, 5])):
        one, other = rng.randrange(len(parts)), rng.randrange(len(parts))
        new = rng.choice([rng.choice(_INSTRUCTIONS), rng.choice(_made()["objects"])])
        way = rng.randrange(5)
        if way == 0:
            parts[one] = b""
        elif way == 1:
            parts[one], parts[other] = parts[other], parts[one]
        elif way == 2:
            parts[one] *= rng.choice([2, 50, 1000])
        elif way == 3:
            parts.insert(one, new * rng.choice([1, 1, 1, 50]))
        else:
            parts[one] = parts[one][:1] + rng.choice(parts)[1:]  # the argument of another
    return b"".join(parts)


def _legacy(rng: random.Random, data: bytes) -> bytes:
    """A file of the old format with one of its five pickles changed."""
    stream = io.BytesIO(data)
    pickles = []
    for _ in range(5):
        start = stream.tell()
        collections.deque(pickletools.genops(stream), maxlen=0)
        pickles.append(data[start : stream.tell()])
    rest = data[stream.tell() :]
    number = rng.choice([0, 1, 2, 3, 3, 3, 3, 4])
    pickles[number] = _mutated_pickle(rng, pickles[number])
    return b"".join(pickles) + rest


def _safetensors(rng: random.Random, data: bytes) -> bytes:
    """A file with a changed header, whose length is right."""
    length = int.from_bytes(data[:8], "little")
    header = mutated(rng, data[8 : 8 + length])
    return len(header).to_bytes(8, "little") + header + data[8 + length :]


def _zip(rng: random.Random, place: Path, records: dict[str, bytes]) -> bytes:
    """A zip file whose pickle, whose bytes, or both are changed; checksums fit the pickle."""
    whole = rng.random() < 0.4
    if not whole:
        name = next(name for name in records if name.endswith("data.pkl"))
        records = {**records, name: _mutated_pickle(rng, records[name])}
    data = write_zip(place / "whole.zip", records).read_bytes()
    return mutated(rng, data) if whole or rng.random() < 0.1 else data


def case(rng: random.Random, place: Path) -> Callable[[], object]:
    """Writes a mutated file, and returns what reads it."""
    made = _made()
    kind = rng.choices(["small", "whole", "legacy", "safetensors"], [35, 8, 35, 22])[0]
    if kind in ("legacy", "safetensors"):
        data = rng.choice(made[kind])
        if rng.random() < 0.4:
            data = mutated(rng, data, [*made[kind], *made["objects"]])
        else:
            data = (_legacy if kind == "legacy" else _safetensors)(rng, data)
    else:
        data = _zip(rng, place, rng.choice(made[kind]))
    path = place / "mutated.pth"
    path.write_bytes(data)
    return lambda: _read(path)


def _read(path: Path) -> None:
    """Reads a file as a checkpoint and as weights of VGG-19, which nearly all are not."""
    tree = read_torch_file(path)
    try:
        vgg19_from_torch(tree)
    except InputError:
        variables_from_torch(tree, PARAMS)
    else:
        ignored_beside_vgg19(tree)


if __name__ == "__main__":
    leaves = vgg19_module.vgg19_leaves()
    vgg19_module.vgg19_leaves = lambda: leaves  # traces the network
    run(case, MEGABYTES)
