"""The networks together: source and driving picture in, the animated picture and all between."""

import functools
import json
import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from tpsm_jax.backends.backend import tracing_for
from tpsm_jax.models.avd_network import AVDNetwork
from tpsm_jax.models.bg_motion_predictor import BGMotionPredictor
from tpsm_jax.models.dense_motion import DenseMotionNetwork, check_divides
from tpsm_jax.models.inpainting_network import InpaintingNetwork
from tpsm_jax.models.keypoint_detector import KPDetector
from tpsm_jax.nn.layers import Dtype

Variables = dict[str, Any]


class MotionModel(nn.Module):
    """The Thin-Plate Spline Motion Model.

    Its variables are `{"params": {network: ...}, "batch_stats": {network: ...}}`, with the
    networks named as below and as in the official checkpoints. A network alone:
    `model.bind(variables).kp_detector(image)`.

    Attributes:
      kp_detector: picture -> keypoints.
      dense_motion_network: keypoints -> flow and masks.
      inpainting_network: flow and masks -> picture.
      bg_predictor: two pictures -> affine motion of the background, or None.
      avd_network: keypoints of two identities -> keypoints, for the animation mode 'avd'.
      remat: names of networks whose inner values are computed again for the gradient, not kept.
    """

    kp_detector: nn.Module
    dense_motion_network: nn.Module
    inpainting_network: nn.Module
    bg_predictor: nn.Module | None
    avd_network: nn.Module
    remat: tuple[str, ...] = ()

    def __call__(
        self,
        source: jax.Array,
        driving: jax.Array,
        *,
        train: bool | Collection[str] = False,
        background: bool = True,
        kept_tps: jax.Array | None = None,
    ) -> dict[str, Any]:
        """Reconstructs the driving picture from the source picture.

        Args:
          source: [B, H, W, 3] in [0, 1].
          driving: [B, H, W, 3] in [0, 1].
          train: normalise by the batch and update the running statistics; or the names of the
            networks that do.
          background: use `bg_predictor`, where there is one.
          kept_tps: [B, K], see `DenseMotionNetwork`.

        Returns:
          kp_source and kp_driving [B, 5 K, 2], bg_param ([B, 3, 3] or None), and everything that
          `DenseMotionNetwork` and `InpaintingNetwork.decode` return.
        """
        kp_source = self.keypoints(source, train=train)
        kp_driving = self.keypoints(driving, train=train)
        bg_param = None
        if background and self.bg_predictor is not None:
            bg_param = self.background(source, driving, train=train)
        dense_motion = self._run(
            "dense_motion_network", source, kp_driving, kp_source, bg_param, kept_tps=kept_tps
        )
        return {
            "kp_source": kp_source,
            "kp_driving": kp_driving,
            "bg_param": bg_param,
            **dense_motion,
            **self._run("inpainting_network", source, dense_motion),
        }

    def keypoints(self, image: jax.Array, *, train: bool | Collection[str] = False) -> jax.Array:
        """[B, H, W, 3] -> [B, 5 K, 2]; `train` as for `__call__`."""
        return self._run("kp_detector", image, train=_trains("kp_detector", train))

    def background(
        self, source: jax.Array, driving: jax.Array, *, train: bool | Collection[str] = False
    ) -> jax.Array:
        """Two [B, H, W, 3] -> [B, 3, 3]; `train` as for `__call__`."""
        return self._run("bg_predictor", source, driving, train=_trains("bg_predictor", train))

    def _run(self, name: str, *args: Any, **options: Any) -> Any:
        """Calls a network, with or without keeping its inner values."""

        def call(network: nn.Module, *args: Any) -> Any:
            return network(*args, **options)

        return (nn.remat(call) if name in self.remat else call)(getattr(self, name), *args)

    def encode_source(self, source: jax.Array) -> dict[str, Any]:
        """Everything about a source picture that no driving frame changes.

        Args:
          source: [B, H, W, 3] in [0, 1].

        Returns:
          source, kp_source [B, 5 K, 2] and encoder_maps, for `generate`.
        """
        return {
            "source": source,
            "kp_source": self.kp_detector(source),
            "encoder_maps": self.inpainting_network.encode(source),
        }

    def reconstruct(self, encoded_source: dict[str, Any], driving: jax.Array) -> dict[str, Any]:
        """What `__call__` gives in evaluation mode, of a source that is encoded already.

        Args:
          encoded_source: what `encode_source` returned, of batch 1.
          driving: [B, H, W, 3] in [0, 1].

        Returns:
          As `__call__`, of batch B; kp_source of batch 1.
        """
        bg_param = None
        if self.bg_predictor is not None:
            source = jnp.broadcast_to(encoded_source["source"], driving.shape)
            bg_param = self.background(source, driving)
        return self.generate(encoded_source, self.keypoints(driving), bg_param)

    def generate(
        self,
        encoded_source: dict[str, Any],
        kp_driving: jax.Array,
        bg_param: jax.Array | None = None,
    ) -> dict[str, Any]:
        """Animates an encoded source.

        Args:
          encoded_source: what `encode_source` returned, of batch 1 or B.
          kp_driving: [B, 5 K, 2], already normalised to the source.
          bg_param: [B, 3, 3], the background's motion. If None the background stays, as in the
            reference's animation.

        Returns:
          As `__call__`, of batch B.
        """
        source, kp_source = encoded_source["source"], encoded_source["kp_source"]
        dense_motion = self.dense_motion_network(source, kp_driving, kp_source, bg_param)
        painted = self.inpainting_network.decode(
            source, encoded_source["encoder_maps"], dense_motion
        )
        return {
            "kp_source": kp_source,
            "kp_driving": kp_driving,
            "bg_param": bg_param,
            **dense_motion,
            **painted,
        }


def _trains(network: str, train: bool | Collection[str]) -> bool:
    return train if isinstance(train, bool) else network in train


def build_model(
    model_params: Mapping[str, Any],
    *,
    dtype: Dtype = jnp.float32,
    remat: Collection[str] = (),
) -> MotionModel:
    """Makes the model that a config describes.

    Args:
      model_params: common_params, generator_params, dense_motion_params and avd_network_params,
        with the fields of the official YAML files; and perhaps kp_detector_params and
        bg_predictor_params, with fields of those networks.
      dtype: float32 or bfloat16, to compute convolutions in.
      remat: names of networks whose inner values a gradient computes again.

    Returns:
      The model, without variables.
    """
    common = dict(model_params["common_params"])
    has_background = common.pop("bg")
    num_tps = common["num_tps"]
    generator = {k: v for k, v in common.items() if k != "num_tps"}
    generator |= dict(model_params["generator_params"])
    # Two sections that the official files do not have, for small models.
    detector, background = (
        dict(model_params.get(f"{name}_params", {})) for name in ("kp_detector", "bg_predictor")
    )
    return MotionModel(
        kp_detector=KPDetector(num_tps, **detector, dtype=dtype),
        dense_motion_network=DenseMotionNetwork(
            **common, **model_params["dense_motion_params"], dtype=dtype
        ),
        inpainting_network=InpaintingNetwork(**generator, dtype=dtype),
        bg_predictor=BGMotionPredictor(**background, dtype=dtype) if has_background else None,
        avd_network=AVDNetwork(num_tps, **model_params["avd_network_params"]),
        remat=tuple(remat),
    )


def init_variables(
    model: MotionModel,
    rng: jax.Array,
    height: int,
    width: int,
    *,
    networks: Iterable[str] | None = None,
) -> Variables:
    """Draws the variables of an untrained model.

    Args:
      model: as from `build_model`.
      rng: a JAX random key.
      height: of any picture that the model takes; no variable depends on it.
      width: likewise.
      networks: names of those wanted; all if None.

    Returns:
      `{"params": {network: ...}, "batch_stats": {network: ...}}`.
    """

    def run_every_network(model: MotionModel, image: jax.Array) -> None:
        outputs = model(image, image)
        model.avd_network(outputs["kp_source"], outputs["kp_driving"])

    image = jnp.zeros((1, height, width, 3))
    variables = nn.init(run_every_network, model)(rng, image)
    return variables if networks is None else _choose(variables, networks)


def variable_shapes(
    model_params: Mapping[str, Any], *, networks: Iterable[str] | None = None
) -> Variables:
    """The variables that a config describes, without computing any.

    Args:
      model_params: as for `build_model`.
      networks: names of those wanted; all if None.

    Returns:
      {"params": {network: ...}, "batch_stats": {network: ...}} of `jax.ShapeDtypeStruct`; kept, so
      not to be changed.
    """
    # A dict cannot be a cache's key; its text can. `default` is for the sections of a ConfigDict.
    # Types depend on whether JAX has 64 bits.
    text = json.dumps(model_params, sort_keys=True, default=dict)
    shapes = _variable_shapes(text, jax.config.jax_enable_x64)  # type: ignore[attr-defined]
    return shapes if networks is None else _choose(shapes, networks)


def _choose(variables: Variables, networks: Iterable[str]) -> Variables:
    wanted = set(networks)
    return {
        collection: {name: tree for name, tree in by_network.items() if name in wanted}
        for collection, by_network in variables.items()
    }


@functools.lru_cache(maxsize=8)
def _variable_shapes(model_params_json: str, x64: bool) -> Variables:
    model_params = json.loads(model_params_json)
    model = build_model(model_params)
    motion = model_params["dense_motion_params"]
    halvings = motion["num_blocks"] + model_params["generator_params"]["num_down_blocks"]
    # No variable depends on the size, but tracing needs one that halves so often.
    side = math.ceil(2**halvings / motion["scale_factor"])
    with tracing_for("plain"):  # other forms take longer to trace
        return jax.eval_shape(lambda rng: init_variables(model, rng, side, side), jax.random.key(0))


def check_image_size(model_params: Mapping[str, Any], height: int, width: int) -> None:
    """Makes sure that the networks can take pictures of this size.

    Args:
      model_params: as for `build_model`.
      height: of the pictures.
      width: of the pictures.

    Raises:
      InputError: if one of the sides does not divide as often as the networks halve it.
    """
    motion = model_params["dense_motion_params"]
    step = math.lcm(
        round(2 ** motion["num_blocks"] / motion["scale_factor"]),
        2 ** model_params["generator_params"]["num_down_blocks"],
    )
    check_divides((height, width), step)
