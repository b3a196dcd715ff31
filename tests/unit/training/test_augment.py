"""Color jitter equals torchvision's to the bit; flips and draws have the reference's chances.

The golden arrays are made by tests/golden/make_jitter.py.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from PIL import Image

from configs import mgif256
from tests.helpers.paths import GOLDEN
from tpsm_jax.errors import InputError
from tpsm_jax.training.augment import (
    OPERATIONS,
    JitterParams,
    augment,
    augment_batch,
    draw_jitter,
    flip,
    jitter,
)

ARRAYS = np.load(GOLDEN / "jitter.npz")
FLIPS = {"flip_param": {"horizontal_flip": True, "time_flip": True}}
JITTER = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.3}
PARAMS = {
    "flips": FLIPS,
    "everything": FLIPS | {"jitter_param": JITTER},
    "mgif": mgif256.get_config().dataset_params.augmentation_params,
}
SHAPE = (8, 16, 12, 3)


def only(name: str, factor: jax.Array) -> JitterParams:
    index = OPERATIONS.index(name)
    return JitterParams(jnp.array([index]), jnp.zeros(4).at[index].set(factor))


@functools.partial(jax.jit, static_argnames="name")
def adjust(name: str, pictures: jax.Array, factors: jax.Array) -> jax.Array:
    """[N, H, W, 3] and [F] -> [F, N, H, W, 3]."""
    one = jax.vmap(lambda picture, factor: jitter(picture, only(name, factor)), (0, None))
    return jax.vmap(one, (None, 0))(pictures, factors)


@functools.partial(jax.jit, static_argnames=("jitter_param", "count"))
def draw(seed: int, jitter_param: tuple, count: int) -> JitterParams:
    keys = jax.random.split(jax.random.key(seed), count)
    return jax.vmap(lambda key: draw_jitter(key, dict(jitter_param)))(keys)


def official(case: str) -> list[np.ndarray]:
    return [ARRAYS[f"official_{case}_{key}"] for key in ("order", "factors", "out")]


def noise(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@functools.partial(jax.jit, static_argnums=0)
def run_augment(name: str, rng, source, driving) -> tuple[jax.Array, jax.Array]:
    return augment(rng, source, driving, PARAMS[name])


@pytest.mark.parametrize("name", OPERATIONS)
def test_operation_equals_torchvision(name):
    out = adjust(name, ARRAYS["pictures"], ARRAYS[f"{name}_factors"])
    assert out.dtype == jnp.uint8
    np.testing.assert_array_equal(out, ARRAYS[f"{name}_out"])


def test_contrast_rounds_the_mean_of_an_odd_number_of_pixels_as_pillow():
    out = adjust("contrast", ARRAYS["odd_pictures"], ARRAYS["contrast_factors"])
    np.testing.assert_array_equal(out, ARRAYS["odd_out"])


@pytest.mark.parametrize("case", ["all", "two", "hue_only"])
def test_jitter_of_a_pair_equals_the_official_class(case):
    order, factors, expected = official(case)
    one = jax.vmap(jitter, (0, None))
    out = jax.jit(jax.vmap(one, (None, 0)))(
        ARRAYS["pictures"][[0, 9]], JitterParams(order, factors)
    )
    np.testing.assert_array_equal(out, expected)


def test_the_order_matters_in_the_golden_draws():
    order, factors, expected = official("all")
    assert len(np.unique(order, axis=0)) > 4
    out = jax.jit(jitter)(ARRAYS["pictures"][0], JitterParams(order[0, ::-1], factors[0]))
    assert np.any(out != expected[0, 0])


@pytest.mark.slow
def test_hue_of_every_color_equals_pillow():
    shift = jax.jit(lambda picture, turns: jitter(picture, only("hue", turns)))
    low = np.stack(np.meshgrid(*3 * [np.arange(64)], indexing="ij"), -1).reshape(512, 512, 3)
    for i in range(64):  # high bits of red, green, blue
        colors = (low + 64 * np.array([i // 16, i // 4 % 4, i % 4])).astype(np.uint8)
        steps = 4 * i - 127 if i else 0
        hue, saturation, value = Image.fromarray(colors).convert("HSV").split()
        hue = Image.fromarray(np.asarray(hue) + np.uint8(steps % 256))
        expected = np.asarray(Image.merge("HSV", (hue, saturation, value)).convert("RGB"))
        out = shift(colors, (steps + 0.5 * np.sign(steps)) / 255)
        np.testing.assert_array_equal(out, expected, err_msg=f"block {i}")


def test_factors_are_uniform_in_their_ranges():
    extents = {"brightness": 0.1, "contrast": 0.4, "saturation": 1.5, "hue": 0.5}
    ranges = [(0.9, 1.1), (0.6, 1.4), (0, 2.5), (-0.5, 0.5)]
    factors = np.array(draw(0, tuple(extents.items()), 10_000).factors)
    for i, (low, high) in enumerate(ranges):
        assert factors[:, i].min() >= np.float32(low)
        assert factors[:, i].max() <= np.float32(high)
        counts, _ = np.histogram(factors[:, i], bins=10, range=(low, high))
        assert abs(counts - 1000).max() < 150  # five standard deviations
    assert abs(np.corrcoef(factors.T) - np.eye(4)).max() < 0.05


@pytest.mark.slow
@pytest.mark.parametrize("names", [OPERATIONS, ("saturation", "contrast"), ("hue",), ()])
def test_every_order_of_the_present_operations_is_equally_likely(names):
    order = np.array(draw(1, tuple((name, 0.1) for name in names), 4800).order)
    orders, counts = np.unique(order, axis=0, return_counts=True)
    present = sorted(OPERATIONS.index(name) for name in names)
    assert all(sorted(order) == present for order in orders.tolist())
    expected = {4: 24, 2: 2, 1: 1, 0: 1}[len(names)]
    assert len(orders) == expected
    assert abs(counts - 4800 / expected).max() < 5 * np.sqrt(4800 / expected)


def test_an_operation_of_extent_0_is_not_done():
    assert draw(0, (("hue", 0), ("contrast", 0.1)), 3).order.tolist() == 3 * [[1]]


@pytest.mark.parametrize(
    ("time_flip", "horizontal_flip", "swapped", "mirrored"),
    [(True, True, 0.5, 0.25), (True, False, 0.5, 0), (False, True, 0, 0.5), (False, False, 0, 0)],
)
def test_chances_of_flips(time_flip, horizontal_flip, swapped, mirrored):
    pair = jnp.array([[[[0], [1]]], [[[2], [3]]]])
    outcomes = jax.jit(
        jax.vmap(lambda key: flip(key, pair, time_flip=time_flip, horizontal_flip=horizontal_flip))
    )(jax.random.split(jax.random.key(0), 4000)).reshape(4000, 4)
    expected = {
        (0, 1, 2, 3): 1 - swapped - mirrored,
        (2, 3, 0, 1): swapped,
        (1, 0, 3, 2): mirrored,
    }
    found, counts = np.unique(outcomes, axis=0, return_counts=True)
    shares = {tuple(row): count / 4000 for row, count in zip(found.tolist(), counts, strict=True)}
    assert shares.keys() == {outcome for outcome, share in expected.items() if share}
    assert all(abs(share - expected[outcome]) < 0.04 for outcome, share in shares.items())


def test_both_frames_are_treated_alike_and_every_pair_in_its_own_way():
    frames = np.broadcast_to(noise(0, SHAPE[1:]), SHAPE)
    source, driving = run_augment("everything", jax.random.key(0), frames, frames)
    np.testing.assert_array_equal(source, driving)
    assert len(np.unique(np.reshape(source, (SHAPE[0], -1)), axis=0)) == SHAPE[0]


@pytest.mark.parametrize("name", ["everything", "mgif"])
def test_augment_is_a_flip_and_a_jitter_of_the_pair(name):
    rng, source, driving = jax.random.key(5), noise(0, SHAPE), noise(1, SHAPE)
    out = run_augment(name, rng, source, driving)
    flipped = run_augment("flips", rng, source, driving)
    flips = [flip_of(*pair) for pair in zip(source, driving, *flipped, strict=True)]
    assert set(flips) == {"none", "swapped", "mirrored"}

    @jax.jit
    @jax.vmap
    def jitter_row(rng: jax.Array, frame: jax.Array) -> jax.Array:
        _, rng_jitter = jax.random.split(rng)
        return jitter(frame, draw_jitter(rng_jitter, PARAMS[name]["jitter_param"]))

    for frames, result in zip(flipped, out, strict=True):
        expected = jitter_row(jax.random.split(rng, SHAPE[0]), frames)
        np.testing.assert_array_equal(result, expected)
        assert np.all(np.any(frames != result, axis=(1, 2, 3)))


def flip_of(source, driving, new_source, new_driving) -> str:
    pairs = {
        "none": (source, driving),
        "swapped": (driving, source),
        "mirrored": (source[:, ::-1], driving[:, ::-1]),
    }
    new = np.stack([new_source, new_driving])
    return next(name for name, pair in pairs.items() if np.array_equal(pair, new))


def test_a_pair_depends_on_the_key_and_its_row_alone():
    run, rng = functools.partial(run_augment, "everything"), jax.random.key(0)
    source, driving, others = noise(0, SHAPE), noise(1, SHAPE), noise(2, SHAPE)
    first = run(rng, source, driving)
    np.testing.assert_array_equal(first, run(rng, source, driving))
    others[4] = source[4]
    np.testing.assert_array_equal(first[0][4], run(rng, others, driving)[0][4])
    assert np.any(first[0] != run(jax.random.key(1), source, driving)[0])


def test_sharded_over_devices_equals_one_device_without_communication():
    rng, source, driving = jax.random.key(3), noise(0, SHAPE), noise(1, SHAPE)
    expected = run_augment("everything", rng, source, driving)
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    sharding = NamedSharding(mesh, PartitionSpec("data"))
    source, driving = jax.device_put((source, driving), sharding)
    compiled = run_augment.lower("everything", rng, source, driving).compile()
    for out, want in zip(compiled(rng, source, driving), expected, strict=True):
        assert out.sharding.is_equivalent_to(sharding, out.ndim)
        np.testing.assert_array_equal(out, want)
    collectives = ("all-reduce", "all-gather", "all-to-all", "collective-permute", "reduce-scatter")
    assert not any(name in compiled.as_text() for name in collectives)


def test_landmarks_are_swapped_with_their_frames():
    source, driving = noise(1, (64, 8, 8, 3)), noise(2, (64, 8, 8, 3))
    points = np.random.default_rng(3).normal(size=(2, 64, 4, 2)).astype(np.float32)
    batch = {"source": source, "driving": driving, "source_landmarks": points[0],
             "driving_landmarks": points[1]}  # fmt: skip
    found = augment_batch(jax.random.key(0), batch, {"flip_param": {"time_flip": True}})
    swapped = np.all(np.abs(found["source"] * 255 - driving) < 0.1, axis=(1, 2, 3))
    assert 16 < swapped.sum() < 48
    for row in range(64):
        order = [1, 0] if swapped[row] else [0, 1]
        pair = [found["source_landmarks"][row], found["driving_landmarks"][row]]
        np.testing.assert_array_equal(pair, points[order, row])


@pytest.mark.parametrize("params", [None, {}, {"flip_param": None, "crop_param": {"size": (4, 4)}}])
def test_nothing_asked_for_nothing_done(params):
    source, driving = noise(0, (2, 8, 12, 3)), noise(1, (2, 8, 12, 3))
    run = jax.jit(lambda rng, source, driving: augment(rng, source, driving, params))
    np.testing.assert_array_equal(run(jax.random.key(0), source, driving), (source, driving))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"rotation_param": {"degrees": 10}}, "no section 'rotation_param'"),
        ({"flip_param": {"vertical_flip": True}}, "no field 'vertical_flip'"),
        ({"jitter_param": {"gamma": 0.1}}, "no field 'gamma'"),
        ({"jitter_param": {"hue": 0.6}}, "hue is 0.6: it must be between 0 and 0.5"),
        ({"jitter_param": {"contrast": -0.1}}, "contrast is -0.1: it must be 0 or more"),
    ],
)
def test_unknown_or_impossible_settings_are_refused(params, message):
    with pytest.raises(InputError, match=message):
        augment(jax.random.key(0), noise(0, (1, 4, 4, 3)), noise(1, (1, 4, 4, 3)), params)
