"""Flags and columns of the studies that animate pairs of drawn figures."""

import argparse
from pathlib import Path
from typing import Any

from benchmarks.common.results import add_output_flag
from tpsm_jax.cli import ArgumentParser, local_path_text, positive


def parse_arguments(description: str | None) -> argparse.Namespace:
    """Parses --checkpoint, --pairs and --output."""
    parser = ArgumentParser(description)
    parser.add_argument("--checkpoint", type=local_path_text, default="puppets")
    parser.add_argument("--pairs", type=positive, default=8, help="of figures (8)")
    add_output_flag(parser)
    return parser.parse_args()


def columns(args: argparse.Namespace) -> dict[str, Any]:
    """What every row says of the run."""
    return {"checkpoint": Path(args.checkpoint).name, "pairs": args.pairs}
