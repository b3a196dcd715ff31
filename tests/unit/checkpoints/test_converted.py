import json
import os
import shutil
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from tests.helpers.small import model_params, small_model
from tpsm_jax.checkpoints import converted as checkpoints
from tpsm_jax.checkpoints.converted import load_checkpoint, save_checkpoint
from tpsm_jax.checkpoints.orbax_io import save_tree
from tpsm_jax.checkpoints.vgg19 import load_vgg19, save_vgg19
from tpsm_jax.errors import InputError

pytestmark = pytest.mark.slow  # Orbax

VGG19 = {"params": {"features_0": {"bias": np.arange(4, dtype=np.float32)}}}


@pytest.fixture(scope="module")
def variables():
    return small_model()[1]


@pytest.fixture
def config():
    return ConfigDict({"image_size": (128, 128), "model_params": model_params(), "lr": 2e-4})


@pytest.fixture(scope="module")
def saved(tmp_path_factory, variables):
    folder = tmp_path_factory.mktemp("saved") / "checkpoint"
    save_checkpoint(folder, variables, {"model_params": model_params()})
    return folder


@pytest.fixture
def folder(tmp_path, saved):
    """A copy that may be harmed."""
    return shutil.copytree(saved, tmp_path / "checkpoint")


def write_run(folder, variables, losses):
    """What training leaves: step -> its mean loss, and so many thirds of `variables`."""
    folder.mkdir()
    (folder / "config.json").write_text(
        json.dumps({"image_size": [128, 128], "model_params": model_params()})
    )
    for step, loss in losses.items():
        place = folder / "checkpoints" / str(step)
        (place / "metrics").mkdir(parents=True)
        save_tree(place / "variables", jax.tree.map(lambda x: x * (step / 3), variables))  # noqa: B023
        if loss is not None:
            (place / "metrics" / "metrics").write_text(json.dumps({"loss": loss}))
    return folder


def contents(folder):
    """Everything in a folder, with its bytes."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def assert_equal(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_round_trip(tmp_path, variables, config):
    save_checkpoint(tmp_path / "new" / "checkpoint", variables, config)
    loaded = load_checkpoint(tmp_path / "new" / "checkpoint")
    assert_equal(loaded.variables, variables)
    assert loaded.config.to_dict() == {**config.to_dict(), "image_size": [128, 128]}
    assert sorted(os.listdir(tmp_path / "new")) == ["checkpoint"]
    config_json = json.loads((tmp_path / "new" / "checkpoint" / "config.json").read_text())
    assert config_json["model_params"] == model_params()


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
    image = jnp.full((1, 128, 128, 3), 0.5)
    keypoints = jax.jit(lambda v, x: model.bind(v).kp_detector(x))(variables, image)
    assert keypoints.shape == (1, 5 * config.model_params.common_params.num_tps, 2)


def test_computation_dtype(saved):
    loaded = load_checkpoint(saved, dtype=jnp.bfloat16)
    assert loaded.model.kp_detector.dtype == jnp.bfloat16
    assert jax.tree.leaves(loaded.variables)[0].dtype == jnp.float32


def test_networks_may_be_absent(tmp_path, variables, config):
    kept = {
        collection: {name: tree for name, tree in trees.items() if name != "avd_network"}
        for collection, trees in variables.items()
    }
    save_checkpoint(tmp_path / "checkpoint", kept, config)
    assert_equal(load_checkpoint(tmp_path / "checkpoint").variables, kept)


# Those of a training run.


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


# Writing where something is.


def test_replaces_a_checkpoint(folder, variables, config):
    doubled = jax.tree.map(lambda x: 2 * x, variables)
    save_checkpoint(folder, doubled, config)
    assert_equal(load_checkpoint(folder).variables, doubled)
    assert os.listdir(folder.parent) == [folder.name]


def test_takes_an_empty_folder(tmp_path, variables, config):
    save_checkpoint(tmp_path, variables, config)
    assert_equal(load_checkpoint(tmp_path).variables, variables)


@pytest.mark.parametrize("save", [save_checkpoint, save_vgg19])
def test_leaves_other_folders_alone(tmp_path, variables, config, save):
    (tmp_path / "thesis.tex").write_text("years of work")
    (tmp_path / "config.json").write_text("{}")
    before = contents(tmp_path)
    with pytest.raises(InputError, match="other things"):
        save(tmp_path, *((variables, config) if save is save_checkpoint else (VGG19,)))
    assert contents(tmp_path) == before


def test_a_file_is_no_folder(tmp_path, variables, config):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "checkpoint"):
        with pytest.raises(InputError, match="file"):
            save_checkpoint(path, variables, config)


def test_failing_while_writing_keeps_the_old_one(folder, variables, config, monkeypatch):
    def fail(path, tree):
        path.mkdir(exist_ok=True)
        (path / "half").write_text("written")
        raise OSError(28, "No space left on device")

    before = contents(folder)
    monkeypatch.setattr(checkpoints, "save_tree", fail)
    with pytest.raises(InputError, match="No space left"):
        save_checkpoint(folder, variables, config)
    assert contents(folder) == before
    assert os.listdir(folder.parent) == [folder.name]


def test_failing_in_the_exchange_keeps_the_old_one(folder, variables, config, monkeypatch):
    before = contents(folder)
    rename = os.rename

    def fail_to_move_in(source, target):
        if target == folder and ".partial-" in str(source):
            raise OSError(5, "Input/output error")
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail_to_move_in)
    with pytest.raises(InputError, match="Input/output error"):
        save_checkpoint(folder, variables, config)
    monkeypatch.undo()
    assert contents(folder) == before
    assert os.listdir(folder.parent) == [folder.name]


@pytest.mark.parametrize("moved", [False, True])
@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_interrupted_exchange(folder, variables, config, monkeypatch, interruption, moved):
    before = contents(folder)
    rename = os.rename

    def interrupt(source, target):
        if target == folder and ".partial-" in str(source):
            if moved:
                rename(source, target)
            monkeypatch.undo()
            raise interruption
        rename(source, target)

    monkeypatch.setattr(os, "rename", interrupt)
    with pytest.raises(interruption):
        save_checkpoint(folder, jax.tree.map(lambda x: 2 * x, variables), config)
    assert (contents(folder) == before) is not moved
    load_checkpoint(folder)
    assert os.listdir(folder.parent) == [folder.name]


@pytest.mark.parametrize("save", [save_checkpoint, save_vgg19])
def test_a_link_to_a_checkpoint_stays_one(tmp_path, folder, variables, config, save):
    link = tmp_path / "links" / "best"
    link.parent.mkdir()
    link.symlink_to(folder)
    save(link, *((variables, config) if save is save_checkpoint else (VGG19,)))
    assert link.is_symlink()
    assert os.listdir(link.parent) == ["best"]
    assert_equal(load_checkpoint(folder).variables, variables)


def test_interrupted_exchange_is_reported(folder):
    old = folder.with_name(f".{folder.name}.old-0123")
    folder.rename(old)
    with pytest.raises(InputError, match=str(old)):
        load_checkpoint(folder)


# VGG-19.


def test_vgg19_with_a_checkpoint(tmp_path, variables, config):
    save_checkpoint(tmp_path / "checkpoint", variables, config, vgg19=VGG19)
    assert_equal(load_vgg19(tmp_path / "checkpoint"), VGG19)
    # Saving without it again keeps it.
    save_checkpoint(tmp_path / "checkpoint", variables, config)
    assert_equal(load_vgg19(tmp_path / "checkpoint"), VGG19)


def test_vgg19_added_to_a_checkpoint(folder, variables):
    before = contents(folder)
    save_vgg19(folder, VGG19)
    save_vgg19(folder, jax.tree.map(lambda x: x + 1, VGG19))
    assert_equal(load_vgg19(folder), jax.tree.map(lambda x: x + 1, VGG19))
    after = contents(folder)
    assert {name: after[name] for name in before} == before
    assert sorted(os.listdir(folder)) == ["config.json", "variables", "vgg19"]


def test_vgg19_alone(tmp_path):
    save_vgg19(tmp_path / "vgg", VGG19)
    assert_equal(load_vgg19(tmp_path / "vgg"), VGG19)


def test_no_vgg19(saved):
    with pytest.raises(InputError, match="--vgg19"):
        load_vgg19(saved)


# Reading what is missing or damaged.


def assert_error(folder, words):
    with pytest.raises(InputError) as error:
        load_checkpoint(folder)
    assert words in str(error.value)
    assert str(folder) in str(error.value)


def test_missing_folder(tmp_path):
    assert_error(tmp_path / "nothing", "there is no checkpoint")


def test_a_folder_of_something_else(tmp_path):
    assert_error(tmp_path, "not a checkpoint")


def test_official_file_instead_of_a_folder(tmp_path):
    (tmp_path / "vox.pth.tar").write_bytes(b"PK\x03\x04")
    assert_error(tmp_path / "vox.pth.tar", "convert_torch_weights.py")


@pytest.mark.parametrize("part", ["config.json", "variables"])
def test_missing_part(folder, part):
    path = folder / part
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert_error(folder, "not a checkpoint")


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "{}", "\0", '{"model_params": '])
def test_damaged_config(folder, text):
    (folder / "config.json").write_text(text)
    assert_error(folder, "damaged")


@pytest.mark.parametrize(
    "model_params",
    [{}, 3, None, {**model_params(), "common_params": {}}, {**model_params(bad_field=1)},
     {**model_params(num_tps="ten")}],
)  # fmt: skip
def test_config_that_describes_no_model(folder, model_params):
    (folder / "config.json").write_text(json.dumps({"model_params": model_params}))
    assert_error(folder, "describes no model")


def test_networks_that_were_found_right_are_not_described_again(folder, kept_folder, variables):
    load_checkpoint(folder)
    with mock.patch.object(checkpoints, "variable_shapes", side_effect=AssertionError):
        jax.tree.map(np.testing.assert_array_equal, load_checkpoint(folder)[2], variables)
    for _ in range(2):
        test_config_of_another_model(folder)
    assert len(os.listdir(kept_folder)) == 1


def test_the_family_may_be_named(folder, saved):
    named = {"family": "tpsm", **model_params(), "kp_detector_params": {"width": 8, "blocks": 1}}
    (folder / "config.json").write_text(json.dumps({"model_params": named}))
    loaded, unnamed = load_checkpoint(folder), load_checkpoint(saved)
    assert loaded.model == unnamed.model
    assert_equal(loaded.variables, unnamed.variables)


def test_a_family_that_does_not_exist(folder):
    (folder / "config.json").write_text(
        json.dumps({"model_params": {**model_params(), "family": "monkeynet"}})
    )
    assert_error(folder, "config.json: model_params.family is tpsm, not 'monkeynet'")


def test_config_of_another_model(folder):
    (folder / "config.json").write_text(json.dumps({"model_params": model_params(num_tps=3)}))
    assert_error(folder, "is not the one that config.json describes")


def without(variables, collection, network):
    return {
        name: {key: tree for key, tree in trees.items() if (name, key) != (collection, network)}
        for name, trees in variables.items()
    }


@pytest.mark.parametrize("network", ["kp_detector", "dense_motion_network", "inpainting_network"])
def test_a_required_network_is_absent(tmp_path, variables, config, network):
    for collection in ("params", "batch_stats"):
        variables = without(variables, collection, network)
    save_checkpoint(tmp_path / "checkpoint", variables, config)
    assert_error(tmp_path / "checkpoint", f"has no {network}")


@pytest.mark.parametrize("collection", ["params", "batch_stats"])
@pytest.mark.parametrize("network", ["kp_detector", "bg_predictor"])
def test_a_network_is_not_whole(tmp_path, variables, config, collection, network):
    save_checkpoint(tmp_path / "checkpoint", without(variables, collection, network), config)
    assert_error(tmp_path / "checkpoint", f"{network} in variables/ is not the one")


@pytest.mark.parametrize(
    ("collection", "words"),
    [
        ("params", "has no dense_motion_network"),
        ("batch_stats", "avd_network in variables/ is not"),
    ],
)
def test_a_whole_collection_is_absent(tmp_path, variables, config, collection, words):
    kept = {name: trees for name, trees in variables.items() if name != collection}
    save_checkpoint(tmp_path / "checkpoint", kept, config)
    assert_error(tmp_path / "checkpoint", words)


@pytest.mark.parametrize("tree", [[np.ones(2)], {"params": [np.ones(2)]}, {"params": np.ones(2)}])
def test_variables_of_something_else(tmp_path, config, tree):
    save_checkpoint(tmp_path / "checkpoint", tree, config)
    assert_error(tmp_path / "checkpoint", "holds no networks")


@pytest.mark.parametrize("pattern", ["_METADATA", "manifest.ocdbt", "d/*"])
@pytest.mark.parametrize("harm", ["cut", "lost", "flipped"])
def test_damaged_variables(folder, pattern, harm):
    for path in list((folder / "variables").glob(pattern)):
        content = bytearray(path.read_bytes())
        if harm == "lost":
            path.unlink()
        elif harm == "cut":
            path.write_bytes(content[: len(content) // 2])
        else:
            content[len(content) // 2] ^= 0x80  # no text any more, though names stand there twice
            path.write_bytes(content)
    assert_error(folder, "damaged")


def test_a_model_without_weights_for_the_background_runs_without_it(tmp_path, variables, config):
    kept = {
        collection: {name: tree for name, tree in networks.items() if name != "bg_predictor"}
        for collection, networks in variables.items()
    }
    save_checkpoint(tmp_path / "checkpoint", kept, config)
    loaded = load_checkpoint(tmp_path / "checkpoint")
    assert loaded.config.model_params.common_params.bg
    image = jnp.zeros((1, 128, 128, 3))
    outputs = jax.eval_shape(loaded.model.apply, loaded.variables, image, image)
    assert outputs["bg_param"] is None
    assert outputs["prediction"].shape == image.shape


def test_a_full_disk_is_reported_before_anything_is_written(tmp_path, monkeypatch, variables):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=2**20))
    with pytest.raises(InputError, match=r"\d+ MiB are needed and 1 MiB are free"):
        save_checkpoint(tmp_path / "checkpoint", variables, {"model_params": model_params()})
    assert os.listdir(tmp_path) == []
