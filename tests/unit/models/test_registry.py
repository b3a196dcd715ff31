"""The table of families: what a config chooses, and what each family says of its networks."""

import dataclasses

import jax
import pytest
from flax import linen as nn

from configs.base import get_base_config
from tests.helpers.small import model_params
from tpsm_jax.checkpoints.torch import torch_shapes
from tpsm_jax.checkpoints.torch.layouts import LAYOUTS, layout_of
from tpsm_jax.config import read_config, validate
from tpsm_jax.errors import InputError
from tpsm_jax.models.registry import (
    FAMILIES,
    build_model,
    check_image_size,
    family_of,
    init_variables,
    picture_size,
    variable_shapes,
)
from tpsm_jax.models.tpsm import TPSM
from tpsm_jax.training.recipes import MODEL_RECIPES


@pytest.mark.parametrize("fields", [{}, {"family": "tpsm"}])
def test_the_family_is_tpsm_unless_named(fields):
    params = {**model_params(), **fields}
    assert family_of(params) is TPSM
    assert build_model(params) == build_model(model_params())


def test_the_size_of_pictures():
    assert picture_size({"image_size": [256, 384]}) == (256, 384)
    assert picture_size(get_base_config()) == (256, 256)


@pytest.mark.parametrize(
    "size", [None, 256, "25", [256], [256, "256"], [256, 0.5], [0, 8], [8] * 3]
)
def test_a_config_without_a_size_of_pictures(size):
    with pytest.raises(InputError, match="has no image_size"):
        picture_size({"image_size": size})


@pytest.mark.parametrize("size", [(32, 2**14 + 32), (2**16, 64)])
def test_pictures_with_a_side_beyond_all_bounds(size):
    check_image_size(model_params(), 32, 2**14)
    with pytest.raises(InputError, match="no side may exceed 16384"):
        check_image_size(model_params(), *size)


@pytest.mark.parametrize("look_up", [family_of, build_model, variable_shapes, layout_of])
def test_a_family_that_does_not_exist(look_up):
    with pytest.raises(InputError, match="model_params.family is tpsm, not 'monkeynet'"):
        look_up({**model_params(), "family": "monkeynet"})


def write_config(path, params):
    path.write_text(
        "from ml_collections import ConfigDict\n"
        f"def get_config(): return ConfigDict({{'model_params': {params}}})\n"
    )
    return path


def test_a_config_file_names_its_family(tmp_path):
    read_config(write_config(tmp_path / "config.py", {**model_params(), "family": "tpsm"}))
    path = write_config(tmp_path / "other.py", {**model_params(), "family": "monkeynet"})
    with pytest.raises(InputError) as error:
        read_config(path)
    assert str(error.value) == f"{path}: model_params.family is tpsm, not 'monkeynet'"


@pytest.mark.parametrize("section", TPSM.sections)
def test_a_config_file_has_the_sections_of_its_family(tmp_path, section):
    params = {name: fields for name, fields in model_params().items() if name != section}
    with pytest.raises(InputError, match=f"gives no config by get_config.*{section}"):
        read_config(write_config(tmp_path / "config.py", params))


@pytest.mark.slow
def test_every_network_is_a_field_of_the_model():
    model = build_model(model_params())
    assert {network.name for network in TPSM.networks} == set(
        variable_shapes(model_params())["params"]
    )
    assert all(hasattr(model, network.name) for network in TPSM.networks)
    assert TPSM.required == ("dense_motion_network", "inpainting_network", "kp_detector")
    assert list(TPSM.lost_without) == ["bg_predictor", "avd_network"]


def test_networks_that_a_model_works_without_are_removed():
    model = build_model(model_params())
    assert TPSM.without(model, {"bg_predictor", "avd_network"}) == model.clone(bg_predictor=None)
    assert TPSM.without(model, {"avd_network"}) is model


def test_layouts_and_recipes_are_of_families():
    assert LAYOUTS.keys() <= FAMILIES.keys()
    assert MODEL_RECIPES.keys() <= FAMILIES.keys()


@pytest.fixture
def plain_family(monkeypatch):
    """The config of a family that has nothing but its line in the registry."""
    monkeypatch.setitem(FAMILIES, "plain", dataclasses.replace(TPSM, name="plain"))
    config = get_base_config()
    config.model_params.update({**model_params(), "family": "plain"})
    return config


def test_a_family_without_a_layout_has_its_networks_tensors_alone(plain_family):
    ours = torch_shapes(plain_family.model_params)
    official = torch_shapes(model_params())
    assert official["dense_motion_network"].pop("down.weight") == (3, 1, 13, 13)
    assert ours == official


def test_a_family_without_a_recipe_is_not_trained(plain_family):
    with pytest.raises(InputError, match="'plain' have no recipe to be trained by, only .* tpsm$"):
        validate(plain_family, "model", 1)


class WithoutBatchNorm(nn.Module):
    """A model whose one network keeps no statistics."""

    modes = ("standard",)

    @nn.compact
    def __call__(self, source, driving):
        return nn.Dense(1, name="network")(source)


def test_variables_have_batch_stats_where_no_network_has():
    variables = init_variables(WithoutBatchNorm(), jax.random.key(0), 2, 2, networks=["network"])
    assert variables["params"].keys() == {"network"}
    assert variables["batch_stats"] == {}
