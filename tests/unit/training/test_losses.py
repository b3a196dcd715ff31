import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from tests.helpers.small import pictures
from tests.helpers.tiny_training import SIZE, tiny_config
from tpsm_jax.errors import InputError
from tpsm_jax.models.dense_motion import dropout_softmax
from tpsm_jax.models.registry import build_model, variable_shapes
from tpsm_jax.models.vgg19 import VGG19
from tpsm_jax.ops.coordinates import coordinate_grid
from tpsm_jax.ops.thin_plate_spline import ThinPlateSpline, random_thin_plate_spline
from tpsm_jax.training.losses import (
    PERCEPTUAL_FEATURES,
    contribution_loss,
    landmark_loss,
    make_features,
    perceptual_loss,
    random_vgg19,
    transform_frame,
    warp_loss,
)
from tpsm_jax.training.recipes.tpsm import LossSettings


def two_maps(images):
    """A stand-in for VGG: the pictures, and their first channel doubled."""
    return [images, 2 * images[..., :1]]


def test_perceptual_loss_sums_maps_and_scales_with_their_weights():
    prediction, driving = pictures(2, 32, 32, seed=1), pictures(2, 32, 32, seed=2)
    expected = 0.0
    for scale in (1, 0.5):
        a, b = prediction, driving
        if scale == 0.5:
            # The anti-alias blur of the reference: sigma 0.5, five taps, zeros outside.
            sigmas, options = (0, 0.5, 0.5, 0), {"mode": "constant", "truncate": 4.0}
            a, b = (ndimage.gaussian_filter(x, sigmas, **options)[:, ::2, ::2] for x in (a, b))
        difference = np.abs(a - b)
        expected += 3 * difference.mean() + 5 * 2 * difference[..., 0].mean()
    actual = perceptual_loss(prediction, driving, two_maps, (1, 0.5), (3, 5))
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_a_weight_for_every_map_is_needed():
    image = pictures(1, 16, 16)
    with pytest.raises(ValueError, match="zip"):
        perceptual_loss(image, image, two_maps, (1,), (1,))


def test_no_gradient_goes_to_the_driving_picture():
    prediction, driving = pictures(2, 16, 16, seed=1), pictures(2, 16, 16, seed=2)
    gradients = jax.grad(perceptual_loss, argnums=(0, 1))(
        jnp.asarray(prediction), jnp.asarray(driving), two_maps, (1,), (1, 1)
    )
    assert np.any(gradients[0])
    assert not np.any(gradients[1])


def test_warp_loss_sums_the_mean_differences():
    maps = [jnp.full((1, 2, 2, 3), 1.0), jnp.full((1, 4, 4, 2), -2.0)]
    aims = [jnp.full((1, 2, 2, 3), 1.5), jnp.full((1, 4, 4, 2), 1.0)]
    np.testing.assert_allclose(warp_loss(maps, aims), 0.5 + 3)


def identity_splines(batch):
    points = coordinate_grid(5, 5).reshape(-1, 2)
    spline = ThinPlateSpline(points, jnp.zeros((25, 1)), jnp.eye(2, 3))
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (batch, *leaf.shape)), spline)


def test_an_identity_spline_leaves_the_frame():
    images = pictures(2, 16, 24)
    np.testing.assert_allclose(transform_frame(identity_splines(2), images), images, atol=1e-5)


def test_frames_are_mirrored_at_their_borders():
    images = pictures(1, 8, 8)
    shifted = identity_splines(1)
    # Half a picture to the left: what comes in from the right is the picture's mirror image.
    shifted = shifted._replace(affine=shifted.affine.at[:, 0, 2].set(6 / 7))
    moved = np.asarray(transform_frame(shifted, images))
    np.testing.assert_allclose(moved[:, :, :5], images[:, :, 3:], atol=1e-5)
    np.testing.assert_allclose(moved[:, :, 5:], images[:, :, [6, 5, 4]], atol=1e-5)


@pytest.mark.slow
def test_every_sample_has_its_own_spline():
    draw = jax.vmap(
        lambda rng: random_thin_plate_spline(rng, sigma_affine=0.05, sigma_tps=0.005, points_tps=5)
    )
    images = np.broadcast_to(pictures(1, 16, 16), (3, 16, 16, 3))
    moved = np.asarray(transform_frame(draw(jax.random.split(jax.random.key(0), 3)), images))
    assert np.abs(moved[0] - moved[1]).max() > 0.01
    assert np.abs(moved[1] - moved[2]).max() > 0.01


def test_settings_are_read_under_the_official_names():
    params = {
        "scales": [1, 0.5],
        "loss_weights": {"perceptual": [1, 2], "equivariance_value": 3, "warp_loss": 4, "bg": 5},
    }
    assert LossSettings.of(params) == ((1, 0.5), (1, 2), 3, 4, 5, 0, 0, 0, 0)


def test_pixels_are_their_own_features():
    image = pictures(1, 8, 8)
    (features,) = make_features("pixels")(None, image)
    np.testing.assert_array_equal(features, image)


def test_unknown_features_are_refused():
    with pytest.raises(InputError, match=", ".join(PERCEPTUAL_FEATURES)):
        make_features("lpips")


@pytest.mark.slow
def test_random_vgg19_is_drawn_from_its_seed_and_keeps_the_scale():
    one, same, other = random_vgg19(0), random_vgg19(0), random_vgg19(1)
    jax.tree.map(np.testing.assert_array_equal, one, same)
    kernel = one["params"]["features_28"]["kernel"]
    assert np.any(kernel != other["params"]["features_28"]["kernel"])
    features = jax.jit(VGG19().apply)(one, pictures(1, 32, 32))
    # Without He's deviation they would fade from layer to layer.
    sizes = [float(jnp.sqrt(jnp.mean(x**2))) for x in features]
    assert all(0.1 < size < 10 for size in sizes), sizes


def computed_twice(function, *arguments):
    """How many parts of a function its gradient computes again, and how many convolutions it has.

    Args:
      function: a function; its gradient by the first argument is traced, not compiled.
      arguments: arrays or their shapes.
    """

    def loss(*arguments):
        return sum(jnp.sum(leaf) for leaf in jax.tree.leaves(function(*arguments)))

    text = str(jax.make_jaxpr(jax.grad(loss))(*arguments))
    return len(re.findall(r"\b(?:checkpoint|remat2?)\[", text)), text.count("conv_general_dilated[")


def test_the_features_are_recomputed_where_the_config_says():
    shapes = jax.eval_shape(lambda: random_vgg19(0))
    image = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    plain, recomputed = (
        computed_twice(
            lambda image, variables, remat=remat: make_features("vgg19_random", remat=remat)(
                variables, image
            ),
            image,
            shapes,
        )
        for remat in (False, True)
    )
    assert plain[0] == 0
    assert recomputed[0] > 0
    assert recomputed[1] > plain[1]


NETWORKS = ("kp_detector", "bg_predictor", "dense_motion_network", "inpainting_network")


def traced_model(remat):
    params = tiny_config().model_params
    model = build_model(params, remat=remat)
    image = jax.ShapeDtypeStruct((1, SIZE, SIZE, 3), jnp.float32)
    return computed_twice(
        lambda source, driving, variables: model.apply(variables, source, driving)["prediction"],
        image,
        image,
        variable_shapes(params),
    )


@pytest.fixture(scope="module")
def plain_model():
    return traced_model(())


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
def test_a_network_is_recomputed_where_the_config_says(plain_model, network):
    recomputed = traced_model((network,))
    assert plain_model[0] == 0
    assert recomputed[0] > 0
    assert recomputed[1] > plain_model[1]


def test_landmarks_that_are_not_known_count_nothing():
    keypoints = jnp.array([[[0.5, 0.0], [0.0, 0.25]], [[1.0, 1.0], [-1.0, 0.0]]])
    landmarks = jnp.array([[[0.0, 0.0], [0.0, jnp.nan]], [[1.0, 0.0], [jnp.nan, jnp.nan]]])
    value, gradient = jax.value_and_grad(landmark_loss)(keypoints, landmarks)
    assert value == pytest.approx((0.5 + 0 + 0 + 0 + 1) / 5)
    np.testing.assert_allclose(gradient[0, 0, 0], 1 / 5)
    np.testing.assert_array_equal(gradient[1, 1], [0, 0])
    assert landmark_loss(keypoints, jnp.full_like(landmarks, jnp.nan)) == 0


def half_size(image):
    """Half the size by the reference's anti-alias blur: zeros outside."""
    sigmas, options = (0, 0.5, 0.5, 0), {"mode": "constant", "truncate": 4.0}
    return ndimage.gaussian_filter(image, sigmas, **options)[:, ::2, ::2]


def test_contribution_is_the_likelihood_of_a_mixture():
    driving, warped = pictures(2, 16, 16, seed=1), pictures(2, 8, 8, seed=2)
    aim = half_size(driving)
    deformed = np.stack([aim + 0.1, warped, aim + 0.02], axis=1)
    warps = np.zeros((2, 3, 8, 8, 2), np.float32)
    warps[0, 1, :3, 0, 0] = -1.01  # outside the source
    maps = np.zeros((2, 8, 8, 3), np.float32)
    maps[..., 1] = np.linspace(0.2, 0.8, 8)
    maps[..., 2] = 1 - maps[..., 1]
    inside = np.all(np.abs(warps) <= 1, axis=-1)[..., None]
    losses = []
    for size in (1, 2, 4):
        parts = (2, 8 // size, 8 // size)
        likelihood = np.zeros(parts)
        for index in np.ndindex(parts):
            block = (index[0], *(slice(i * size, (i + 1) * size) for i in index[1:]))
            for k in (1, 2):
                known = inside[:, k][block]
                error = np.abs(((deformed[:, k] - aim)[block] * known).mean((0, 1))).mean()
                error += 0.1 * (1 - known.mean())
                likelihood[index] += maps[..., k][block].mean() * np.exp(-error / 0.03)
        losses.append(np.mean(-0.03 * np.log(likelihood)))
    actual = contribution_loss(maps, warps, deformed, driving)
    np.testing.assert_allclose(actual, np.mean(losses), rtol=1e-4)


@pytest.mark.parametrize("side", [2, 8, 64])
def test_a_warp_that_fits_everywhere_costs_nothing(side):
    driving = pictures(1, 2 * side, 2 * side)
    aim = half_size(driving)
    deformed = np.stack([aim + 0.3, aim], axis=1)
    warps = np.broadcast_to(np.asarray(coordinate_grid(side, side)), (1, 2, side, side, 2))
    maps = np.zeros((1, side, side, 2), np.float32)
    maps[..., 1] = 1
    assert abs(contribution_loss(maps, warps * np.float32(1.0000002), deformed, driving)) < 1e-6


def gradient_of_shares(deformed, driving, logits, kept=None):
    """Value and gradient of the loss, with warps that stay inside the source."""
    warps = jnp.zeros((*deformed.shape[:4], 2))

    def loss(logits: jax.Array) -> jax.Array:
        maps = jax.nn.softmax(logits) if kept is None else dropout_softmax(logits, kept)
        return contribution_loss(maps, warps, deformed, driving)

    return jax.value_and_grad(loss)(logits)


def test_a_warp_far_away_gains_the_share_of_what_it_fits():
    """A dot moves by half the picture, where the gradient of a blended flow is blind."""
    driving = np.zeros((1, 16, 16, 3), np.float32)
    driving[0, 4, 4] = 1
    stays = np.zeros_like(driving)
    stays[0, 4, 12] = 1
    deformed = jnp.asarray(np.stack([stays, driving], axis=1))  # the background, and one spline
    for share in (0.5, 1e-4):
        logits = jnp.log(jnp.broadcast_to(jnp.array([1 - share, share]), (1, 16, 16, 2)))
        slope = 16**2 * gradient_of_shares(deformed, driving, logits)[1]
        assert slope[0, 4, 4, 1] < -0.003  # hardly weaker where the share is small
        assert slope[0, 4, 12, 1] < -0.003
        np.testing.assert_allclose(slope[0, 0], 0, atol=1e-6)


@pytest.mark.parametrize("far", [-200, 200])
@pytest.mark.parametrize("dropped", [(), (0,), (0, 1)])
def test_the_gradient_of_shares_that_are_0_is_finite(dropped, far):
    driving = pictures(1, 8, 8)
    deformed = jnp.stack([driving + 1, driving, driving + 0.5], axis=1)
    kept = jnp.array([[index not in dropped for index in range(2)]])
    logits = jnp.zeros((1, 8, 8, 3)).at[..., 1].set(far)
    value, slope = gradient_of_shares(deformed, driving, logits, kept)
    assert np.isfinite(value)
    assert np.all(np.isfinite(slope))


def test_what_is_left_is_learned_from_while_the_best_warp_is_dropped():
    driving = pictures(1, 8, 8)
    deformed = jnp.stack([driving + 0.6, driving, driving + 0.5], axis=1)
    _, slope = gradient_of_shares(
        deformed, driving, jnp.zeros((1, 8, 8, 3)), jnp.array([[False, True]])
    )
    # The slope is the spread times what the likelihood adds to the share of a half.
    better = 1 / (1 + np.exp(-0.1 / 0.03))
    expected = 0.03 * (better - 0.5) * np.array([1, 0, -1])
    np.testing.assert_allclose(8**2 * slope[0, 0, 0], expected, rtol=0.01, atol=1e-6)


@pytest.mark.parametrize("weight", ["keypoints", "bg_points", "bg_equivariance", "contribution"])
def test_a_weight_that_older_configs_lack_is_0(weight):
    config = tiny_config()
    del config.train_params.loss_weights[weight]
    assert getattr(LossSettings.of(config.train_params), weight) == 0
    config.train_params.loss_weights[weight] = 3
    assert getattr(LossSettings.of(config.train_params), weight) == 3
