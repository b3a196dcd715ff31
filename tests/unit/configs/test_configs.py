"""Every field of every configuration equals the official YAML file's, and there are no others."""

import importlib
import importlib.util
from typing import Any

import pytest
from ml_collections import ConfigDict

from configs.base import get_base_config
from data.resize_crop import ResizeCrop
from tests.helpers.paths import ROOT
from tpsm_jax.config import apply_overrides, validate

NAMES = ("vox256", "taichi256", "ted384", "mgif256")
CONFIGS = ROOT / "configs"
OURS = sorted({path.stem for path in CONFIGS.glob("*.py")} - {*NAMES, "base", "__init__"})
ABSENT = object()


def SAME(value: Any) -> tuple:  # noqa: N802 - reads as a mark in the table below
    return (value,) * len(NAMES)


# The official files as facts: field -> its value in vox, taichi, ted and mgif. The first is theirs
# under another name, dataset_params.root_dir. Those marked as ours, they do not have; None stands
# for a section that a file lacks.
FACTS: dict[str, tuple] = {
    "dataset.path": ("../vox", "../taichi", "../TED384-v2", "../moving-gif"),
    "dataset.mix_paths": SAME([]),  # ours
    "dataset.mix_weights": SAME([]),  # ours
    "dataset_params.frame_shape": SAME(None),
    "dataset_params.id_sampling": (True, True, True, False),
    "dataset_params.augmentation_params.flip_param.horizontal_flip": SAME(True),
    "dataset_params.augmentation_params.flip_param.time_flip": SAME(True),
    "dataset_params.augmentation_params.jitter_param.brightness": (0.1, 0.1, 0.1, ABSENT),
    "dataset_params.augmentation_params.jitter_param.contrast": (0.1, 0.1, 0.1, ABSENT),
    "dataset_params.augmentation_params.jitter_param.saturation": (0.1, 0.1, 0.1, ABSENT),
    "dataset_params.augmentation_params.jitter_param.hue": (0.1, 0.1, 0.1, 0.5),
    "dataset_params.augmentation_params.crop_param.size": (None, None, None, [256, 256]),
    "dataset_params.augmentation_params.resize_param.ratio": (None, None, None, [0.9, 1.1]),
    "dataset_params.puppets.clips": SAME(None),  # ours, as are the next two
    "dataset_params.puppets.frames": SAME(50),
    "dataset_params.puppets.size": SAME(256),
    "model_params.family": SAME("tpsm"),  # ours
    "model_params.common_params.num_tps": SAME(10),
    "model_params.common_params.num_channels": SAME(3),
    "model_params.common_params.bg": (True, True, True, False),
    "model_params.common_params.multi_mask": SAME(True),
    "model_params.kp_detector_params.width": SAME(64),  # ours, as are the next four
    "model_params.kp_detector_params.blocks": SAME(2),
    "model_params.kp_detector_params.spread_points": SAME(False),
    "model_params.bg_predictor_params.width": SAME(64),
    "model_params.bg_predictor_params.blocks": SAME(2),
    "model_params.generator_params.block_expansion": SAME(64),
    "model_params.generator_params.max_features": SAME(512),
    "model_params.generator_params.num_down_blocks": SAME(3),
    "model_params.dense_motion_params.block_expansion": SAME(64),
    "model_params.dense_motion_params.max_features": SAME(1024),
    "model_params.dense_motion_params.num_blocks": SAME(5),
    "model_params.dense_motion_params.warps": SAME("tps"),
    "model_params.dense_motion_params.scale_factor": SAME(0.25),
    "model_params.avd_network_params.id_bottle_size": SAME(128),
    "model_params.avd_network_params.pose_bottle_size": SAME(128),
    "train_params.num_epochs": SAME(100),
    "train_params.num_repeats": (75, 150, 150, 50),
    "train_params.epoch_milestones": SAME([70, 90]),
    "train_params.lr_generator": SAME(2.0e-4),
    "train_params.batch_size": (28, 28, 12, 28),
    "train_params.scales": SAME([1, 0.5, 0.25, 0.125]),
    "train_params.dataloader_workers": (12, 12, 6, 12),
    "train_params.checkpoint_freq": SAME(50),
    "train_params.dropout_epoch": SAME(35),
    "train_params.dropout_maxp": (0.3, 0.7, 0.5, 0.5),
    "train_params.dropout_startp": (0.1, 0.0, 0.0, 0.2),
    "train_params.dropout_inc_epoch": SAME(10),
    "train_params.bg_start": (10, 0, 0, 0),
    "train_params.transform_params.sigma_affine": SAME(0.05),
    "train_params.transform_params.sigma_tps": SAME(0.005),
    "train_params.transform_params.points_tps": SAME(5),
    "train_params.loss_weights.perceptual": SAME([10, 10, 10, 10, 10]),
    "train_params.loss_weights.equivariance_value": SAME(10),
    "train_params.loss_weights.warp_loss": SAME(10),
    "train_params.loss_weights.bg": SAME(10),
    "train_params.loss_weights.keypoints": SAME(0),
    "train_params.loss_weights.bg_points": SAME(0),
    "train_params.loss_weights.bg_equivariance": SAME(0),
    "train_params.loss_weights.contribution": SAME(0),
    "train_avd_params.num_epochs": (200, 100, 30, 100),
    "train_avd_params.num_repeats": (300, 150, 500, 50),
    "train_avd_params.batch_size": SAME(256),
    "train_avd_params.dataloader_workers": SAME(24),
    "train_avd_params.checkpoint_freq": (50, 10, 10, 10),
    "train_avd_params.epoch_milestones": ([140, 180], [70, 90], [20, 25], [70, 90]),
    "train_avd_params.lr": SAME(1.0e-3),
    "train_avd_params.lambda_shift": SAME(1),
    "train_avd_params.random_scale": SAME(0.25),
    "train_avd_params.lambda_affine": (ABSENT, ABSENT, ABSENT, 1),
    "visualizer_params.kp_size": SAME(5),
    "visualizer_params.draw_border": SAME(True),
    "visualizer_params.colormap": SAME("gist_rainbow"),
}


def flatten(section: Any, prefix: str = "") -> dict[str, Any]:
    """{'train_params.batch_size': 28, ...}, tuples as lists."""
    flat: dict[str, Any] = {}
    for name, value in section.items():
        if hasattr(value, "items"):
            flat.update(flatten(value, f"{prefix}{name}."))
        else:
            flat[prefix + name] = list(value) if isinstance(value, tuple | list) else value
    return flat


def load(name: str) -> ConfigDict:
    return importlib.import_module(f"configs.{name}").get_config()


@pytest.mark.parametrize("name", NAMES)
def test_fields_are_the_official_ones(name: str) -> None:
    flat = {key: value for key, value in flatten(load(name)).items() if "." in key}
    column = NAMES.index(name)
    expected = {key: row[column] for key, row in FACTS.items() if row[column] is not ABSENT}
    assert flat == expected


@pytest.mark.parametrize("name", NAMES)
def test_what_goes_beyond_the_official_code_is_off(name: str) -> None:
    config = load(name)
    assert config.compute_dtype == "float32"
    assert config.perceptual_features == "vgg19"
    assert config.accumulate_steps == 1
    assert ResizeCrop.from_config(get_base_config().dataset_params.augmentation_params) is None
    for field in (
        "remat", "ema_decay", "dropout_rescale", "warmup_steps", "optimizer", "init_from", "freeze",
        "skip_nonfinite_steps", "total_steps",
    ):  # fmt: skip
        assert not config[field], field


@pytest.mark.parametrize("name", NAMES)
def test_values_have_the_official_types(name: str) -> None:
    """True == 1 and 1 == 1.0 in Python; the model would not care, a command line override does."""
    flat = flatten(load(name))
    for key, row in FACTS.items():
        value = row[NAMES.index(name)]
        if value is not ABSENT:
            assert type(flat[key]) is type(value), key


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("vox256", (256, 256)),
        ("taichi256", (256, 256)),
        ("ted384", (384, 384)),
        ("mgif256", (256, 256)),
    ],
)
def test_image_size(name: str, size: tuple[int, int]) -> None:
    assert load(name).image_size == size


def test_every_section_is_in_the_base_so_that_its_fields_are_flags() -> None:
    base = flatten(get_base_config())
    names = (*NAMES, "puppets64")
    added = {key for name in names for key in flatten(load(name))} - base.keys()
    assert added == {"train_avd_params.lambda_affine"}  # which no code reads
    config = get_base_config()
    apply_overrides(
        config,
        [
            "--config.model_params.kp_detector_params.width=16",
            "--config.model_params.bg_predictor_params.blocks=1",
            "--config.dataset_params.puppets.clips=3",
            "--config.dataset_params.augmentation_params.crop_param.size=(64,96)",
            "--config.dataset_params.augmentation_params.resize_param.ratio=(0.9,1.1)",
        ],
    )
    assert config.model_params.kp_detector_params.width == 16
    assert config.model_params.bg_predictor_params.blocks == 1
    assert config.dataset_params.puppets.clips == 3
    transform = ResizeCrop.from_config(config.dataset_params.augmentation_params)
    assert transform == ResizeCrop((0.9, 1.1), (64, 96))


@pytest.mark.parametrize("name", NAMES)
def test_a_config_loads_by_its_path(name: str) -> None:
    """As a script's --config does it, not only as `configs.<name>`."""
    spec = importlib.util.spec_from_file_location("some_config", CONFIGS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.get_config() == load(name)


def test_configs_share_no_state() -> None:
    first = load("vox256")
    first.train_params.batch_size = 1
    first.model_params.common_params.num_tps = 3
    assert load("vox256").train_params.batch_size == 28
    assert load("taichi256").model_params.common_params.num_tps == 10


@pytest.mark.parametrize("name", NAMES)
def test_docstring_gives_paper_and_command(name: str) -> None:
    text = load_text(name)
    for part in ("2203.14367", "Table 1", "convert_torch_weights.py", f"configs/{name}.py"):
        assert part in text


@pytest.mark.parametrize("name", OURS)
def test_our_own_configs_are_valid_and_start_from_one_another(name: str) -> None:
    config = load(name)
    validate(config, "model", 1)
    assert f"--config configs/{name}.py --workdir runs/{name}" in load_text(name)
    start = config.init_from
    assert not start or start.removeprefix("runs/") in OURS


def load_text(name: str) -> str:
    return importlib.import_module(f"configs.{name}").__doc__ or ""
