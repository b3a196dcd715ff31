"""Checkpoint folders whose safetensors files are mutated; see `tests.helpers.fuzzing`.

python -m tests.helpers.fuzz_checkpoints FIRST LAST
"""

import functools
import json
import random
import tempfile
from collections.abc import Callable
from pathlib import Path

from safetensors.numpy import load, save

from tests.helpers.fuzzing import mutated, naming, run
from tests.helpers.small import draw_variables, without
from tests.helpers.tiny_training import tiny_config
from tpsm_jax.checkpoints.converted import load_checkpoint, save_checkpoint
from tpsm_jax.checkpoints.files import CONFIG, MODEL, VGG19
from tpsm_jax.checkpoints.vgg19 import load_vgg19

MEGABYTES = 150  # the files have 300 kB at most
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
    if rng.random() < 0.5:
        header = mutated(rng, header)
    else:
        entries = json.loads(header)
        for _ in range(rng.choice([1, 1, 2, 5])):
            _change(rng, entries)
        header = json.dumps(entries).encode()
    return len(header).to_bytes(_LENGTH, "little") + header + rest


def _change(rng: random.Random, entries: dict) -> None:
    """Renames a tensor, drops it, gives it another type or shape, or another one's data."""
    one, other = rng.choice(list(entries)), rng.choice(list(entries))
    way = rng.randrange(5)
    if way == 0:
        parts = one.split("/")
        names = ["a", "", "/".join(parts[:-1]), one + "/a", "/" * 1000, "params/" * 20_000, "\x1b"]
        entries[rng.choice([*names, "/".join(parts[1:]), one + "\0"])] = entries.pop(one)
    elif way == 1:
        del entries[one]
    elif way == 2:
        entries[one], entries[other] = entries[other], entries[one]
    elif "shape" in entries[one]:
        if way == 3:
            entries[one]["dtype"] = rng.choice(["F16", "BF16", "F64", "I32", "BOOL", "F8_E5M2", ""])
        else:
            shape = entries[one]["shape"]
            rng.choice([shape.reverse, lambda: shape.append(1), lambda: shape.append(2**62)])()
    else:
        entries[one] = {"tpsm_jax": rng.choice(["1 01234567", "1", "2 x", ""])}


def case(rng: random.Random, place: Path) -> Callable[[], object]:
    """Writes a checkpoint with a mutated file, and returns what reads that."""
    files = _files()
    changed = rng.choice([MODEL, MODEL, VGG19])
    data = rng.choice(files[changed])
    if rng.random() < 0.4:
        data = mutated(rng, data, [*files[MODEL], *files[VGG19]])
    else:
        data = _mutated_header(rng, data)
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
