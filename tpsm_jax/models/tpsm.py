"""The Thin-Plate Spline Motion Model: its networks, and how they work together.

Reference: modules/model.py and demo.py; paper, section 3.
"""

import math
from collections.abc import Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from tpsm_jax.models.avd_network import AVDNetwork
from tpsm_jax.models.bg_motion_predictor import BGMotionPredictor
from tpsm_jax.models.dense_motion import DenseMotionNetwork
from tpsm_jax.models.inpainting_network import InpaintingNetwork
from tpsm_jax.models.interface import Family, Network
from tpsm_jax.models.keypoint_detector import KPDetector
from tpsm_jax.nn.layers import Dtype


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

    # Without annotations, or Flax would take them for fields. See `AnimationModel`.
    modes = ("relative", "standard", "avd")
    outputs_for_losses = ("warped_encoder_maps", "warps")

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
          train: normalize by the batch and update the running statistics; or the names of the
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

    def enlarge(self, outputs: dict[str, Any], source: jax.Array) -> jax.Array:
        """See `InpaintingNetwork.enlarge`.

        Args:
          outputs: what `generate` returned.
          source: [1, H, W, 3] in [0, 1], the source at the larger size.
        """
        return self.inpainting_network.enlarge(outputs, outputs, source)

    def points(self, pose: jax.Array) -> jax.Array:
        """The points of a pose: TPSM's pose is its points, [B, 5 K, 2]."""
        return pose

    def relative(
        self, source: jax.Array, driving: jax.Array, initial: jax.Array, scale: jax.Array
    ) -> jax.Array:
        """Moves the source's keypoints as the driving clip's have moved since its initial frame.

        Args:
          source: [B or 1, 5 K, 2], (x, y) in [-1, 1].
          driving: [B, 5 K, 2].
          initial: [1, 5 K, 2].
          scale: [], of the motion, as `relative_scale` gives it.

        Returns:
          [B, 5 K, 2]. Reference: `relative_kp` in demo.py.
        """
        return (driving - initial) * scale + source

    def disentangle(
        self, source: jax.Array, driving: jax.Array, *, train: bool = False
    ) -> jax.Array:
        """Gives driving poses [B, 5 K, 2] to the source's identity; see `AVDNetwork`."""
        return self.avd_network(source, driving, train=train)

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
          encoded_source: the result of `encode_source`, of batch 1.
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
          encoded_source: the result of `encode_source`, of batch 1 or B.
          kp_driving: [B, 5 K, 2], already normalized to the source.
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


def build(
    model_params: Mapping[str, Any],
    *,
    dtype: Dtype = jnp.float32,
    remat: Collection[str] = (),
) -> MotionModel:
    """Makes the model that a config describes, see `registry.build_model`.

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


def image_step(model_params: Mapping[str, Any]) -> int:
    """The number of pixels that both sides of a picture must be multiples of.

    Args:
      model_params: the section that `build` takes.
    """
    motion = model_params["dense_motion_params"]
    return math.lcm(
        round(2 ** motion["num_blocks"] / motion["scale_factor"]),
        2 ** model_params["generator_params"]["num_down_blocks"],
    )


TPSM = Family(
    name="tpsm",
    networks=(
        Network("dense_motion_network", optimizer="generator", clipped=True),
        # The official code does not bound the gradient of this one.
        Network("inpainting_network", optimizer="generator"),
        Network("kp_detector", optimizer="generator", clipped=True, finds_pose=True),
        Network(
            "bg_predictor",
            optimizer="bg_predictor",
            clipped=True,
            lost_without="animation does not use it; reconstruction runs without the motion of "
            "the background",
            can_be_none=True,
            modes=(),
        ),
        Network(
            "avd_network",
            optimizer="avd",
            stage="avd",
            can_remat=False,
            lost_without="animate.py --mode avd is not available; the other modes are",
            modes=("avd",),
        ),
    ),
    sections=("common_params", "generator_params", "dense_motion_params", "avd_network_params"),
    build=build,
    image_step=image_step,
)
