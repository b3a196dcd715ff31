r"""Counts what the devices exchange in a training step, and estimates how long that takes.

  python benchmarks/collectives.py --config configs/vox256.py --devices 8

Nothing is trained, and no accelerator is needed: the step is compiled for simulated CPU devices,
and its program is read. What the figures say is in docs/scaling.md.
"""

import math
import re
from collections import Counter
from typing import NamedTuple

import jax
from ml_collections import ConfigDict

from tpsm_jax.compilation_cache import use_compilation_cache
from tpsm_jax.config_files import apply_overrides, read_config
from tpsm_jax.errors import ArgumentParser, run_script
from tpsm_jax.nn import convolution
from tpsm_jax.orbax_trees import tree_bytes
from tpsm_jax.training.schedule import Phase
from tpsm_jax.training.sharding import make_mesh
from tpsm_jax.training.step import ModelTrainer

_KINDS = "all-reduce|all-gather|all-to-all|collective-permute|collective-broadcast|reduce-scatter"
_ARRAY = re.compile(r"\b(pred|[a-z]+\d+\w*)\[([\d,]*)\]")
# Devices, and the bytes a second that each can send, as published.
LINKS = {
    "8 H100, NVLink, 450 GB/s each way": (8, 450e9),
    "64 H100, 8 a host, a 400 Gbit/s adapter each": (64, 50e9),
    "v5e-16, 4 links of 50 GB/s each way": (16, 200e9),
    "v5e-256, likewise": (256, 200e9),
}


class Collective(NamedTuple):
    """An array that is exchanged.

    Attributes:
      kind: "all-reduce", "all-gather", ...
      shape: of the result on one device.
      size: bytes of it.
    """

    kind: str
    shape: tuple[int, ...]
    size: int


def main() -> None:
    """Compiles the step, prints what it exchanges, and what that costs on real links."""
    parser = ArgumentParser(__doc__ + "\nOverrides of the config: --config.FIELD=VALUE")
    parser.add_argument("--config", default="configs/vox256.py", help="file with get_config()")
    parser.add_argument("--devices", type=int, default=8, help="simulated, a sample each")
    args, overrides = parser.parse_known_args()
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", args.devices)
    # An accelerator's convolutions, whose kernels' gradients are one array each.
    convolution.LARGE_PICTURE = convolution.LARGE_KERNEL = math.inf
    use_compilation_cache()
    config = read_config(args.config)
    apply_overrides(config, overrides)
    config.train_params.batch_size = args.devices
    if config.perceptual_features == "vgg19":
        config.perceptual_features = "vgg19_random"
    report(config, args.devices)


def report(config: ConfigDict, devices: int) -> None:
    """Prints a table of kinds, then one of links."""
    trainer = ModelTrainer(config, make_mesh(jax.devices()[:devices]), steps_per_epoch=1)
    background = config.model_params.common_params.bg
    program = trainer.lower(Phase(background, dropout=True)).compile().as_text()
    parameters = tree_bytes(trainer.abstract_state().params)
    found = collectives(program)
    total = sum(collective.size for collective in found)
    print(f"parameters: {parameters / 1e6:.1f} MB")
    for kind, count in Counter(collective.kind for collective in found).items():
        size = sum(collective.size for collective in found if collective.kind == kind)
        print(f"{kind}: {count} arrays, {size / 1e6:.1f} MB a step")
    for name, (count, bandwidth) in LINKS.items():
        least, most = (1e3 * all_reduce_seconds(n, count, bandwidth) for n in (parameters, total))
        print(f"{name}: {least:.1f} to {most:.1f} ms a step")


def all_reduce_seconds(size: int, devices: int, bandwidth: float) -> float:
    """The time of summing `size` bytes over all devices in a ring, without its latency.

    Args:
      size: bytes, on each device.
      devices: in the ring.
      bandwidth: bytes a second that each device sends.
    """
    return 2 * (devices - 1) / devices * size / bandwidth


def collectives(program: str) -> list[Collective]:
    """Reads the collectives of a compiled program; one within a loop counts once.

    Args:
      program: its HLO, as `compiled.as_text()` gives it.

    Returns:
      Every array of every collective, also where several are exchanged together.
    """
    found = []
    for line in program.splitlines():
        if match := re.search(rf"= (.*?) ({_KINDS})(?:-start)?\(", line):
            for dtype, lengths in _ARRAY.findall(match[1]):
                shape = tuple(int(length) for length in lengths.split(",") if length)
                found.append(Collective(match[2], shape, math.prod(shape) * _itemsize(dtype)))
    return found


def _itemsize(dtype: str) -> int:
    """Bytes of an entry of an HLO type, as f32, bf16 or pred."""
    bits = re.search(r"\d+", dtype)
    return max(int(bits[0]) // 8, 1) if bits else 1


if __name__ == "__main__":
    run_script(main)
