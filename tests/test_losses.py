import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from tests.small import pictures
from tpsm_jax.errors import InputError
from tpsm_jax.losses import (
    PERCEPTUAL_FEATURES,
    LossSettings,
    make_features,
    perceptual_loss,
    random_vgg19,
    transform_frame,
    warp_loss,
)
from tpsm_jax.models.vgg19 import VGG19
from tpsm_jax.ops.coordinates import coordinate_grid
from tpsm_jax.ops.thin_plate_spline import ThinPlateSpline, random_thin_plate_spline


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
    assert LossSettings.of(params) == ((1, 0.5), (1, 2), 3, 4, 5)


def test_pixels_are_their_own_features():
    image = pictures(1, 8, 8)
    (features,) = make_features("pixels")(None, image)
    np.testing.assert_array_equal(features, image)


def test_unknown_features_are_refused():
    with pytest.raises(InputError, match=", ".join(PERCEPTUAL_FEATURES)):
        make_features("lpips")


def test_random_vgg19_is_drawn_from_its_seed_and_keeps_the_scale():
    one, same, other = random_vgg19(0), random_vgg19(0), random_vgg19(1)
    jax.tree.map(np.testing.assert_array_equal, one, same)
    kernel = one["params"]["features_28"]["kernel"]
    assert np.any(kernel != other["params"]["features_28"]["kernel"])
    features = jax.jit(VGG19().apply)(one, pictures(1, 32, 32))
    # Without He's deviation they would fade from layer to layer.
    sizes = [float(jnp.sqrt(jnp.mean(x**2))) for x in features]
    assert all(0.1 < size < 10 for size in sizes), sizes
