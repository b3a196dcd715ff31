"""A source picture moved by driving frames: programs, `Animator`, keypoints, export."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tpsm_jax.animation.animator import Animator

__all__ = ["Animator"]


def __getattr__(name: str) -> Any:
    # Not imported with the folder, which the animator itself lies in.
    if name != "Animator":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tpsm_jax.animation.animator import Animator

    return Animator
