"""The stream of frames: the same as frame by frame, bounded, and never compiled again."""

import threading
from itertools import count, islice

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from tests.helpers.compilations import compilations
from tests.helpers.small import model_params, pictures, small_model, without
from tpsm_jax.animation.animator import Animator
from tpsm_jax.animation.frames import BATCHES_AHEAD
from tpsm_jax.animation.keypoints import pose_distance, relative_scale
from tpsm_jax.animation.programs import (
    convert_kernels,
    encode_source,
    find_keypoints,
    kernel_types,
    render,
)
from tpsm_jax.errors import InputError
from tpsm_jax.media.images import resize
from tpsm_jax.models.registry import build_model

FRAMES = pictures(7, 64, 64, seed=1)
SOURCE = pictures(1, 64, 64, seed=2)[0]

RELATIVE = build_model(model_params()).relative


@pytest.fixture(scope="module")
def checkpoint():
    model, variables = small_model()
    # An untrained detector hardly looks at the picture; these keypoints move visibly.
    dense = variables["params"]["kp_detector"]["fg_encoder"]["fc"]
    dense["kernel"] = dense["kernel"] * 20
    config = ConfigDict({"image_size": (64, 64), "model_params": model_params()})
    return config, model, variables


@pytest.fixture(scope="module")
def functions(checkpoint):
    """The model's parts as the reference's demo calls them, one frame at a time."""
    _, model, variables = checkpoint
    detect = jax.jit(lambda x: model.apply(variables, x, method=lambda m, x: m.kp_detector(x)))
    translate = jax.jit(
        lambda a, b: model.apply(variables, a, b, method=lambda m, a, b: m.avd_network(a, b))
    )
    encoded = jax.jit(lambda x: model.apply(variables, x, method="encode_source"))(SOURCE[None])
    paint = jax.jit(lambda e, k: model.apply(variables, e, k, method="generate")["prediction"][0])
    return (
        lambda frame: np.asarray(detect(frame[None]))[0],
        lambda source, driving: np.asarray(translate(source[None], driving[None]))[0],
        lambda keypoints: np.asarray(paint(encoded, keypoints[None])),
    )


def frame_by_frame(functions, frames, mode):
    """The reference's `make_animation`."""
    detect, translate, paint = functions
    kp_source, kp_initial = detect(SOURCE), detect(frames[0])
    images = []
    for frame in frames:
        keypoints = detect(frame)
        if mode == "relative":
            scale = relative_scale(kp_source, kp_initial)
            keypoints = RELATIVE(kp_source, keypoints, kp_initial, scale)
        elif mode == "avd":
            keypoints = translate(kp_source, keypoints)
        images.append(paint(keypoints))
    return np.stack(images)


def make(checkpoint, **options):
    options = {"batch_size": 3, "output_dtype": np.float32, **options}
    return Animator(checkpoint, SOURCE, **options)


@pytest.mark.slow
@pytest.mark.parametrize(
    "mode",
    ["standard", *(pytest.param(mode, marks=pytest.mark.slow) for mode in ("relative", "avd"))],
)
def test_the_stream_equals_frame_by_frame(checkpoint, functions, mode):
    expected = frame_by_frame(functions, FRAMES, mode)
    assert np.abs(np.diff(expected, axis=0)).max(axis=(1, 2, 3)).min() > 1e-2
    streamed = np.stack(list(make(checkpoint, mode=mode).animate(iter(FRAMES))))
    np.testing.assert_allclose(streamed, expected, atol=1e-4)


@pytest.mark.slow
def test_the_modes_differ(functions):
    by_mode = [frame_by_frame(functions, FRAMES[:2], m) for m in ("relative", "standard", "avd")]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert np.abs(by_mode[one] - by_mode[other]).max() > 1e-3


@pytest.mark.slow
def test_clips_of_any_length_and_another_source_compile_nothing(checkpoint):
    first = make(checkpoint)
    list(first.animate(FRAMES[:3]))
    first.find_best_frame(FRAMES[:3])
    with compilations() as compiled:
        other = make(checkpoint)
        for length in (1, 4, 6, 7):
            initial = other.find_best_frame(FRAMES[:length]).keypoints
            frames = other.animate(FRAMES[:length], kp_driving_initial=initial)
            assert len(list(frames)) == length
            assert len(list(other.animate(FRAMES[:length]))) == length
    assert compiled == []


@pytest.mark.slow
def test_8_bit_output_is_rounded_to_nearest(checkpoint):
    floats = np.stack(list(make(checkpoint).animate(FRAMES[:3])))
    bytes_ = np.stack(list(make(checkpoint, output_dtype=np.uint8).animate(FRAMES[:3])))
    assert bytes_.dtype == np.uint8
    np.testing.assert_allclose(bytes_, floats * 255, atol=0.5 + 1e-2)
    assert np.mean(bytes_ != np.rint(floats * 255)) < 1e-3


@pytest.mark.slow
def test_frames_of_any_size_and_kind_are_resized(checkpoint):
    frames = [(pictures(1, *size)[0] * 255).astype(np.uint8) for size in ((90, 200), (150, 64))]
    animator = make(checkpoint)
    streamed = list(animator.animate(frames))
    expected = list(animator.animate([resize(frame, 64, 64) for frame in frames]))
    np.testing.assert_array_equal(streamed, expected)


@pytest.mark.slow
def test_8_bit_frames_give_what_floats_give_to_the_bit(checkpoint):
    bytes_ = (FRAMES * 255).astype(np.uint8)
    floats = [resize(frame, 64, 64) for frame in bytes_]
    assert floats[0].dtype == np.float32
    animator = Animator(checkpoint, SOURCE, batch_size=2, output_dtype=np.float32)
    expected = list(animator.animate(floats))
    np.testing.assert_array_equal(list(animator.animate(bytes_)), expected)
    mixed = [floats[0], *bytes_[1:4], *floats[4:]]
    np.testing.assert_array_equal(list(animator.animate(mixed)), expected)


@pytest.mark.slow
def test_another_size_than_the_checkpoints(checkpoint):
    (frame,) = make(checkpoint, size=(64, 128), batch_size=1).animate(FRAMES[:1])
    assert frame.shape == (64, 128, 3)


@pytest.mark.slow
def test_the_best_frame_gives_the_references_forwards_and_backwards(checkpoint, functions):
    source_keypoints, clip = functions[0](SOURCE), [functions[0](frame) for frame in FRAMES]
    number = np.argmin([pose_distance(source_keypoints, keypoints) for keypoints in clip])
    # The clip is turned so that the best frame is in the middle of it.
    frames = np.roll(FRAMES, 3 - number, axis=0)
    forwards = frame_by_frame(functions, frames[3:], "relative")
    backwards = frame_by_frame(functions, frames[:4][::-1], "relative")
    expected = np.concatenate([backwards[::-1], forwards[1:]])

    animator = make(checkpoint)
    best = animator.find_best_frame(frames)
    assert best.number == 3
    streamed = animator.animate(frames, kp_driving_initial=best.keypoints)
    np.testing.assert_allclose(np.stack(list(streamed)), expected, atol=1e-4)
    from_the_first = np.stack(list(animator.animate(frames)))
    assert np.abs(from_the_first - expected).max() > 1e-3


def test_the_best_frame_needs_frames_that_can_be_read_twice(checkpoint):
    animator = make(checkpoint)
    with pytest.raises(InputError, match="twice"):
        animator.find_best_frame(iter(FRAMES))
    with pytest.raises(InputError, match="no driving frame"):
        animator.find_best_frame([])


@pytest.mark.slow
def test_an_endless_clip_is_read_only_a_few_batches_ahead(checkpoint):
    read, least_lead = 0, 0

    def clip():
        nonlocal read
        for index in count():
            read += 1
            yield FRAMES[index % 7]

    frames = make(checkpoint, batch_size=2).animate(clip())
    # Queued batches, one that waits to be, one being filled, two at the device, one handed out.
    bound = 2 * (BATCHES_AHEAD + 5)
    for used, _ in enumerate(islice(frames, 40), 1):
        assert read <= used + bound
        least_lead = max(least_lead, read - used)
    assert least_lead > 2  # it did read ahead
    frames.close()
    total = read
    assert not any(thread.name.startswith("read_ahead") for thread in threading.enumerate())
    assert read == total


def test_no_frames_in_no_frames_out(checkpoint):
    assert list(make(checkpoint).animate([])) == []


def test_an_initial_pose_may_come_as_the_network_returns_it(checkpoint, functions):
    """README's snippet gives [1, N, 2], which ended the process in SciPy's hull."""
    animator = make(checkpoint)
    initial = functions[0](FRAMES[3])
    expected = list(animator.animate(FRAMES, kp_driving_initial=initial))
    found = list(animator.animate(FRAMES, kp_driving_initial=initial[None]))
    np.testing.assert_array_equal(found, expected)


def test_arguments_are_checked_at_the_door(checkpoint):
    with pytest.raises(InputError, match="the source has the shape"):
        Animator(checkpoint, SOURCE[..., :1])
    with pytest.raises(InputError, match="size is"):
        make(checkpoint, size=(64,))
    animator = make(checkpoint)
    with pytest.raises(InputError, match="has the shapes"):  # before the first frame is asked for
        animator.animate(FRAMES, kp_driving_initial=np.zeros((2, 10, 2)))
    with pytest.raises(InputError, match=r"\[-1, 1\]"):
        animator.animate(FRAMES, kp_driving_initial=np.full((10, 2), 200.0))
    frames = [*FRAMES[:2], FRAMES[2] * 255]
    with pytest.raises(InputError, match="driving frame 2 has floats from"):
        list(animator.animate(frames))
    with pytest.raises(InputError, match="driving frame 2 has floats from"):
        animator.find_best_frame(frames)


def test_what_cannot_be_used_is_reported(checkpoint):
    config, model, variables = checkpoint
    others = without(variables, "avd_network")
    with pytest.raises(InputError, match="avd_network"):
        make((config, model, others), mode="avd")
    with pytest.raises(InputError, match="no mode 'fast'"):
        make(checkpoint, mode="fast")
    with pytest.raises(InputError, match="multiples of 16"):
        make(checkpoint, size=(64, 100))
    flat = np.zeros((10, 2), np.float32)
    with pytest.raises(InputError, match="no area"):
        list(make(checkpoint).animate(FRAMES, kp_driving_initial=flat))


def test_each_networks_kernels_are_held_in_the_type_it_computes_in(checkpoint):
    config, model, variables = checkpoint
    halved = build_model(config.model_params, dtype=jnp.bfloat16)
    mixed = halved.clone(kp_detector=model.kp_detector)
    assert set(kernel_types(model, variables).values()) == {jnp.dtype(jnp.float32)}
    held = convert_kernels(mixed, variables)

    def check(path, leaf, held):
        network = path[1].key
        rounded = leaf.ndim == 4 and network not in ("kp_detector", "avd_network")
        assert held.dtype == (jnp.bfloat16 if rounded else jnp.float32)
        np.testing.assert_array_equal(held, leaf.astype(held.dtype))

    jax.tree.map_with_path(check, variables, held)
    count = sum(leaf.dtype == jnp.bfloat16 for leaf in jax.tree.leaves(held))
    assert count > 30


@pytest.mark.slow
def test_bfloat16_frames_are_those_of_the_model(checkpoint):
    """To the bit, though it converts its kernels once."""
    config, _, variables = checkpoint
    model = build_model(config.model_params, dtype=jnp.bfloat16)
    animator = Animator(
        (config, model, variables), SOURCE, mode="standard", output_dtype=np.float32
    )
    held = {leaf.dtype.name for leaf in jax.tree.leaves(animator._variables)}
    assert held == {"float32", "bfloat16"}
    (frame,) = animator.animate(FRAMES[:1])
    encoded = encode_source(model, variables, SOURCE[None])
    keypoints = find_keypoints(model, variables, FRAMES[:1])
    motion = keypoints[0], np.float32(1)
    plain = render(model, variables, encoded, keypoints, motion, mode="standard", dtype=np.float32)
    np.testing.assert_array_equal(frame, plain[0])
