"""What does each part of the model contribute, when all are trained for the same number of steps?

  python -m benchmarks.studies.ablations --repeats 8 --output benchmarks/results/ablations.json

Trains configs/puppets64.py whole, and once for each part that is taken out or, for splines, is
replaced by affine maps. Measures all on drawn figures whose truth is known. Interrupt it and run it
again: trainings and measurements are resumed, and those that are done are not repeated.
"""

import json
from pathlib import Path
from typing import Any

from benchmarks.common.results import add_output_flag, write_results
from demo import run
from tpsm_jax.cli import ArgumentParser, folder_to_write, positive, run_script

CONFIG = "configs/puppets64.py"
ABLATIONS = {
    "full": (),
    "affine": ("model_params.dense_motion_params.warps=affine",),
    "no_dropout": ("train_params.dropout_epoch=0",),
    "one_mask": ("model_params.common_params.multi_mask=False",),
    "no_warp_loss": ("train_params.loss_weights.warp_loss=0",),
    "no_background": ("model_params.common_params.bg=False",),
}
EVALUATIONS = {
    "itself": (),
    "relative": ("--truth", "cross", "--mode", "relative"),
    "standard": ("--truth", "cross", "--mode", "standard"),
}
NUMBERS = ("l1", "psnr", "ssim", "limbs", "joint_akd")


def main() -> None:
    """Trains, measures, and prints a table of Markdown."""
    parser = ArgumentParser(__doc__)
    parser.add_argument("--workdir", type=folder_to_write, default=Path("runs/ablations"))
    parser.add_argument(
        "--repeats", type=positive, default=8, help="passes over the clips in each of 6 epochs (8)"
    )
    parser.add_argument("--clips", type=positive, default=20, help="that are measured (20)")
    add_output_flag(parser)
    args = parser.parse_args()
    workdirs = {name: args.workdir / name for name in ABLATIONS}
    for name, fields in ABLATIONS.items():
        budget = f"train_params.num_repeats={args.repeats}"
        settings = [f"--config.{field}" for field in (budget, *fields)]
        run("train.py", "--config", CONFIG, "--workdir", workdirs[name], *settings)

    rows = {name: {"ablation": name, "repeats": args.repeats} for name in ABLATIONS}
    for mode, flags in EVALUATIONS.items():
        folder = args.workdir / f"measured_{mode}"
        run("eval.py", "--checkpoint", *workdirs.values(), "--data", "puppets", "--clips",
            str(args.clips), *flags, "--resume", "--output", folder)  # fmt: skip
        models = json.loads((folder / "metrics.json").read_text())["models"]
        for name, model in zip(ABLATIONS, models, strict=True):
            rows[name] |= numbers(model, mode)
    write_results(args.output, list(rows.values()))
    print(table(list(rows.values())))


def numbers(model: dict[str, Any], mode: str) -> dict[str, float]:
    """One model's numbers in one evaluation, under names that begin with `mode`.

    Args:
      model: an entry of `models` in metrics.json.
      mode: a name of `EVALUATIONS`.
    """
    found, still = model["totals"], model["static"]
    values = {f"{mode}_{name}": found[name] for name in NUMBERS if found.get(name) is not None}
    return values | {f"{mode}_l1_of_static": found["l1"] / still["l1"]}


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as Markdown."""
    columns = list(dict.fromkeys(key for row in rows for key in row if key != "repeats"))
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    for row in rows:
        cells = [row.get(key, "") for key in columns]
        texts = [f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in cells]
        lines.append("| " + " | ".join(texts) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    run_script(main)
