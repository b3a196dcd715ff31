"""torchvision's weights of VGG-19 to Flax variables."""

import re
from typing import Any

from flax.traverse_util import unflatten_dict

from tpsm_jax.checkpoints.torch.comparison import Differences, compare, float32
from tpsm_jax.checkpoints.torch.keys import vgg19_leaves
from tpsm_jax.checkpoints.torch.states import (
    Located,
    beside,
    entries_of,
    listed,
    locate,
    plain_key,
    plain_keys,
)
from tpsm_jax.errors import InputError, shown
from tpsm_jax.models.interface import Variables

_FIRST = "features.0.weight"
_LAYERS = ("features.", "classifier.")


def vgg19_from_torch(checkpoint: Any) -> Variables:
    """Converts torchvision's `vgg19-dcbb9e9d.pth` to variables of `VGG19`.

    Args:
      checkpoint: what `read_torch_file` returned. Layers after relu5_1 are left out.

    Returns:
      {"params": ...}, float32.

    Raises:
      InputError: if a tensor is missing, unexpected or of another shape.
    """
    located = _locate_vgg19(checkpoint)
    if located is None:
        raise InputError(
            "these are not torchvision's VGG-19 weights (vgg19-dcbb9e9d.pth): "
            f"there is no {_FIRST}{entries_of(checkpoint)}"
        )
    leaves = vgg19_leaves()
    expected = {leaf.key: leaf.shape for leaf in leaves}
    last = max(int(key.split(".")[1]) for key in expected)
    state = plain_keys(located.entries, "the file")
    used = {key: value for key, value in state.items() if _feature_index(key) <= last}
    differences = Differences([], [], [])
    compare("vgg19", used, expected, (), differences)
    if str(differences):
        raise InputError(f"these are not torchvision's VGG-19 weights: {differences}")
    return unflatten_dict(
        {(leaf.collection, *leaf.path): float32(used[leaf.key]) for leaf in leaves}
    )


def ignored_beside_vgg19(checkpoint: Any) -> tuple[str, ...]:
    """Lists the entries of a file from which `vgg19_from_torch` takes nothing."""
    located = _locate_vgg19(checkpoint)
    assert located is not None
    others = beside(checkpoint, located.place)
    for key, value in located.entries.items():
        if not plain_key(key).startswith(_LAYERS):
            others[shown(str(key))] = value
    return listed(others)


def _locate_vgg19(checkpoint: Any) -> Located | None:
    def holds(entries: dict[Any, Any]) -> bool:
        return any(plain_key(key) == _FIRST for key in entries)

    return locate(checkpoint, holds, "there are weights of VGG-19")


def _feature_index(key: object) -> float:
    found = re.match(r"features\.(\d{1,9})\.", str(key))
    return int(found[1]) if found else float("inf")
