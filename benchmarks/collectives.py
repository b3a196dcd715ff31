"""Counts what the devices exchange in a training step, and estimates how long that takes.

    python benchmarks/collectives.py --config configs/vox256.py --devices 8

Nothing is trained, and no accelerator is needed: the step is compiled for simulated CPU devices,
and read. The figures are in docs/scaling.md.
"""

import argparse
import math
import re
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from tpsm_jax.compilation_cache import use_compilation_cache
from tpsm_jax.config_files import read_config
from tpsm_jax.training.schedule import Phase
from tpsm_jax.training.sharding import make_mesh
from tpsm_jax.training.step import ModelTrainer

_KINDS = "all-reduce|all-gather|all-to-all|collective-permute|collective-broadcast|reduce-scatter"
# One array of each, and what published bandwidth lets a chip send: bytes a second.
LINKS = {
    "8 x H100, NVLink: 900 GB/s, half of it each way": (8, 450e9),
    "v5e-16: 400 GB/s a chip, half of it each way": (16, 200e9),
    "v5e-256, likewise": (256, 200e9),
    "400 Gbit/s network, of each of 64 hosts": (64, 50e9),
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


def collectives(program: str) -> list[Collective]:
    """Reads the collectives of a compiled program; one within a loop counts once.

    Args:
      program: its HLO, as `compiled.as_text()` gives it on CPU.

    Returns:
      Every array of every collective, where several are exchanged together too.
    """
    found = []
    for line in program.splitlines():
        if match := re.search(rf"= (.*?) ({_KINDS})\(", line):
            for dtype, lengths in re.findall(r"(\w+)\[([\d,]*)\]", match[1]):
                shape = tuple(int(length) for length in lengths.split(",") if length)
                found.append(Collective(match[2], shape, math.prod(shape) * _itemsize(dtype)))
    return found


def _itemsize(dtype: str) -> int:
    """Bytes of an entry of an HLO type, as f32, bf16 or pred."""
    bits = re.search(r"\d+", dtype)
    return max(int(bits[0]) // 8, 1) if bits else 1
