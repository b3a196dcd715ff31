"""Checkpoint folders whose safetensors files are mutated; see `tests.helpers.fuzzing`.

python -m tests.helpers.fuzz_checkpoints FIRST LAST
"""

import functools
import random
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from safetensors.numpy import load, save

from tests.helpers.fuzzing import mutated, naming, run
from tests.helpers.odd_values import odd_json
from tests.helpers.small import draw_variables, without
from tests.helpers.tiny_training import tiny_config
from tpsm_jax.checkpoints.converted import load_checkpoint, save_checkpoint
from tpsm_jax.checkpoints.files import CONFIG, MODEL, VGG19
from tpsm_jax.checkpoints.vgg19 import load_vgg19

MEGABYTES = 150  # the files have 300 kB at most
Arrays = dict[str, np.ndarray]
_LENGTH = 8  # bytes that hold the length of the header


@functools.cache
def _files() -> dict[str, list[bytes]]:
    """config.json, and each file with a checksum and without, as other programs write it."""
    config = tiny_config()
    variables = without(draw_variables(config.model_params), "avd_network")  # of fixed widths
    with tempfile.TemporaryDirectory() as folder:
        vgg19 = {"params": variables["params"]["kp_detector"]}
        save_checkpoint(Path(folder, "x"), variables, config, vgg19=vgg19)
        files = {name: Path(folder, "x", name).read_bytes() for name in (CONFIG, MODEL, VGG19)}
    return {
        CONFIG: [files[CONFIG]],
        **{name: [files[name], save(load(files[name]))] for name in (MODEL, VGG19)},
    }


def _mutated_header(rng: random.Random, data: bytes) -> bytes:
    """Changes the header's bytes, or its values, and gives it the right length."""
    length = int.from_bytes(data[:_LENGTH], "little")
    header, rest = data[_LENGTH : _LENGTH + length], data[_LENGTH + length :]
    header = (mutated if rng.random() < 0.5 else odd_json)(rng, header)
    return len(header).to_bytes(_LENGTH, "little") + header + rest


def _other_arrays(rng: random.Random, data: bytes) -> bytes:
    """A good file of other arrays: some renamed, dropped, swapped, or of other types and shapes."""
    arrays = load(data)
    for _ in range(rng.choice([1, 1, 2, 5])):
        if len(arrays) < 2:
            break
        one, other = rng.sample(list(arrays), 2)
        rng.choice(_CHANGES)(rng, arrays, one, other)
    metadata = rng.choice([None, None, None, {"tpsm_jax": rng.choice(["1 01234567", "1", "2 x"])}])
    return save(arrays, metadata)


def _rename(rng: random.Random, arrays: Arrays, one: str, other: str) -> None:
    outer, _, inner = one.partition("/")
    names = [outer, inner, other + "/a", other.rpartition("/")[0], "a", "", "/", "/" * 1000, "\x1b"]
    arrays[rng.choice([*names, "params/" * 20_000, one + "\0", one + "/"])] = arrays.pop(one)


def _drop(_: random.Random, arrays: Arrays, one: str, other: str) -> None:
    network = one.split("/")[:2]
    for name in [one] if one < other else list(arrays):
        if name == one or name.split("/")[:2] == network:
            del arrays[name]


def _swap(_: random.Random, arrays: Arrays, one: str, other: str) -> None:
    arrays[one], arrays[other] = arrays[other], arrays[one]


def _cast(rng: random.Random, arrays: Arrays, one: str, _: str) -> None:
    kind = rng.choice(["float16", "float64", "int32", "bool", "uint8"])
    arrays[one] = arrays[one].astype(kind)


def _reshape(rng: random.Random, arrays: Arrays, one: str, _: str) -> None:
    array = arrays[one]
    shapes = [array[None], array.reshape(-1), array.reshape(-1)[:0], np.zeros((), array.dtype)]
    arrays[one] = np.array(rng.choice(shapes), order="C")


_CHANGES = [_rename, _rename, _drop, _swap, _cast, _reshape]


def case(rng: random.Random, place: Path) -> Callable[[], object]:
    """Writes a checkpoint with a mutated file, and returns what reads that."""
    files = _files()
    changed = rng.choice([MODEL, MODEL, VGG19])
    data = rng.choice(files[changed])
    way = rng.random()
    if way < 0.3:
        data = mutated(rng, data, [*files[MODEL], *files[VGG19]])
    else:
        data = (_mutated_header if way < 0.6 else _other_arrays)(rng, data)
    (place / CONFIG).write_bytes(files[CONFIG][0])
    (place / changed).write_bytes(data)
    return naming(place / changed, lambda: _read(place, changed))


def _read(place: Path, changed: str) -> None:
    if changed == VGG19:
        load_vgg19(place)
    else:
        load_checkpoint(place)


if __name__ == "__main__":
    run(case, MEGABYTES)
