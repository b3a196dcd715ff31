"""How much jitter does --smooth take out of an animation, and how much of the motion?

  python -m benchmarks.studies.jitter --output benchmarks/results/jitter.json

Jitter: a drawn figure stands still for two seconds, filmed with noise; another figure takes its
poses, and the mean change from one frame of the result to the next is measured, in units of 255.
Motion: the same figure moves, without noise; how far its keypoints are from their mean position
over time, of the clip as it is and smoothed.
"""

import numpy as np

import tpsm_jax
from benchmarks.common.figures import columns, parse_arguments
from benchmarks.common.results import write_results
from data.puppets import FRAMES_PER_SECOND, draw_clip, split_identities
from tpsm_jax.animation.animator import Animator
from tpsm_jax.animation.motion import Motion, smoothed
from tpsm_jax.cli import run_script

FRAMES, SIZE = 50, 128
NOISE = 8  # standard deviation, of 255
LENGTHS = (None, 0.2, 0.3, 0.5, 1.0)  # seconds


def main() -> None:
    """Measures, and prints a table of Markdown."""
    args = parse_arguments(__doc__)
    checkpoint = tpsm_jax.load(args.checkpoint)
    measured = [measure(checkpoint, pair) for pair in range(args.pairs)]
    rows = []
    for index, seconds in enumerate(LENGTHS):
        jitter, share = np.mean([each[index] for each in measured], axis=0)
        row = {"seconds": seconds or 0, "jitter": float(jitter), "motion_kept": float(share)}
        rows.append(row | columns(args))
    write_results(args.output, rows)
    print("| --smooth | change a frame, of 255 | motion kept |\n|---|---|---|")
    for row in rows:
        print(f"| {row['seconds'] or 'none'} | {row['jitter']:.2f} | {row['motion_kept']:.3f} |")


def measure(checkpoint: tuple, pair: int) -> list[tuple[float, float]]:
    """(jitter, share of the motion that is kept) for each of `LENGTHS`."""
    first = split_identities("test").start + 2 * pair
    source = draw_clip(first, first, num_frames=1, size=SIZE)[0]
    moving = draw_clip(first + 1, first + 1, num_frames=FRAMES, size=SIZE)
    noise = np.random.default_rng(pair).normal(0, NOISE, moving.shape)
    still = np.clip(moving[:1] + noise, 0, 255).round().astype(np.uint8)
    animator = Animator(checkpoint, source, mode="standard")
    motions = [motion_of(animator, clip) for clip in (still, moving)]
    whole = spread(motions[1])
    results = []
    for seconds in LENGTHS:
        one, other = (smoothed(each, seconds) if seconds else each for each in motions)
        frames = np.stack(list(animator.animate_poses(one))).astype(np.float64)
        results.append((float(np.abs(np.diff(frames, axis=0)).mean()), spread(other) / whole))
    return results


def motion_of(animator: Animator, clip: np.ndarray) -> Motion:
    """The motion of a clip [T, H, W, 3]."""
    poses = np.stack(list(animator.find_poses(clip)))
    return Motion(poses, np.arange(len(clip)) / FRAMES_PER_SECOND, FRAMES_PER_SECOND)


def spread(motion: Motion) -> float:
    """The keypoints' standard deviation over time."""
    return float(np.std(motion.poses, axis=0).mean())


if __name__ == "__main__":
    run_script(main)
