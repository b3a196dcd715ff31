"""Names are ordered by the numbers in them."""

import random

import pytest

from tpsm_jax.media.natural_order import in_natural_order


@pytest.mark.parametrize(
    "ordered",
    [
        [f"{number}.png" for number in range(1, 51)],
        [f"{number:04d}.png" for number in range(9990, 10020)],
        ["a1b2.png", "a1b10.png", "a2b1.png", "a10b1.png"],
        ["frame", "frame 1.jpg", "frame 02.jpg", "frame 3.jpg"],
        ["01.png", "1.png", "2.png"],
        ["1.jpg", "1.png", "2.jpg", "10.jpg"],
        ["1a10.png", "10a1.png"],  # of one length, and yet not in plain order
        ["-1.png", "-2.png", "3.png"],  # a hyphen is no sign: frames count up
        ["a b", "a-1", "a.png", "a1", "a10", "a:"],  # digits are among letters where they were
        ["0", "00", "a0", "a00b", "a0c", "a1"],
        ["9" * 200, "1" + "0" * 200],
        ["1\udcff.png", "10\udcff.png"],
    ],
)
def test_numbers_count(ordered):
    shuffled = ordered.copy()
    for seed in range(5):
        random.Random(seed).shuffle(shuffled)
        assert in_natural_order(shuffled) == ordered


def test_names_with_leading_zeros_and_without_numbers_keep_the_plain_order():
    for names in (
        [f"{number:07d}.png" for number in range(0, 3000, 7)],
        [f"frame_{number:04d}.PNG" for number in range(300)],
        ["B", "a", "b c", "b", "ü", "z", "Z.png", "a.png"],
    ):
        random.Random(0).shuffle(names)
        assert in_natural_order(names) == sorted(names)
