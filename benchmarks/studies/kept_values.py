r"""How much memory does recomputation (`remat`) save in a training step, for how much more FLOP?

  python -m benchmarks.studies.kept_values --image_sizes 384 512 --dtype bfloat16

The step is traced, but neither compiled nor run. The table has the bytes that pass from the losses
to their gradient (the networks' weights among them), and the step's FLOP as it is written for an
accelerator. A compiler may keep a little more or less.
"""

import argparse
import math
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
from tqdm import tqdm

from benchmarks.common.compiled_step import Step, lower_step, summed_losses
from benchmarks.common.flops import cpu_device
from benchmarks.common.results import add_output_flag, write_results
from tpsm_jax.backends.backend import tracing_for
from tpsm_jax.cli import ArgumentParser, add_dtype_flag, local_path_text, positive, run_script
from tpsm_jax.config import apply_overrides, read_config
from tpsm_jax.training.losses import random_vgg19
from tpsm_jax.training.schedule import Phase

# The values of the config's `remat` that are compared; what keeps most comes first.
REMATS: tuple[tuple[str, ...], ...] = (
    (),
    ("inpainting_network",),
    ("inpainting_network", "vgg19"),
    ("inpainting_network", "vgg19", "dense_motion_network", "kp_detector", "bg_predictor"),
)


def main() -> None:
    """Traces every size with every `remat`, prints a table, and writes it as JSON."""
    args, overrides = parse_arguments()
    rows = []
    for size in args.image_sizes:
        for remat in tqdm(REMATS, f"{size} px", unit="way", leave=False):
            config = read_config(args.config)
            config.compute_dtype, config.remat = args.dtype, remat
            config.image_size = (size, size)
            apply_overrides(config, overrides)
            step = lower_step(config, [cpu_device()], samples=args.samples)
            row = {
                "image_size": size,
                "remat": remat,
                "kept_gb": kept_bytes(step, config, args.samples) / 1e9,
                "tflop": step.lowered.cost_analysis()["flops"] / 1e12,
            }
            rows.append(row)
            tqdm.write(
                f"{size} px, {args.samples} samples, {args.dtype}: {row['kept_gb']:7.2f} GB kept, "
                f"{row['tflop']:6.2f} TFLOP; twice: {', '.join(remat) or 'nothing'}"
            )
    write_results(args.output, rows)


def kept_bytes(step: Step, config: ConfigDict, samples: int) -> int:
    """Bytes of the values that pass from the losses to their gradient."""
    trainer = step.trainer
    phase = Phase(config.model_params.common_params.bg, dropout=True)
    pictures = jax.ShapeDtypeStruct((samples, *config.image_size, 3), jnp.float32)

    def pull(params: Any, batch_stats: Any, source: Any, driving: Any, rng: Any) -> Any:
        draws = trainer.recipe.draw(rng, jnp.int32(0), phase)
        vgg19 = None
        if config.perceptual_features != "pixels":
            vgg19 = random_vgg19(seed=0)
        losses = summed_losses(trainer, phase)
        return jax.vjp(lambda p: losses(p, batch_stats, source, driving, draws, vgg19), params)[1]

    with tracing_for("tpu"):  # the form that `lower_step` traces, too
        state = trainer.abstract_state()
        kept = jax.eval_shape(
            pull, state.params, state.batch_stats, pictures, pictures, jax.random.key(0)
        )
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(kept))


def parse_arguments() -> tuple[argparse.Namespace, list[str]]:
    """The flags, and overrides of the config."""
    parser = ArgumentParser(__doc__ + "\nOverrides of the config: --config.FIELD=VALUE")
    add = parser.add_argument
    add(
        "--config", type=local_path_text, default="configs/vox256.py", help="file with get_config()"
    )
    add("--image_sizes", type=positive, nargs="+", default=[256, 384, 512], help="in pixels")
    add("--samples", type=positive, default=1, help="samples a device")
    add_dtype_flag(parser)
    add_output_flag(parser)
    return parser.parse_known_args()


if __name__ == "__main__":
    run_script(main)
