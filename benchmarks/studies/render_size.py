"""Is a frame with the source's own detail better than an enlarged one?

  python -m benchmarks.studies.render_size --output benchmarks/results/render_size.json

Drawn figures of twice the checkpoint's size, moved by themselves and by other figures in mode
relative. Against the drawn truth: the result enlarged (bicubic), `render_size`, and everything
computed at the larger size, which the weights were not trained at.
"""

from collections.abc import Iterable

import jax
import numpy as np
from PIL import Image

import tpsm_jax
from benchmarks.common.figures import columns, parse_arguments
from benchmarks.common.results import write_results
from data.puppets import draw_clip, split_identities
from tpsm_jax.animation.animator import Animator
from tpsm_jax.cli import run_script
from tpsm_jax.evaluation.frame_metrics import l1, ms_ssim, psnr, ssim

FRAMES, STEP = 48, 6
METRICS = {"l1": l1, "psnr": psnr, "ssim": ssim, "ms_ssim": ms_ssim}
FORMS = ("enlarged", "render_size", "all large")


def main() -> None:
    """Measures, and prints a table of Markdown."""
    args = parse_arguments(__doc__)
    checkpoint = tpsm_jax.load(args.checkpoint)
    rows = []
    for name in ("itself", "another"):
        measured = [measure(checkpoint, pair, by=name) for pair in range(args.pairs)]
        for index, form in enumerate(FORMS):
            values = np.mean([each[index] for each in measured], axis=0).tolist()
            row = {"moved_by": name, "form": form, **dict(zip(METRICS, values, strict=True))}
            rows.append(row | columns(args))
    write_results(args.output, rows)
    print(f"| moved by | form | {' | '.join(METRICS)} |\n|---|---|{'---|' * len(METRICS)}")
    for row in rows:
        numbers = " | ".join(f"{row[name]:.4f}" for name in METRICS)
        print(f"| {row['moved_by']} | {row['form']} | {numbers} |")


def measure(checkpoint: tuple, pair: int, *, by: str) -> list[list[float]]:
    """For each of `FORMS` the mean of each of `METRICS`."""
    size = checkpoint[0].image_size[0]
    figure = split_identities("test").start + 2 * pair
    mover = figure if by == "itself" else figure + 1
    truth = draw(figure, figure, 2 * size)
    driving = draw(mover, figure, size)
    animator = Animator(checkpoint, truth[0])
    small = list(animator.animate(driving))
    large = Animator(checkpoint, truth[0], render_size=(2 * size, 2 * size))
    whole = Animator(checkpoint, truth[0], size=(2 * size, 2 * size))
    made = [
        [
            Image.fromarray(frame).resize((2 * size,) * 2, Image.Resampling.BICUBIC)
            for frame in small
        ],
        large.animate(driving),
        whole.animate(draw(mover, figure, 2 * size)),
    ]
    return [score(frames, truth) for frames in made]


def draw(identity: int, motion: int, size: int) -> np.ndarray:
    """Frames of a clip, [T, size, size, 3] uint8."""
    return draw_clip(identity, motion, num_frames=FRAMES, size=size)[::STEP]


def score(frames: Iterable[np.ndarray], truth: np.ndarray) -> list[float]:
    """The mean of each of `METRICS`."""
    pair = [
        np.stack(list(map(np.asarray, each))).astype(np.float32) / 255 for each in (frames, truth)
    ]
    return [float(jax.jit(metric)(*pair).mean()) for metric in METRICS.values()]


if __name__ == "__main__":
    run_script(main)
