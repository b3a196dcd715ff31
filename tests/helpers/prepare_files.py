"""Folders of clips to prepare, and the command run in this process."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.prepare.__main__ import main
from tpsm_jax.cli import run_script


def noise(seed: int, height: int = 16, width: int = 16) -> np.ndarray:
    """A frame that no encoder makes small, [height, width, 3] uint8."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def write_noise_clip(folder: Path, frames: int, seed: int = 0, size: int = 16) -> list[np.ndarray]:
    """Writes a folder of PNGs and returns what is in them."""
    folder.mkdir(parents=True)
    made = [noise(1000 * seed + index, size, size) for index in range(frames)]
    for index, frame in enumerate(made):
        Image.fromarray(frame).save(folder / f"{index:04d}.png")
    return made


def write_noise_set(
    root: Path, train: int = 5, test: int = 2, frames: int = 3, size: int = 16
) -> dict[str, list[np.ndarray]]:
    """Writes clips t00, t01, ... to train/ and e00, e01, ... to test/; returns their frames."""
    made = {}
    for split, count, first_seed in (("train", train, 0), ("test", test, 500)):
        for number in range(count):
            folder = root / split / f"{'te'[split == 'test']}{number:02d}"
            made[folder.name] = write_noise_clip(folder, frames, first_seed + number, size)
    return made


def prepare(monkeypatch: pytest.MonkeyPatch, source: Path | None, output: Path, *flags: str) -> int:
    """`python -m data.prepare` without another process; returns its exit code."""
    given = [] if source is None else ["--input", str(source)]
    if "--dataset" not in flags:
        given += ["--dataset", "clips"]
    if "--workers" not in flags:
        given += ["--workers", "1"]
    monkeypatch.setattr(sys, "argv", ["prepare", *given, "--output", str(output), *flags])
    with pytest.raises(SystemExit) as ended:
        run_script(main)
    return ended.value.code


def contents(root: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {str(path.relative_to(root)): path.read_bytes() for path in files}
