r"""Converts official PyTorch weights to a checkpoint folder, and back. PyTorch is not needed.

The checkpoint folder of a training run, to hand on, is made by --from_run.

python convert_torch_weights.py --checkpoint vox.pth.tar --config configs/vox256.py \
    --output checkpoints/vox
python convert_torch_weights.py --vgg19 vgg19-dcbb9e9d.pth --output checkpoints/vox
python convert_torch_weights.py --to_torch checkpoints/vox --output vox.pth.tar
python convert_torch_weights.py --from_run runs/vox@best --dtype bfloat16 --output checkpoints/mine
"""

if __name__ == "__main__":  # before what takes long to import
    from tpsm_jax.runtime import ctrl_c

    ctrl_c.end_quietly()

import argparse
import sys
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from tpsm_jax.checkpoints.converted import load_checkpoint, save_checkpoint, stored_config
from tpsm_jax.checkpoints.safetensors_io import STORED_DTYPES
from tpsm_jax.checkpoints.steps import find_step, split_step
from tpsm_jax.checkpoints.torch import (
    ImportReport,
    ignored_beside_vgg19,
    read_torch_file,
    torch_from_variables,
    variables_from_torch,
    vgg19_from_torch,
    write_torch_file,
)
from tpsm_jax.checkpoints.vgg19 import save_vgg19
from tpsm_jax.cli import ArgumentParser, add_step_flag, local_path, local_path_text, run_script
from tpsm_jax.config import read_config
from tpsm_jax.errors import InputError
from tpsm_jax.models.interface import Family, Variables
from tpsm_jax.models.registry import family_of
from tpsm_jax.runtime.run_lock import only_writer

_NAMES_SHOWN = 20


def main() -> None:
    """Reads everything, then writes everything, so that an error leaves the output untouched."""
    args = parse_arguments()
    if args.to_torch:
        export_checkpoint(args.to_torch, args.output, args.step or "latest")
        return
    vgg19 = read_vgg19(args.vgg19) if args.vgg19 else None
    if args.checkpoint:
        config = read_config(args.config)
        variables, report = read_checkpoint(args.checkpoint, config)
        print_report(args.checkpoint, report, family_of(config.model_params))
    elif args.from_run:
        variables, config = read_run(args.from_run)
    with only_writer(args.output, make_folder=True):
        if args.checkpoint or args.from_run:
            save_checkpoint(args.output, variables, config, vgg19=vgg19, dtype=args.dtype)
        else:
            assert vgg19 is not None
            save_vgg19(args.output, vgg19, dtype=args.dtype)
    print(f"wrote {args.output}")


def parse_arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = ArgumentParser(__doc__)
    add = parser.add_argument
    add("--checkpoint", type=local_path, help="official file to convert, e.g. vox.pth.tar")
    add("--config", type=local_path, help="what it was trained with, e.g. configs/vox256.py")
    add("--vgg19", type=local_path, help="torchvision's vgg19-dcbb9e9d.pth, which training needs")
    add(
        "--to_torch",
        type=local_path,
        metavar="DIR",
        help="checkpoint folder to write as a PyTorch file",
    )
    add(
        "--from_run",
        type=local_path_text,
        metavar="DIR[@STEP]",
        help="workdir of train.py, its latest step or another (@best, @9000), averaged weights if "
        "it keeps them; or a checkpoint folder, to write it again",
    )
    add(
        "--dtype",
        choices=STORED_DTYPES,
        help="type to store weights in, float32 without the flag; the others take half the disk",
    )
    add_step_flag(parser, default=None)
    add("--output", type=local_path, required=True, help="folder to write; with --to_torch, a file")
    args = parser.parse_args()
    others = (args.checkpoint, args.config, args.vgg19, args.from_run, args.dtype)
    if args.to_torch and any(others):
        parser.error("--to_torch goes with --output and --step alone")
    if args.step and not args.to_torch:
        parser.error("--step is for --to_torch; --from_run takes DIR@STEP")
    if args.from_run and (args.checkpoint or args.config):
        parser.error("--from_run goes without --checkpoint and --config")
    if not (args.to_torch or args.checkpoint or args.vgg19 or args.from_run):
        parser.error("give --checkpoint and --config, or --vgg19, or --from_run, or --to_torch")
    if bool(args.checkpoint) != bool(args.config):
        parser.error("--checkpoint and --config go together")
    return args


def read_checkpoint(path: Path, config: ConfigDict) -> tuple[Variables, ImportReport]:
    """Reads an official checkpoint, naming the file in every error."""
    tree = read_torch_file(path)
    try:
        return variables_from_torch(tree, config.model_params)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def read_run(text: str) -> tuple[Variables, ConfigDict]:
    """Reads a step of a training run, DIR or DIR@STEP."""
    folder, wanted = split_step(text)
    stored_config(folder)  # says what is no checkpoint, before a step is looked for in it
    number = find_step(folder, "latest" if wanted is None else wanted)
    loaded = load_checkpoint(folder, step="latest" if number is None else number)
    variables = jax.device_get(loaded.variables)
    step = "" if number is None else f"step {number}, "
    print(f"{folder}: {step}{', '.join(sorted(variables['params']))}, {_amount(variables)}")
    return variables, loaded.config


def read_vgg19(path: Path) -> Variables:
    """Reads torchvision's weights, naming the file in every error."""
    tree = read_torch_file(path)
    try:
        variables = vgg19_from_torch(tree)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    print(f"{path}: VGG-19 up to relu5_1, {_amount(variables)}")
    if ignored := ignored_beside_vgg19(tree):
        print(f"  ignored {_some(ignored)}: no weights of VGG-19")
    return variables


def print_report(path: Path, report: ImportReport, family: Family) -> None:
    """Prints what was found, what was not, and what cannot be done without it."""
    print(f"{path}:" + ("" if report.epoch is None else f" saved after epoch {report.epoch}"))
    if report.place:
        print(f"  the networks are in its entry {report.place}")
    for network, (tensors, numbers) in report.networks.items():
        print(f"  {network}: {tensors} tensors, {numbers / 1e6:.2f} M numbers")
    for network in report.absent:
        print(f"  no {network}: {family.lost_without[network]}")
    if report.ignored:
        print(f"  ignored {_some(report.ignored)}: the config has no such network")
    if report.not_finite:
        names = ", ".join(report.not_finite)
        print(f"warning: NaN or infinite numbers in {names}", file=sys.stderr)


def export_checkpoint(folder: Path, output: Path, step: str = "latest") -> None:
    """Writes a checkpoint folder as a file that the official code loads with strict=True."""
    checkpoint = load_checkpoint(folder, step=step)
    if checkpoint.model.dense_motion_network.warps != "tps":
        raise InputError(
            f"{folder} has affine warps, which the official code would take for splines"
        )
    variables = jax.device_get(checkpoint.variables)
    with only_writer(output, make_folder=True):
        write_torch_file(output, torch_from_variables(variables, checkpoint.config.model_params))
    print(f"wrote {output}: {', '.join(sorted(variables['params']))}, {_amount(variables)}")


def _some(names: tuple[str, ...]) -> str:
    more = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _amount(tree: Any) -> str:
    leaves = jax.tree.leaves(tree)
    return f"{len(leaves)} tensors, {sum(leaf.size for leaf in leaves) / 1e6:.2f} M numbers"


if __name__ == "__main__":
    run_script(main)
