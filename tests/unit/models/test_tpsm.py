"""The composition: shapes, sizes, and the ways in which its parts must agree with each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.helpers.small import draw_variables, model_params, official_params, pictures
from tests.helpers.tiny_training import tiny_config
from tpsm_jax.errors import InputError
from tpsm_jax.models.dense_motion import DenseMotionNetwork, draw_kept_tps, dropout_softmax
from tpsm_jax.models.registry import build_model, check_image_size, init_variables, variable_shapes
from tpsm_jax.ops.coordinates import coordinate_grid
from tpsm_jax.ops.thin_plate_spline import evaluate_thin_plate_spline, fit_affine

# What is not about sizes or numbers is shown on a tiny model: most of the time goes into compiling.
TINY = tiny_config().model_params
SIZE = 64


@pytest.fixture(scope="module")
def tiny():
    return build_model(TINY), draw_variables(TINY)


def assert_trees_close(actual, expected, atol):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=atol), actual, expected)


@pytest.mark.slow
@pytest.mark.parametrize("multi_mask", [True, False])
@pytest.mark.parametrize(("height", "width"), [(128, 128), (128, 256)])
def test_every_intermediate_has_its_shape(multi_mask, height, width):
    params = model_params(multi_mask=multi_mask)
    model, variables = build_model(params), variable_shapes(params)
    source, driving = pictures(2, height, width)[:, None]
    shapes = jax.tree.map(jnp.shape, jax.eval_shape(model.apply, variables, source, driving))
    h, w = height // 4, width // 4
    assert shapes["kp_source"] == shapes["kp_driving"] == (1, 10, 2)
    assert shapes["bg_param"] == (1, 3, 3)
    assert shapes["deformed_source"] == (1, 3, h, w, 3)
    assert shapes["warps"] == (1, 3, h, w, 2)
    assert shapes["contribution_maps"] == (1, h, w, 3)
    assert shapes["deformation"] == (1, h, w, 2)
    sizes = [8, 4, 2, 1] if multi_mask else [4]
    assert shapes["occlusion_map"] == tuple((1, height // s, width // s, 1) for s in sizes)
    assert [s[-1] for s in shapes["warped_encoder_maps"]] == [32, 32, 16, 8]
    assert shapes["prediction"] == shapes["deformed"] == (1, height, width, 3)


@pytest.mark.slow
def test_generating_from_an_encoded_source_equals_the_whole_model(tiny):
    model, variables = tiny
    frames = pictures(4, SIZE, SIZE)
    source = np.repeat(frames[:1], 3, axis=0)
    whole = jax.jit(lambda v, s, d: model.apply(v, s, d, background=False))(
        variables, source, frames[1:]
    )

    @jax.jit
    def animate(variables, source, kp_driving):
        encoded = model.apply(variables, source, method="encode_source")
        return model.apply(variables, encoded, kp_driving, method="generate")

    streamed = animate(variables, frames[:1], whole["kp_driving"])
    assert np.isfinite(streamed["prediction"]).all()
    # The bounds of parity: convolutions over another batch size round otherwise.
    assert_trees_close(streamed["deformation"], whole["deformation"], atol=5e-6)
    assert_trees_close(streamed["occlusion_map"], whole["occlusion_map"], atol=5e-5)
    assert_trees_close(streamed["prediction"], whole["prediction"], atol=1e-4)


@pytest.mark.slow
def test_the_background_predictor_changes_the_flow_only_when_used(tiny):
    model, variables = tiny
    source, driving = pictures(2, SIZE, SIZE)[:, None]
    bias = variables["params"]["bg_predictor"]["bg_encoder"]["fc"]["bias"]
    shifted = jax.tree.map(lambda x: x, variables)
    shifted["params"]["bg_predictor"]["bg_encoder"]["fc"]["bias"] = bias + 0.1

    @jax.jit
    def flows(variables):
        outputs = [model.apply(variables, source, driving, background=b) for b in (True, False)]
        assert outputs[1]["bg_param"] is None
        return [output["deformation"] for output in outputs]

    (used, unused), (shifted_used, shifted_unused) = flows(variables), flows(shifted)
    assert np.abs(used - shifted_used).max() > 1e-3
    np.testing.assert_array_equal(unused, shifted_unused)


@pytest.mark.slow
def test_bfloat16_keeps_geometry_and_outputs_in_float32():
    model = build_model(model_params(), dtype=jnp.bfloat16)
    variables = jax.eval_shape(lambda rng: init_variables(model, rng, 128, 128), jax.random.key(0))
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(variables))
    source, driving = pictures(2, 128, 128)[:, None]
    outputs = jax.eval_shape(model.apply, variables, source, driving)
    features = outputs.pop("warped_encoder_maps")
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(outputs))
    assert all(leaf.dtype == jnp.bfloat16 for leaf in features)


@pytest.mark.slow
def test_training_records_the_statistics_of_both_detector_passes(tiny):
    model, variables = tiny
    source, driving = pictures(2, SIZE, SIZE)[:, None]

    def after(method):
        apply = jax.jit(lambda v: model.apply(v, method=method, mutable=["batch_stats"])[1])
        return apply(variables)["batch_stats"]["kp_detector"]

    whole = after(lambda model: model(source, driving, train=True))
    by_hand = after(
        lambda model: (
            model.kp_detector(source, train=True),
            model.kp_detector(driving, train=True),
        )
    )
    assert_trees_close(whole, by_hand, atol=1e-6)
    first = whole["fg_encoder"]["bn1"]["mean"]
    assert (
        np.abs(first - variables["batch_stats"]["kp_detector"]["fg_encoder"]["bn1"]["mean"]).max()
        > 0
    )


@pytest.mark.slow
def test_no_gradient_of_the_warped_features_reaches_the_encoder(tiny):
    model, variables = tiny
    source, driving = pictures(2, SIZE, SIZE)[:, None]

    def total(params):
        outputs = model.apply({**variables, "params": params}, source, driving)
        return sum(jnp.sum(jnp.abs(x)) for x in outputs["warped_encoder_maps"])

    gradients = jax.jit(jax.grad(total))(variables["params"])
    assert max(np.abs(g).max() for g in jax.tree.leaves(gradients["inpainting_network"])) == 0
    assert np.abs(gradients["dense_motion_network"]["maps"]["kernel"]).max() > 0
    masks = gradients["dense_motion_network"]["occlusion_3"]
    assert max(np.abs(g).max() for g in jax.tree.leaves(masks)) == 0


def test_dropped_splines_contribute_nothing_and_the_background_is_never_dropped():
    logits = jax.random.normal(jax.random.key(0), (2, 3, 4, 5))
    kept = jnp.array([[True, False, True, False], [False, False, False, False]])
    maps = np.asarray(dropout_softmax(logits, kept))
    assert (maps[0, ..., [2, 4]] == 0).all()
    assert (maps[0, ..., [0, 1, 3]] > 0).all()
    np.testing.assert_allclose(maps[1, ..., 0], 1, atol=1e-4)
    np.testing.assert_allclose(maps.sum(-1), 1, atol=1e-4)


def test_splines_are_dropped_at_the_rate_asked_for():
    kept = draw_kept_tps(jax.random.key(0), 4000, 10, 0.3)
    assert kept.shape == (4000, 10)
    np.testing.assert_allclose(np.mean(kept), 0.7, atol=0.01)


@pytest.mark.slow
def test_only_the_networks_asked_for_are_initialized():
    model = build_model(model_params())
    shapes = jax.eval_shape(
        lambda rng: init_variables(model, rng, 128, 128, networks=["kp_detector"]),
        jax.random.key(0),
    )
    assert list(shapes["params"]) == list(shapes["batch_stats"]) == ["kp_detector"]


@pytest.mark.slow
def test_an_untrained_background_predictor_is_the_identity():
    model = build_model(TINY)

    @jax.jit
    def predict(rng, source, driving):
        variables = init_variables(model, rng, SIZE, SIZE, networks=["bg_predictor"])
        return model.apply(variables, source, driving, method=lambda m, *x: m.bg_predictor(*x))

    affine = predict(jax.random.key(0), *pictures(2, SIZE, SIZE)[:, None])
    np.testing.assert_allclose(affine, np.eye(3)[None], atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(256, 256), (128, 384)])
def test_sizes_the_networks_can_take(height, width):
    check_image_size(official_params(), height, width)


@pytest.mark.parametrize(("height", "width"), [(250, 256), (256, 64), (0, 128), (-128, 128)])
def test_other_sizes_are_refused_with_the_step_they_need(height, width):
    with pytest.raises(InputError, match="multiples of 128"):
        check_image_size(official_params(), height, width)


@pytest.mark.slow
def test_the_model_itself_refuses_other_sizes():
    params = official_params()
    model, variables = build_model(params), variable_shapes(params)
    image = jnp.zeros((1, 192, 192, 3))
    with pytest.raises(InputError, match="multiples of 128"):
        jax.eval_shape(model.apply, variables, image, image)


@pytest.mark.parametrize(
    ("scale_factor", "sizes"),
    [(1, (32, 64, 128, 256)), (0.5, (32, 64, 128, 256)), (0.0625, (32, 64, 128, 256))],
)
def test_there_are_four_masks_at_any_scale(scale_factor, sizes):
    blocks = {1: 5, 0.5: 5, 0.0625: 4}[scale_factor]
    network = DenseMotionNetwork(
        block_expansion=8, num_blocks=blocks, max_features=16, num_tps=2, scale_factor=scale_factor
    )
    keypoints = jnp.zeros((1, 10, 2))
    outputs, variables = jax.eval_shape(
        lambda rng: network.init_with_output(
            rng, jnp.zeros((1, 256, 256, 3)), keypoints, keypoints
        ),
        jax.random.key(0),
    )
    assert tuple(mask.shape[1] for mask in outputs["occlusion_map"]) == sizes
    assert sum(name.startswith("occlusion_") for name in variables["params"]) == 4


def test_affine_maps_in_place_of_splines():
    rng = np.random.default_rng(0)
    driving, source = (jnp.asarray(x, jnp.float32) for x in rng.uniform(-1, 1, (2, 1, 5, 2)))
    outputs = {}
    for warps in ("tps", "affine"):
        network = DenseMotionNetwork(
            block_expansion=4, num_blocks=2, max_features=8, num_tps=1, warps=warps
        )
        # A coarse picture of x and y shows where a warp takes each place from.
        grid = coordinate_grid(64, 64)
        picture = jnp.concatenate([grid, jnp.zeros((64, 64, 1))], axis=-1)[None] / 2 + 0.5
        outputs[warps], _ = network.init_with_output(jax.random.key(0), picture, driving, source)
    spline = fit_affine(driving[0], source[0])
    expected = evaluate_thin_plate_spline(spline, coordinate_grid(16, 16))
    weights = outputs["affine"]["contribution_maps"][0]
    flow = weights[..., :1] * coordinate_grid(16, 16) + weights[..., 1:] * expected
    np.testing.assert_allclose(outputs["affine"]["deformation"][0], flow, atol=1e-5)
    assert np.abs(outputs["tps"]["deformation"] - outputs["affine"]["deformation"]).max() > 0.01


def test_a_scale_without_room_for_four_masks_is_refused():
    network = DenseMotionNetwork(
        block_expansion=8, num_blocks=1, max_features=16, num_tps=2, scale_factor=1 / 32
    )
    keypoints = jnp.zeros((1, 10, 2))
    with pytest.raises(ValueError, match="scale_factor"):
        jax.eval_shape(
            network.init, jax.random.key(0), jnp.zeros((1, 256, 256, 3)), keypoints, keypoints
        )


@pytest.mark.slow
def test_initial_values_have_pytorchs_distributions():
    # ResNets of full width, and as shallow as the layers below allow.
    networks = {"kp_detector_params": {"blocks": 1}, "bg_predictor_params": {"blocks": 0}}
    model = build_model({**model_params(), **networks})
    init = jax.jit(lambda rng: init_variables(model, rng, 128, 128)["params"])
    # XLA's own generator, whose draws are compiled in a fraction of the time.
    params = init(jax.random.key(0, impl="rbg"))
    encoder = params["kp_detector"]["fg_encoder"]
    # torchvision: normal of variance 2 / (k^2 outputs).
    np.testing.assert_allclose(
        np.std(encoder["conv1"]["kernel"]), (2 / (49 * 64)) ** 0.5, rtol=0.05
    )
    block = encoder["layer3_0"]["conv2"]["kernel"]
    np.testing.assert_allclose(np.std(block), (2 / (9 * 256)) ** 0.5, rtol=0.01)
    # PyTorch's defaults: uniform in +-1 / sqrt(fan in), biases too.
    stem = params["bg_predictor"]["bg_encoder"]["conv1"]["kernel"]
    avd = params["avd_network"]["decoder_3"]
    res = params["inpainting_network"]["resblock_0"]["conv1"]
    up = params["inpainting_network"]["up_blocks_0"]["conv"]
    for layer, fan_in in ((stem, 294), (encoder["fc"], 512), (avd, 1024), (res, 288), (up, 288)):
        for values in jax.tree.leaves(layer):
            assert np.abs(values).max() <= fan_in**-0.5
            assert np.abs(values).max() > 0.8 * fan_in**-0.5
            np.testing.assert_allclose(np.std(values), (3 * fan_in) ** -0.5, rtol=0.35)
