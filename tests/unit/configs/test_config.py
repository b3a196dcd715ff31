import pytest

from configs.base import get_base_config
from tpsm_jax.config import apply_overrides, read_config
from tpsm_jax.errors import InputError


def test_overrides_change_fields_at_any_depth():
    config = get_base_config()
    arguments = [
        "--config.total_steps=7",
        "--config.train_params.lr_generator", "1e-3",
        "--config.image_size=(64,96)",
        "--config.freeze=('kp_detector',)",
        "--config.optimizer_params={'b1': 0.8}",
        "--config.dataset_params.frame_shape=(64,96,3)",
        "--config.tensorboard",
    ]  # fmt: skip
    apply_overrides(config, arguments)
    assert config.total_steps == 7
    assert config.train_params.lr_generator == 1e-3
    assert tuple(config.image_size) == (64, 96)
    assert tuple(config.freeze) == ("kp_detector",)
    assert config.optimizer_params.b1 == 0.8
    assert tuple(config.dataset_params.frame_shape) == (64, 96, 3)
    assert config.tensorboard is True


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["--config.totl_steps=7"], "totl_steps"),
        (["--config.train_params.nope=7"], "nope"),
        (["--config.total_steps=many"], "many"),
        (["--config.train_params=3"], "train_params"),
        (["--workdr=x"], "workdr"),
        (["total_steps=7"], "total_steps=7"),
    ],
)
def test_what_is_no_override_is_one_line(arguments, match):
    with pytest.raises(InputError, match=match) as error:
        apply_overrides(get_base_config(), arguments)
    assert "\n" not in str(error.value)


def test_a_config_is_read_from_its_file():
    assert read_config("configs/vox256.py").train_params.bg_start == 10


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (None, "there is no config"),
        ("x = 1", "get_config"),
        ("def get_config(): return {}", "model_params"),
        ("import nothing_like_it", "nothing_like_it"),
        ("def (", "SyntaxError"),
    ],
)
def test_a_file_that_gives_no_config_is_reported(tmp_path, text, match):
    path = tmp_path / "mine.py"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=match):
        read_config(path)
