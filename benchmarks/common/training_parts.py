"""The project's parts of a training step, each compiled alone with its gradient."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from benchmarks.common.compiled_step import summed_losses
from benchmarks.common.frame_parts import Part, build
from benchmarks.common.roofline import Work, compiled, with_gradient
from tpsm_jax.models.registry import family_of
from tpsm_jax.models.vgg19 import VGG19
from tpsm_jax.ops.resample import antialias_downsample
from tpsm_jax.ops.thin_plate_spline import random_thin_plate_spline
from tpsm_jax.parallel.sharding import make_mesh
from tpsm_jax.training.losses import perceptual_loss, random_vgg19, transform_frame
from tpsm_jax.training.optimizer import make_optimizer
from tpsm_jax.training.schedule import Phase
from tpsm_jax.training.setup import make_model_trainer

differentiated = functools.partial(with_gradient, count_program=True)


def training_parts(config: ConfigDict) -> dict[str, Part]:
    """Returns the parts by name, with dropout and, if the config has it, background predictor."""
    model, variables, (source, driving) = build(config)
    names = family_of(config.model_params).trained("model")
    trained = [name for name in names if name in variables["params"]]

    def call(method: Callable[..., Any]) -> Callable[..., Any]:
        def apply(variables: Any, *arguments: Any) -> Any:
            return model.apply(variables, *arguments, method=method, mutable=["batch_stats"])[0]

        return apply

    def of(name: str) -> Any:
        """One network's variables."""
        return {key: {name: tree[name]} for key, tree in variables.items() if name in tree}

    detect = call(lambda m, image: m.keypoints(image, train=True))
    points = [jax.jit(detect)(of("kp_detector"), image) for image in (driving, source)]
    parts = {"keypoint detector": Part(differentiated(detect, (0,), of("kp_detector"), driving), 3)}
    background = None
    if "bg_predictor" in trained:
        predict = call(lambda m, *pair: m.background(*pair, train=True))
        given = (of("bg_predictor"), source, driving)
        background = jax.jit(predict)(*given)
        parts["background predictor"] = Part(differentiated(predict, (0,), *given), 2)

    def move(model: Any, source: Any, kp_driving: Any, kp_source: Any, background: Any) -> Any:
        kept = jnp.ones((1, config.model_params.common_params.num_tps), bool)
        motion = model.dense_motion_network(
            source, kp_driving, kp_source, background, kept_tps=kept
        )
        return {key: motion[key] for key in ("deformation", "occlusion_map")}

    given = (of("dense_motion_network"), source, *points, background)
    motion = jax.jit(call(move))(*given)
    wanted = (0, 2, 3) if background is None else (0, 2, 3, 4)
    parts["dense motion"] = Part(differentiated(call(move), wanted, *given), 1)

    def paint(model: Any, source: Any, motion: Any) -> Any:
        outputs = model.inpainting_network(source, motion)
        return outputs["prediction"], outputs["warped_encoder_maps"]

    weights = of("inpainting_network")
    parts["inpainting"] = Part(differentiated(call(paint), (0, 2), weights, source, motion), 1)
    aim = call(lambda m, *given: m.inpainting_network.encode_driving(*given))
    masks = motion["occlusion_map"]
    parts["driving features"] = Part(compiled(aim, weights, driving, masks, count_program=True), 1)
    parts |= loss_parts(config, source, driving)
    parts["Adam"] = Part(adam({name: variables["params"][name] for name in trained}), 1)
    return parts | whole_losses(config, variables, source, driving)


def loss_parts(config: ConfigDict, prediction: Any, driving: Any) -> dict[str, Part]:
    """The perceptual loss, and the transformed picture of the equivariance loss."""
    settings = config.train_params
    vgg19 = random_vgg19(seed=0)

    def loss(prediction: Any, driving: Any, vgg19: Any) -> Any:
        weights = settings.loss_weights.perceptual
        features = lambda images: VGG19().apply(vgg19, images)  # noqa: E731
        return perceptual_loss(prediction, driving, features, settings.scales, weights)

    def aims(driving: Any, vgg19: Any) -> Any:
        downsample = jax.vmap(antialias_downsample, (0, None))
        return [VGG19().apply(vgg19, downsample(driving, scale)) for scale in settings.scales]

    def transform(driving: Any, rng: Any) -> Any:
        spline = random_thin_plate_spline(rng, **settings.transform_params)
        return transform_frame(jax.tree.map(lambda leaf: leaf[None], spline), driving)

    given = (driving, vgg19)
    return {
        "perceptual loss": Part(differentiated(loss, (0,), prediction, *given), 1),
        "  VGG-19 of the driving picture": Part(compiled(aims, *given, count_program=True), 0),
        "transformed picture": Part(
            compiled(transform, driving, jax.random.key(0), count_program=True), 1
        ),
    }


def whole_losses(config: ConfigDict, variables: Any, source: Any, driving: Any) -> dict[str, Part]:
    """All losses of a step as one program, without and with the gradient to all weights."""
    config = config.copy_and_resolve_references()
    config.train_params.batch_size = 1
    if config.perceptual_features == "vgg19":
        config.perceptual_features = "vgg19_random"
    phase = Phase(config.model_params.common_params.bg, dropout=True)
    trainer = make_model_trainer(config, make_mesh(jax.devices()[:1]), steps_per_epoch=1)
    draws = jax.jit(trainer.recipe.draw, static_argnums=2)(jax.random.key(0), jnp.int32(0), phase)
    vgg19 = None if config.perceptual_features == "pixels" else random_vgg19(seed=0)
    given = (variables["params"], variables["batch_stats"], source, driving, draws, vgg19)
    losses = summed_losses(trainer, phase)
    return {
        "all losses": Part(compiled(losses, *given, count_program=True), 0),
        "all losses and gradient": Part(differentiated(losses, (0,), *given), 0),
    }


def adam(params: Any) -> Work:
    """A step of the optimizer for all networks."""
    optimizer = make_optimizer()

    def update(params: Any, gradients: Any, state: Any) -> Any:
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    state = jax.jit(optimizer.init)(params)
    return compiled(update, params, jax.tree.map(jnp.ones_like, params), state, count_program=True)
