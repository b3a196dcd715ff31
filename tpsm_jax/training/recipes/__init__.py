"""What each stage and family trains, as `Recipe`s for `train_step`."""

from collections.abc import Callable

from tpsm_jax.errors import InputError
from tpsm_jax.models.tpsm import TPSM
from tpsm_jax.training.recipes import tpsm
from tpsm_jax.training.step import Recipe

# Family -> what makes the recipe of its stage "model". The stage "avd" is the same for all.
MODEL_RECIPES: dict[str, Callable[..., Recipe]] = {TPSM.name: tpsm.make_recipe}


def model_recipe(family: str) -> Callable[..., Recipe]:
    """Finds what makes the recipe of a family's stage "model", as `recipes.tpsm.make_recipe` does.

    Raises:
      InputError: the family has none.
    """
    if family not in MODEL_RECIPES:
        raise InputError(
            f"models of family {family!r} have no recipe to be trained by, only those of "
            + ", ".join(MODEL_RECIPES)
        )
    return MODEL_RECIPES[family]
