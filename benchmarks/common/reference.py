"""Starts the workers of benchmarks/official, which run the official PyTorch code, and asks them."""

import argparse
import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path

from tpsm_jax.cli import local_path_text
from tpsm_jax.errors import InputError

ROOT = Path(__file__).resolve().parents[2]

# The official code needs memory of the accelerator, too. JAX reads this when it starts.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")


class ReferenceProcess:
    """A worker, which answers a line of numbers by a line of numbers.

    Attributes:
      name: the worker's first line: "torch VERSION" or another framework, and how it computes.
      torch_version: the version of the last worker started; all of them have the same.
    """

    torch_version: str | None = None

    def __init__(self, command: list[str]):
        # Without what the project's scripts set for themselves (GLIBC_TUNABLES), and with the
        # working folder on the import path, where the worker's own package is.
        unwanted = ("GLIBC_TUNABLES", "PYTHONSAFEPATH")
        environ = {key: value for key, value in os.environ.items() if key not in unwanted}
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environ,
            cwd=ROOT,
        )
        self.name = self._answer()
        if self.name.startswith("torch "):
            ReferenceProcess.torch_version = self.name.split()[1].rstrip(",")

    def ask(self, *numbers: float) -> list[float]:
        """Sends a line of numbers, and waits for the line of numbers that answers it."""
        assert self._process.stdin is not None
        # A worker that has ended gives no answer either, which is reported below.
        with contextlib.suppress(BrokenPipeError):
            print(*numbers, file=self._process.stdin, flush=True)
        return [float(number) for number in self._answer().split()]

    def _answer(self) -> str:
        assert self._process.stdout is not None
        if not (line := self._process.stdout.readline()):
            raise InputError("the official code ended; its error message is above")
        return line.strip()

    def __enter__(self) -> "ReferenceProcess":
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(BrokenPipeError):  # it has ended already
            self._process.communicate()  # closes its input, which ends it


def add_reference_flags(parser: argparse.ArgumentParser, *, config: bool = True) -> None:
    """Adds the flags for `reference_command`, and for `official_config` if it is called."""
    parser.add_argument(
        "--reference", type=local_path_text, help="checkout of the official PyTorch code"
    )
    parser.add_argument(
        "--reference_python",
        type=local_path_text,
        default=sys.executable,
        help="a Python that has torch",
    )
    if config:
        parser.add_argument(
            "--reference_config",
            type=local_path_text,
            help="its YAML file, if not the one with the config's name",
        )


def reference_command(args: argparse.Namespace, worker: str) -> list[str]:
    """The command that starts a worker of benchmarks/official; see `ReferenceProcess`.

    Paths are made absolute, because the worker runs in the project's root.

    Args:
      args: has the flags of `add_reference_flags`.
      worker: the name of its module.

    Raises:
      InputError: --reference is no checkout of the official code.
    """
    if not Path(args.reference, "modules").is_dir():
        raise InputError(f"{args.reference} is no checkout of the official code: no modules/")
    python = args.reference_python
    if os.sep in python:
        python = str(Path(python).absolute())  # not resolved: a venv is known by its link's place
    module = f"benchmarks.official.{worker}"
    return [python, "-W", "ignore", "-m", module, "--reference", absolute(args.reference)]


def official_config(args: argparse.Namespace, config: str = "configs/vox256.py") -> str:
    """The path of the official YAML file: --reference_config, else the one with a config's name.

    Raises:
      InputError: there is no such file.
    """
    name = re.sub(r"(\d+)$", r"-\1", Path(config).stem)  # vox256 -> vox-256
    yaml = args.reference_config or f"{args.reference}/config/{name}.yaml"
    if not Path(yaml).is_file():
        raise InputError(f"there is no {yaml}: give --reference_config")
    return absolute(yaml)


def absolute(path: str | Path) -> str:
    """A path that holds in any working folder."""
    return str(Path(path).absolute())
