"""Converted checkpoints and those of runs are read again as they were."""

import json
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.helpers.converted_folders import assert_equal, write_older, write_run
from tests.helpers.small import model_params, without
from tpsm_jax.checkpoints.converted import load_checkpoint, save_checkpoint
from tpsm_jax.errors import InputError

pytestmark = pytest.mark.slow  # Orbax


def test_round_trip(tmp_path, variables, config):
    save_checkpoint(tmp_path / "new" / "checkpoint", variables, config)
    loaded = load_checkpoint(tmp_path / "new" / "checkpoint")
    assert_equal(loaded.variables, variables)
    assert loaded.config.to_dict() == {**config.to_dict(), "image_size": [64, 64]}
    assert sorted(os.listdir(tmp_path / "new")) == ["checkpoint"]
    assert sorted(os.listdir(tmp_path / "new" / "checkpoint")) == [
        "config.json",
        "model.safetensors",
    ]
    config_json = json.loads((tmp_path / "new" / "checkpoint" / "config.json").read_text())
    assert config_json["model_params"] == model_params()


@pytest.mark.parametrize(
    ("dtype", "precision"), [("bfloat16", 2**-8), ("float16", 2**-11), ("float32", 0)]
)
def test_stored_in_another_type(tmp_path, saved, variables, config, dtype, precision):
    save_checkpoint(tmp_path / "checkpoint", variables, config, dtype=dtype)
    loaded = load_checkpoint(tmp_path / "checkpoint").variables
    assert {leaf.dtype for leaf in jax.tree.leaves(loaded)} == {np.dtype(np.float32)}
    # float16 has steps of 2**-24 around zero.
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(
            x, y, rtol=precision, atol=2**-25 * (precision > 0)
        ),
        loaded,
        variables,
    )
    sizes = [
        (folder / "model.safetensors").stat().st_size for folder in (tmp_path / "checkpoint", saved)
    ]
    assert sizes[0] == pytest.approx(sizes[1] / (2 if precision else 1), rel=0.1)
    # Stored again, nothing more is rounded.
    save_checkpoint(tmp_path / "again", loaded, config, dtype=dtype)
    assert_equal(load_checkpoint(tmp_path / "again").variables, loaded)


def test_numbers_too_large_for_a_type(tmp_path, variables, config):
    variables = jax.tree.map(np.copy, variables)
    variables["params"]["kp_detector"]["fg_encoder"]["fc"]["bias"][0] = 1e6
    words = "params/kp_detector/fg_encoder/fc/bias holds numbers that are too large for float16"
    with pytest.raises(InputError, match=words):
        save_checkpoint(tmp_path / "checkpoint", variables, config, dtype="float16")
    with pytest.raises(ValueError, match="not in 'int8'"):
        save_checkpoint(tmp_path / "checkpoint", variables, config, dtype="int8")
    assert os.listdir(tmp_path) == []
    save_checkpoint(tmp_path / "checkpoint", variables, config, dtype="bfloat16")
    load_checkpoint(tmp_path / "checkpoint")


def test_one_that_an_older_version_wrote(tmp_path, saved, variables):
    older = write_older(tmp_path / "older", variables, {"model_params": model_params()})
    found, expected = load_checkpoint(older), load_checkpoint(saved)
    assert_equal(found.variables, expected.variables)
    assert found.model == expected.model
    assert found.config.to_dict() == expected.config.to_dict()
    with pytest.raises(InputError, match="no training run"):
        load_checkpoint(older, step=3)


def test_variables_are_on_one_device_and_can_be_moved(saved):
    leaf = load_checkpoint(saved).variables["params"]["kp_detector"]["fg_encoder"]["fc"]["bias"]
    assert isinstance(leaf, jax.Array)
    assert leaf.devices() == {jax.devices()[0]}
    assert not leaf.committed


def test_saved_from_several_devices(tmp_path, variables, config):
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    replicated = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    save_checkpoint(tmp_path / "checkpoint", jax.device_put(variables, replicated), config)
    loaded = load_checkpoint(tmp_path / "checkpoint").variables
    assert_equal(loaded, variables)
    assert jax.tree.leaves(loaded)[0].devices() == {jax.devices()[0]}


def test_the_model_runs(saved):
    config, model, variables = load_checkpoint(saved)
    image = jnp.full((1, 64, 64, 3), 0.5)
    keypoints = jax.jit(lambda v, x: model.bind(v).kp_detector(x))(variables, image)
    assert keypoints.shape == (1, 5 * config.model_params.common_params.num_tps, 2)


def test_computation_dtype(saved):
    loaded = load_checkpoint(saved, dtype=jnp.bfloat16)
    assert loaded.model.kp_detector.dtype == jnp.bfloat16
    assert jax.tree.leaves(loaded.variables)[0].dtype == jnp.float32


def test_networks_may_be_absent(tmp_path, variables, config):
    kept = without(variables, "avd_network")
    save_checkpoint(tmp_path / "checkpoint", kept, config)
    assert_equal(load_checkpoint(tmp_path / "checkpoint").variables, kept)


@pytest.mark.parametrize(
    ("step", "found"),
    [("latest", 6), ("best", 3), (3, 3), ("6", 6)],
)
def test_steps_of_a_run(tmp_path, variables, step, found):
    run = write_run(tmp_path / "run", variables, {3: 0.25, 6: None})
    expected = jax.tree.map(lambda x: x * (found / 3), variables)
    assert_equal(load_checkpoint(run, step=step).variables, expected)


def test_the_best_is_the_one_of_the_least_loss(tmp_path, variables):
    run = write_run(tmp_path / "run", variables, {3: 0.5, 6: 0.25, 9: 1.5})
    expected = jax.tree.map(lambda x: 2 * x, variables)
    assert_equal(load_checkpoint(run, step="best").variables, expected)


@pytest.mark.parametrize("step", ["", "last", "-3", "3.5", -3, 3.5])
def test_no_step(tmp_path, variables, saved, step):
    for folder in (write_run(tmp_path / "run", variables, {3: 1.0}), saved):
        with pytest.raises(InputError, match="is neither a number nor 'latest' nor 'best'"):
            load_checkpoint(folder, step=step)


def test_a_damaged_record_of_a_step(tmp_path, variables):
    run = write_run(tmp_path / "run", variables, {3: 0.5})
    record = run / "checkpoints" / "3" / "metrics" / "metrics"
    for text in ("", "{}", '{"loss": []}', '{"loss": 1' + "0" * 400 + "}", "[" * 100_000):
        record.write_text(text)
        with pytest.raises(InputError, match="metrics is damaged; choose a step by its number"):
            load_checkpoint(run, step="best")


def test_a_run_whose_best_step_is_not_known(tmp_path, variables):
    run = write_run(tmp_path / "run", variables, {3: None})
    with pytest.raises(InputError, match="does not know its best step yet"):
        load_checkpoint(run, step="best")
    (run / "checkpoints" / "3" / "metrics" / "metrics").write_text('{"lo')
    with pytest.raises(InputError, match="metrics is damaged; choose a step by its number"):
        load_checkpoint(run, step="best")
    load_checkpoint(run)


@pytest.mark.parametrize("step", ["best", 3])
def test_what_is_no_run_has_no_steps(saved, step):
    with pytest.raises(InputError, match="no training run"):
        load_checkpoint(saved, step=step)


def test_the_family_may_be_named(folder, saved):
    named = {"family": "tpsm", **model_params(), "kp_detector_params": {"width": 8, "blocks": 0}}
    (folder / "config.json").write_text(json.dumps({"model_params": named}))
    loaded, unnamed = load_checkpoint(folder), load_checkpoint(saved)
    assert loaded.model == unnamed.model
    assert_equal(loaded.variables, unnamed.variables)


def test_a_model_without_weights_for_the_background_runs_without_it(tmp_path, variables, config):
    kept = {
        collection: {name: tree for name, tree in networks.items() if name != "bg_predictor"}
        for collection, networks in variables.items()
    }
    save_checkpoint(tmp_path / "checkpoint", kept, config)
    loaded = load_checkpoint(tmp_path / "checkpoint")
    assert loaded.config.model_params.common_params.bg
    image = jnp.zeros((1, 64, 64, 3))
    outputs = jax.eval_shape(loaded.model.apply, loaded.variables, image, image)
    assert outputs["bg_param"] is None
    assert outputs["prediction"].shape == image.shape
