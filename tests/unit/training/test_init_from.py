"""Fine-tuning: which given weights a training starts from, and what stays as it was."""

import functools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.helpers.converted_folders import assert_equal, write_older
from tests.helpers.tiny_training import tiny_config
from tpsm_jax.checkpoints.converted import save_checkpoint
from tpsm_jax.errors import InputError
from tpsm_jax.models.registry import variable_shapes
from tpsm_jax.parallel.sharding import make_mesh
from tpsm_jax.training import weights
from tpsm_jax.training.optimizer import update_average
from tpsm_jax.training.setup import make_model_trainer
from tpsm_jax.training.weights import (
    check_weights,
    initial_networks,
    initial_note,
    load_initial_networks,
    load_perceptual_weights,
)


def config_without_background(**fields):
    config = tiny_config(**fields)
    config.model_params.common_params.bg = False
    return config


def checkpoint_variables():
    """Of all networks of the tiny model, with background and AVD."""
    shapes = variable_shapes(tiny_config().model_params)
    return jax.tree.map(lambda leaf: np.full(leaf.shape, 0.5, leaf.dtype), shapes)


def make_trainer(config, given):
    return make_model_trainer(config, make_mesh(), steps_per_epoch=1, initial_variables=given)


def test_chosen_networks_are_numpy_arrays():
    given = jax.tree.map(jnp.asarray, checkpoint_variables())
    chosen = initial_networks(given, ("kp_detector",))
    assert {collection: set(networks) for collection, networks in chosen.items()} == {
        "params": {"kp_detector"},
        "batch_stats": {"kp_detector"},
    }
    assert {type(leaf) for leaf in jax.tree.leaves(chosen)} == {np.ndarray}


@pytest.mark.slow
@pytest.mark.parametrize("collection", ["params", "batch_stats"])
@pytest.mark.parametrize("change", ["a shape", "a missing array"])
def test_another_architecture_is_refused_in_one_line(collection, change):
    given = checkpoint_variables()
    layer = given[collection]["kp_detector"]["fg_encoder"]["bn1"]
    name, array = next(iter(layer.items()))
    if change == "a shape":
        layer[name] = array[1:]
    else:
        del layer[name]
    assert_refused(given)


def test_a_network_without_its_statistics_is_refused():
    given = checkpoint_variables()
    del given["batch_stats"]["kp_detector"]
    assert_refused(given)


def assert_refused(given):
    with pytest.raises(InputError) as error:
        make_trainer(config_without_background(), given)
    assert str(error.value) == (
        "init_from: kp_detector has other shapes than model_params describe"
    )


@pytest.mark.parametrize("name", ["avd_network", "bg_predictor"])
def test_a_network_that_the_stage_does_not_have_is_refused_by_name(name):
    config = config_without_background(init_networks=("kp_detector", name))
    given = initial_networks(checkpoint_variables(), config.init_networks)
    with pytest.raises(InputError, match=f"init_networks: '{name}' .* kp_detector"):
        make_trainer(config, given)


def test_networks_that_one_of_both_lacks_are_named():
    everything = set(checkpoint_variables()["params"])
    config = tiny_config(init_from="runs/a")
    assert initial_note(config, everything - {"avd_network"}) == ""
    assert initial_note(config, everything - {"avd_network", "bg_predictor"}) == (
        "init_from: runs/a has no bg_predictor: drawn at random"
    )
    without = config_without_background(init_from="runs/a")
    assert initial_note(without, everything) == (
        "init_from: runs/a has avd_network, bg_predictor: left out, as this run does not train it"
    )
    config.init_networks = ("kp_detector",)
    assert initial_note(config, ["kp_detector"]) == ""


def test_the_note_is_on_stderr(monkeypatch, tmp_path, capsys):
    variables = checkpoint_variables()
    for networks in variables.values():
        networks.pop("bg_predictor", None)
        networks.pop("avd_network", None)
    checkpoint = SimpleNamespace(variables=variables)
    monkeypatch.setattr(weights, "load_checkpoint", lambda _: checkpoint)
    config = tiny_config(init_from="runs/a")
    load_initial_networks(config, tmp_path)
    note = "init_from: runs/a has no bg_predictor: drawn at random\n"
    assert capsys.readouterr() == ("", note)
    config.init_networks = ("kp_detector", "bg_predictor")
    with pytest.raises(InputError, match="init_networks: the checkpoint has no 'bg_predictor'"):
        load_initial_networks(config, tmp_path)


@pytest.mark.slow
def test_it_may_be_a_checkpoint_folder_in_either_form(tmp_path):
    variables = checkpoint_variables()
    save_checkpoint(tmp_path / "new", variables, tiny_config(), vgg19=variables)
    older = {"image_size": [32, 32], "model_params": tiny_config().model_params.to_dict()}
    write_older(tmp_path / "older", variables, older, variables)
    for name in ("new", "older"):
        config = tiny_config(init_from=str(tmp_path / name), init_networks=("kp_detector",))
        given = load_initial_networks(config, tmp_path / "workdir")
        assert_equal(given, initial_networks(variables, ("kp_detector",)))
        config = tiny_config(vgg19_dir=str(tmp_path / name), perceptual_features="vgg19")
        check_weights(config, "model")
        assert_equal(load_perceptual_weights(config), variables)


@pytest.mark.slow
def test_given_networks_are_put_where_the_state_lies(monkeypatch):
    monkeypatch.setattr("tpsm_jax.parallel.sharding._SMALLEST_SHARDED", 64)
    given = checkpoint_variables()
    del given["params"]["inpainting_network"]
    config = config_without_background(ema_decay=0.5, state_sharding="fsdp")
    trainer = make_trainer(config, given)
    # Where other processes have a part of the state, no process can fetch it.
    with monkeypatch.context() as patch:
        patch.delattr(jax, "device_get")
        state = trainer.create_state()
    assert jax.tree.map(lambda leaf: leaf.sharding, state) == trainer.shardings
    assert not all(leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(state.params))
    for tree, source in (
        (state.params, given["params"]),
        (state.ema_params, given["params"]),
        (state.batch_stats, given["batch_stats"]),
    ):
        assert not {"avd_network", "bg_predictor"} & set(tree)
        for name in tree.keys() - {"inpainting_network"}:
            jax.tree.map(np.testing.assert_array_equal, tree[name], source[name])
    fresh = jax.tree.leaves(state.params["inpainting_network"])
    assert not any(np.all(np.asarray(leaf) == 0.5) for leaf in fresh)
    assert trainer._given is None
    # The step donates the state, and an array can be donated only once.
    assert len({id(leaf) for leaf in jax.tree.leaves(state)}) == len(jax.tree.leaves(state))


def test_the_average_of_what_never_changes_stays_and_the_other_follows():
    rng = np.random.default_rng(0)
    params = {
        name: jnp.asarray(rng.standard_normal(1000), jnp.float32) for name in ("frozen", "trained")
    }
    average = dict(params, trained=jnp.zeros(1000))
    update = jax.jit(functools.partial(update_average, decay=0.999))
    for _ in range(300):
        average = update(average, params)
    np.testing.assert_array_equal(average["frozen"], params["frozen"])
    expected = (1 - 0.999**300) * params["trained"]
    np.testing.assert_allclose(average["trained"], expected, rtol=1e-5)
