"""The one check of all settings: it names each that does not do, before anything is loaded."""

import pytest
from ml_collections import ConfigDict

from tests.helpers.paths import ROOT
from tests.helpers.tiny_training import tiny_config
from tpsm_jax.config import read_config, validate
from tpsm_jax.errors import InputError
from tpsm_jax.models.registry import MOST_BLOCKS
from tpsm_jax.training.fields import check_fields


@pytest.mark.parametrize(
    ("field", "value"),
    [("total_steps", -1), ("log_every", 0), ("checkpoint_every", -1), ("keep_checkpoints", 0),
     ("picture_every", -1), ("skip_nonfinite_steps", -1), ("ema_decay", -0.1), ("ema_decay", 1.0),
     ("warmup_steps", -1), ("accumulate_steps", 0), ("eval_every", -1), ("eval_clips", 0),
     ("eval_frames", 0)],
)  # fmt: skip
def test_settings_that_do_not_do(field, value):
    with pytest.raises(InputError, match=f"config.{field} is {value}"):
        validate(tiny_config(**{field: value}), "model", 1)


def test_a_share_of_dropped_splines_needs_an_epoch_to_rise_in():
    config = tiny_config()
    config.train_params.dropout_inc_epoch = 0
    with pytest.raises(InputError, match="config.train_params.dropout_inc_epoch is 0"):
        validate(config, "model", 1)


def test_dropping_everything_cannot_be_made_up_for():
    config = tiny_config(dropout_rescale=True)
    config.train_params.dropout_maxp = 1.0
    with pytest.raises(InputError, match="config.train_params.dropout_maxp is 1.0 and must be"):
        validate(config, "model", 1)


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"perceptual_features": "vgg16"}, "perceptual_features"),
        ({"perceptual_features": "vgg19_random"}, "makes 5"),
        ({"perceptual_features": "vgg19_random", "image_size": (16, 32)}, "pictures of 8 pixels"),
        ({"remat": ("vgg",)}, "remat"),
        ({"remat": ("avd_network",)}, "remat"),
        ({"freeze": ("kp", "nothing")}, "freeze: no parameter begins with 'nothing'"),
        ({"freeze": ("(",)}, "freeze"),
        ({"init_networks": ("kp_detector",)}, "init_from"),
        ({"init_from": "x", "init_networks": ("avd_network",)}, "'avd_network' is none"),
        ({"optimizer": "nothing"}, "optax"),
        ({"optimizer_params": {"b1": 0.5}}, "set optimizer, too"),
        ({"image_size": (32,)}, "image_size"),
        ({"compute_dtype": "float16"}, "compute_dtype"),
        ({"image_size": (36, 32)}, "multiples"),
        ({"accumulate_steps": 3}, "accumulated"),
        ({"state_sharding": "zero"}, "state_sharding"),
    ],
)
def test_what_cannot_be_trained_is_named(fields, match):
    config = tiny_config(**fields)
    with pytest.raises(InputError, match=match):
        validate(config, "model", 1)


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [("flip_param", "horizontal_flip", True), ("crop_param", "size", (32, 32))],
)
@pytest.mark.parametrize("weight", ["keypoints", "bg_points"])
def test_what_would_make_landmarks_wrong(section, field, value, weight):
    config = tiny_config()
    config.train_params.loss_weights[weight] = 1
    params = config.dataset_params.augmentation_params
    params.flip_param.horizontal_flip = False
    validate(config, "model", 1)
    with config.unlocked():
        params[section][field] = value
    with pytest.raises(InputError, match=f"{section}.{field} is .* with .*loss_weights.{weight}"):
        validate(config, "model", 1)


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [
        ("train_params", "scales", ()),
        ("train_params", "scales", (2.0,)),
        ("train_params", "dropout_maxp", 1.5),
        ("train_params", "dropout_startp", -1.0),
        ("train_params", "num_epochs", 0),
        ("model_params.dense_motion_params", "scale_factor", 0.0),
        ("model_params.generator_params", "num_down_blocks", -1),
        ("model_params.common_params", "num_tps", 0),
    ],
)
def test_values_that_make_no_sense_are_one_line(section, field, value):
    config = tiny_config()
    place = config
    for name in section.split("."):
        place = place[name]
    place[field] = value
    with pytest.raises(InputError) as error:
        validate(config, "model", 1)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("section", ["kp_detector_params", "bg_predictor_params"])
def test_a_resnets_blocks_have_the_registrys_bound(section):
    config = tiny_config()
    config.model_params[section].blocks = MOST_BLOCKS
    check_fields(config)
    config.model_params[section].blocks += 1
    with pytest.raises(InputError, match=f"at least 0 and at most {MOST_BLOCKS}"):
        check_fields(config)


def test_a_stretch_of_avd_beyond_all_is_refused():
    config = tiny_config()
    config.train_avd_params.random_scale = 2.0
    with pytest.raises(InputError, match="random_scale"):
        validate(config, "avd", 1)


def test_an_unknown_augmentation_is_named():
    config = tiny_config()
    config.dataset_params.augmentation_params = ConfigDict({"blur": 1})
    with pytest.raises(InputError, match="no section 'blur'"):
        validate(config, "model", 1)


def test_an_unknown_family_is_named():
    config = tiny_config()
    config.model_params.family = "fom"
    with pytest.raises(InputError, match="model_params.family is tpsm, not 'fom'"):
        validate(config, "model", 1)


@pytest.mark.parametrize("stage", ["model", "avd"])
@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*[0-9].py")), ids=lambda p: p.stem)
def test_every_config_is_accepted(path, stage):
    config = read_config(path)
    config.eval_every = 0
    validate(config, stage, 1)


# The stage avd.


def test_a_batch_that_does_not_divide_is_refused():
    config = tiny_config()
    config.train_avd_params.batch_size = 6
    with pytest.raises(InputError, match=r"divide .*\(--config\.train_avd_params\.batch_size\)"):
        validate(config, "avd", 4)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("optimizer", "adamw"),
        ("optimizer_params", {"b1": 0.8}),
        ("warmup_steps", 10),
        ("accumulate_steps", 2),
        ("remat", ("kp_detector",)),
        ("freeze", ("kp_detector",)),
        ("init_from", "runs/vox"),
        ("init_networks", ["kp_detector"]),
        ("eval_every", 5),
    ],
)
def test_fields_of_the_other_stage_are_refused(field, value):
    config = tiny_config()
    config[field] = value
    with pytest.raises(InputError, match=f"^{field} is not for --stage avd$"):
        validate(config, "avd", 8)


def test_a_size_that_the_model_cannot_take_is_refused():
    config = tiny_config(image_size=(36, 32))
    with pytest.raises(InputError, match="multiples"):
        validate(config, "avd", 8)
