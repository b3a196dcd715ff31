"""Flips and color jitter of training pairs, drawn and applied on the device.

The jitter is torchvision's on 8-bit Pillow images, rounded after every operation, bit for bit on
every device. So nothing may hang on how a compiler divides, or fuses a product with a sum: the
arithmetic is in whole numbers, or in floats that stay clear of the next whole number.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tpsm_jax.errors import InputError
from tpsm_jax.ops.pixels import to_float

OPERATIONS = ("brightness", "contrast", "saturation", "hue")


class JitterParams(NamedTuple):
    """One sample's color jitter.

    Attributes:
      order: int32 [n], the operations to do, first to last, as indices of `OPERATIONS`.
      factors: float32 [4], one an operation: a factor >= 0 for the first three (1 for no change),
        turns of the color circle in [-0.5, 0.5] for hue.
    """

    order: jax.Array
    factors: jax.Array


def augment(
    rng: jax.Array,
    source: jax.Array,
    driving: jax.Array,
    augmentation_params: Mapping[str, Any] | None,
) -> tuple[jax.Array, jax.Array]:
    """Flips and jitters a batch of pairs: each pair in its own way, both its frames alike.

    What happens to a pair depends on `rng` and its row in the batch, not on how that is sharded.

    Args:
      rng: key of this batch.
      source: uint8 [B, H, W, 3].
      driving: uint8 [B, H, W, 3].
      augmentation_params: the official YAML's section, or None for no augmentation;
        `resize_param` and `crop_param` are the data reader's and not looked at.

    Returns:
      The new (source, driving), uint8 [B, H, W, 3]. Reference: `AllAugmentationTransform` in
      augmentation.py.

    Raises:
      InputError: `augmentation_params` ask for something unknown.
    """
    params = augmentation_params or {}
    check_augmentation(params)
    flip_param, jitter_param = params.get("flip_param") or {}, params.get("jitter_param") or {}

    def augment_pair(rng: jax.Array, pair: jax.Array) -> jax.Array:
        rng_flip, rng_jitter = jax.random.split(rng)
        pair = flip(rng_flip, pair, **flip_param)
        return jax.vmap(jitter, in_axes=(0, None))(pair, draw_jitter(rng_jitter, jitter_param))

    pairs = jnp.stack([source, driving], axis=1)
    pairs = jax.vmap(augment_pair)(jax.random.split(rng, len(pairs)), pairs)
    return pairs[:, 0], pairs[:, 1]


def augment_batch(
    rng: jax.Array, batch: Mapping[str, jax.Array], augmentation_params: Mapping[str, Any] | None
) -> dict[str, jax.Array]:
    """Augments a batch as the reader gives it; what more it has than the pair passes through.

    Args:
      rng: key of this batch.
      batch: source and driving, uint8 [B, H, W, 3]; perhaps source_landmarks and
        driving_landmarks, which are swapped with them. Nothing mirrors those.
      augmentation_params: parameters that `augment` takes.

    Returns:
      The batch, its uint8 arrays as float32 in [0, 1].
    """
    source, driving = augment(rng, batch["source"], batch["driving"], augmentation_params)
    batch = {**batch, "source": source, "driving": driving}
    if "source_landmarks" in batch:
        flip_param = (augmentation_params or {}).get("flip_param") or {}
        swap = _draw_swaps(rng, len(source), **flip_param)[:, None, None]
        points = batch["source_landmarks"], batch["driving_landmarks"]
        batch["source_landmarks"] = jnp.where(swap, points[1], points[0])
        batch["driving_landmarks"] = jnp.where(swap, points[0], points[1])
    return float_pictures(batch)


def float_pictures(batch: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    """A batch with its uint8 arrays, the pictures, as float32 in [0, 1]."""
    return {name: to_float(x) if x.dtype == jnp.uint8 else x for name, x in batch.items()}


def check_augmentation(augmentation_params: Mapping[str, Any]) -> None:
    """Makes sure that all that is asked for is known.

    Raises:
      InputError: names what is not.
    """
    fields = {"flip_param": ("horizontal_flip", "time_flip"), "jitter_param": OPERATIONS}
    sections = (*fields, "resize_param", "crop_param")
    for section in augmentation_params:
        if section not in sections:
            raise InputError(
                f"augmentation_params has no section {section!r}: use {', '.join(sections)}"
            )
    for section, known in fields.items():
        for name, value in (augmentation_params.get(section) or {}).items():
            if name not in known:
                raise InputError(f"{section} has no field {name!r}: use {', '.join(known)}")
            if not 0 <= value <= (0.5 if name == "hue" else np.inf):
                limit = "between 0 and 0.5" if name == "hue" else "0 or more"
                raise InputError(f"{section}.{name} is {value}: it must be {limit}")


def flip(
    rng: jax.Array, pair: jax.Array, *, time_flip: bool = False, horizontal_flip: bool = False
) -> jax.Array:
    """Swaps the two frames, or mirrors both left-right, or neither.

    Args:
      rng: key of this pair.
      pair: [2, H, W, C].
      time_flip: whether to swap, with probability 1/2.
      horizontal_flip: whether to mirror, with probability 1/2 of the pairs not swapped.

    Returns:
      [2, H, W, C]. Reference: `RandomFlip` in augmentation.py.
    """
    swap, mirror = _draw_flip(rng, time_flip, horizontal_flip)
    pair = jnp.where(swap, pair[::-1], pair)
    return jnp.where(mirror, pair[:, :, ::-1], pair)


def _draw_flip(
    rng: jax.Array, time_flip: bool, horizontal_flip: bool
) -> tuple[jax.Array, jax.Array]:
    """Whether to swap the frames of a pair, and whether to mirror them."""
    heads = jax.random.bernoulli(rng, shape=(2,))
    swap = heads[0] & time_flip
    return swap, ~swap & heads[1] & horizontal_flip


def _draw_swaps(
    rng: jax.Array, batch: int, *, time_flip: bool = False, horizontal_flip: bool = False
) -> jax.Array:
    """Which pairs of a batch `augment` swaps, [B] bool."""

    def swaps(rng: jax.Array) -> jax.Array:
        return _draw_flip(jax.random.split(rng)[0], time_flip, horizontal_flip)[0]

    return jax.vmap(swaps)(jax.random.split(rng, batch))


def draw_jitter(rng: jax.Array, jitter_param: Mapping[str, float]) -> JitterParams:
    """Draws one sample's jitter.

    Args:
      rng: key of this sample.
      jitter_param: operation -> extent x: factors are uniform in [max(0, 1 - x), 1 + x], hue in
        [-x, x]. An operation that is absent or 0 is not done.

    Returns:
      The jitter; all orders are equally likely. Reference: `ColorJitter` in augmentation.py.
    """
    rng_order, rng_factors = jax.random.split(rng)
    extents = np.array([jitter_param.get(name, 0) for name in OPERATIONS], np.float32)
    centers = np.array([1, 1, 1, 0], np.float32)
    lowest = np.array([0, 0, 0, -np.inf], np.float32)
    low, high = np.maximum(lowest, centers - extents), centers + extents
    return JitterParams(
        order=jax.random.permutation(rng_order, np.flatnonzero(extents > 0)),
        factors=jax.random.uniform(rng_factors, (len(OPERATIONS),), minval=low, maxval=high),
    )


def jitter(image: jax.Array, params: JitterParams) -> jax.Array:
    """Does a jitter's operations one after the other.

    Args:
      image: uint8 [H, W, 3], of at most 8 million pixels.
      params: the jitter to apply, from `draw_jitter`.

    Returns:
      uint8 [H, W, 3], what torchvision.transforms.functional makes of the 8-bit Pillow image by
      adjust_brightness, adjust_contrast, adjust_saturation and adjust_hue.
    """
    operations = (_adjust_brightness, _adjust_contrast, _adjust_saturation, _adjust_hue)

    # Under `vmap` a switch computes all four and picks; a loop keeps XLA from computing them again
    # for each of the following rounds.
    def step(image: jax.Array, operation: jax.Array) -> tuple[jax.Array, None]:
        return jax.lax.switch(operation, operations, image, params.factors[operation]), None

    return jax.lax.scan(step, image, params.order)[0]


def _adjust_brightness(image: jax.Array, factor: jax.Array) -> jax.Array:
    return _blend(jnp.zeros_like(image), image, factor)


def _adjust_contrast(image: jax.Array, factor: jax.Array) -> jax.Array:
    gray = _gray(image)
    mean = (jnp.sum(gray) + gray.size // 2) // gray.size  # a half goes up
    return _blend(jnp.full_like(image, mean), image, factor)


def _adjust_saturation(image: jax.Array, factor: jax.Array) -> jax.Array:
    return _blend(jnp.broadcast_to(_gray(image)[..., None], image.shape), image, factor)


def _blend(start: jax.Array, end: jax.Array, factor: jax.Array) -> jax.Array:
    """Pillow's Blend.c: start + factor * (end - start), rounded to float32 twice, truncated."""
    start, end = start.astype(jnp.float32), end.astype(jnp.float32)
    # The inner clip changes no result. It stands between the product and the sum, which compilers
    # would else fuse and round once.
    return jnp.clip(start + jnp.clip(factor * (end - start), -255, 255), 0, 255).astype(jnp.uint8)


def _gray(image: jax.Array) -> jax.Array:
    """uint8 [H, W, 3] -> int32 [H, W]: Pillow's mode L (`L24` in Convert.c)."""
    red, green, blue = _channels(image)
    return (19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16


def _adjust_hue(image: jax.Array, turns: jax.Array) -> jax.Array:
    hue, saturation, value = _to_hsv(image)
    hue = (hue + (255 * turns).astype(jnp.int32)) & 255
    return _to_rgb(hue, saturation, value)


def _to_hsv(image: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """uint8 [H, W, 3] -> hue, saturation, value, int32 [H, W]: `rgb2hsv_row` in Convert.c."""
    red, green, blue = _channels(image)
    value = jnp.maximum(red, jnp.maximum(green, blue))
    chroma = value - jnp.minimum(red, jnp.minimum(green, blue))
    saturation = _divide(255 * chroma, value)

    angle = jnp.where(value == green, 2 * chroma + blue - red, 4 * chroma + red - green)
    angle = jnp.where(value == red, green - blue, angle)
    angle = jnp.where(angle < 0, angle + 6 * chroma, angle)  # 6 * chroma is a full turn
    hue = _divide(85 * angle, 2 * chroma)
    whole = 85 * angle == 2 * chroma * hue
    return hue - (whole & jnp.asarray(_HUE_FALLS_SHORT)[hue]), saturation, value


def _to_rgb(hue: jax.Array, saturation: jax.Array, value: jax.Array) -> jax.Array:
    """int32 [H, W], three times -> uint8 [H, W, 3]: `hsv2rgb` in Convert.c.

    Here a turn is 510 and a channel falls from `value` to its least over 85 of them. The quotient,
    of odd by even, is never whole and never so close to it that Pillow's floats miss.
    """
    hue, saturation, value = (x[..., None] for x in (hue, saturation, value))
    position = (2 * hue + 85 * np.array([[[5, 3, 1]]])) % 510
    fall = jnp.clip(jnp.minimum(position, 340 - position), 0, 85)
    doubled = 2 * value * (85 * 255 - saturation * fall) + 85 * 255  # + a half, to round
    return (doubled // (2 * 85 * 255)).astype(jnp.uint8)


def _channels(image: jax.Array) -> tuple[jax.Array, ...]:
    return tuple(image[..., i].astype(jnp.int32) for i in range(3))


def _divide(numerator: jax.Array, denominator: jax.Array) -> jax.Array:
    """The whole part of a quotient of small numbers >= 0; 0 where the denominator is 0.

    With the half the quotient is no closer to a whole number than a float division can err.
    """
    denominator = jnp.maximum(denominator, 1).astype(jnp.float32)
    return ((numerator.astype(jnp.float32) + 0.5) / denominator).astype(jnp.int32)


def _hue_falls_short() -> np.ndarray:
    """Where Pillow's float arithmetic takes a whole hue for one less.

    Returns:
      bool [255]: for hue h in 1/255 turns, exact, whether Pillow says h - 1. Only the hue decides,
      not the color: Pillow starts from the quotient of two differences of channels.
    """
    hue = np.arange(255)
    sector = (hue + 42) // 85  # nearest to red, green, blue, red again
    from_primary = hue - 85 * sector
    quotient = np.float32(85 - 2 * np.abs(from_primary)) / np.float32(85)
    # From here on in float64, but for what the C code puts into a float.
    sixths = 2.0 * (sector % 3) + np.sign(from_primary) * (1 - quotient.astype(np.float64))
    turns = np.fmod(np.float32(sixths).astype(np.float64) / 6 + 1, 1)
    return np.float32(turns).astype(np.float64) * 255 < hue


_HUE_FALLS_SHORT = _hue_falls_short()
