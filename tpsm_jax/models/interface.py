"""What a model family gives to the rest of the package: its networks, and a model's methods.

A pose is what a detector finds in a picture: a pytree with the batch in front. TPSM's is an array
[B, 5 K, 2]; other families add a matrix to each point.
"""

import dataclasses
from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal, Protocol

import jax

from tpsm_jax.errors import InputError

Variables = dict[str, Any]  # {"params": {network: ...}, "batch_stats": {network: ...}}
Pose = Any
Stage = Literal["model", "avd"]

# The longest side of pictures, in pixels: videos are H.264 up to this one, and compiling takes
# memory that grows with the square of a side, for the matrices that resize.
LONGEST_SIDE = 2**14


@dataclasses.dataclass(frozen=True)
class Network:
    """A network of a family.

    Attributes:
      name: the model's field, the key of its variables, and the official checkpoint's entry.
      optimizer: the optimizer that steps it; each optimizer counts its own steps.
      stage: the stage of training that trains it.
      clipped: bound the largest absolute entry of its gradient.
      can_remat: a config's `remat` may name it.
      lost_without: what cannot be done with a checkpoint that lacks it; empty if it is required.
      can_be_none: the model's field may be None, and the model then works without the network.
      modes: the animation modes that use it.
      finds_pose: the pose in a picture is what it finds there.
    """

    name: str
    optimizer: str
    stage: Stage = "model"
    clipped: bool = False
    can_remat: bool = True
    lost_without: str = ""
    can_be_none: bool = False
    modes: tuple[str, ...] = ("relative", "standard", "avd")
    finds_pose: bool = False

    @property
    def required(self) -> bool:
        """Whether every checkpoint must have it."""
        return not self.lost_without


class AnimationModel(Protocol):
    """A model's methods, called by `model.apply(variables, ..., method=NAME)`.

    Attributes:
      modes: the animation modes that the family has.
      outputs_for_losses: names of outputs that losses need and pictures do not.
    """

    modes: tuple[str, ...]
    outputs_for_losses: tuple[str, ...]

    def __call__(
        self,
        source: jax.Array,
        driving: jax.Array,
        *,
        train: bool | Collection[str] = False,
        background: bool = True,
        **draws: Any,
    ) -> dict[str, Any]:
        """Reconstructs the driving picture from the source picture, [B, H, W, 3] each."""

    def keypoints(self, image: jax.Array, *, train: bool | Collection[str] = False) -> Pose:
        """The pose in [B, H, W, 3] pictures."""

    def points(self, pose: Pose) -> jax.Array:
        """The points of a pose, [B, N, 2], (x, y) in [-1, 1]: for hulls, pictures, distances."""

    def encode_source(self, source: jax.Array) -> dict[str, Any]:
        """Everything about source pictures [B, H, W, 3] that no driving frame changes."""

    def generate(
        self, encoded_source: dict[str, Any], pose: Pose, bg_param: jax.Array | None = None
    ) -> dict[str, Any]:
        """Moves an encoded source into a pose.

        Args:
          encoded_source: what `encode_source` returned, of one source or of B.
          pose: B poses.
          bg_param: [B, 3, 3], the motion of the background from driving to source, or None.

        Returns:
          "prediction" [B, H, W, 3] in [0, 1], and what else the family computes.
        """

    def reconstruct(self, encoded_source: dict[str, Any], driving: jax.Array) -> dict[str, Any]:
        """What `__call__` gives in evaluation mode for driving frames [B, H, W, 3]."""

    def relative(self, source: Pose, driving: Pose, initial: Pose, scale: jax.Array) -> Pose:
        """Moves the source's pose as the driving pose has moved since its initial frame.

        Args:
          source: one pose, or B.
          driving: B poses.
          initial: one pose.
          scale: [], factor of the motion.
        """

    def disentangle(self, source: Pose, driving: Pose, *, train: bool = False) -> Pose:
        """Gives B driving poses to the source's identity, for the mode 'avd'."""


@dataclasses.dataclass(frozen=True)
class Family:
    """A kind of model.

    Attributes:
      name: the value of `model_params.family`.
      networks: all of them; a model may lack those that its config leaves out.
      sections: the sections that `model_params` must have.
      build: (model_params, dtype=..., remat=...) -> the model.
      image_step: model_params -> the number of pixels that both sides must be multiples of.
    """

    name: str
    networks: tuple[Network, ...]
    sections: tuple[str, ...]
    build: Callable[..., Any]
    image_step: Callable[[Mapping[str, Any]], int]

    @property
    def required(self) -> tuple[str, ...]:
        """Names of the networks that every checkpoint has."""
        return tuple(network.name for network in self.networks if network.required)

    @property
    def lost_without(self) -> dict[str, str]:
        """Name of each optional network -> what a checkpoint without it cannot do."""
        return {
            network.name: network.lost_without for network in self.networks if not network.required
        }

    def without(self, model: Any, absent: Collection[str]) -> Any:
        """Removes the networks whose variables are absent and that the model works without.

        Args:
          model: the model that `build` made.
          absent: names of networks.

        Returns:
          The model with None in the place of those networks.
        """
        removed = [n.name for n in self.networks if n.can_be_none and n.name in absent]
        return model.clone(**dict.fromkeys(removed)) if removed else model

    def optimizers(self, stage: Stage) -> dict[str, tuple[str, ...]]:
        """Optimizer -> names of the networks that it steps in a stage, in order."""
        groups: dict[str, tuple[str, ...]] = {}
        for network in self.networks:
            if network.stage == stage:
                groups[network.optimizer] = (*groups.get(network.optimizer, ()), network.name)
        return groups

    def trained(self, stage: Stage) -> tuple[str, ...]:
        """Names of the networks that a stage trains."""
        return tuple(network.name for network in self.networks if network.stage == stage)


def without_losses(model: AnimationModel, outputs: Mapping[str, Any]) -> dict[str, Any]:
    """A model's outputs without those, large ones, that only losses need."""
    return {name: x for name, x in outputs.items() if name not in model.outputs_for_losses}


def check_divides(size: tuple[int, ...], step: int) -> None:
    """Checks the sides of pictures, (height, width).

    Raises:
      InputError: one is no positive multiple of `step`, or longer than `LONGEST_SIDE`.
    """
    if max(size) > LONGEST_SIDE:
        raise InputError(f"pictures of {size[0]}x{size[1]}: no side may exceed {LONGEST_SIDE}")
    if any(side < step or side % step for side in size):
        raise InputError(
            f"pictures of {size[0]}x{size[1]} (height x width) do not fit the networks: "
            f"both sides must be multiples of {step}"
        )
