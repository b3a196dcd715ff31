"""Runs and checkpoints from before a field of `model_params` was added are still the same ones."""

import json
from pathlib import Path
from typing import Any

import pytest
from ml_collections import ConfigDict

from configs.base import get_base_config
from configs.puppets64 import get_config
from tests.helpers.small import model_params, official_params
from tpsm_jax.checkpoints.added_fields import ADDED, with_added_fields, without_added_fields
from tpsm_jax.checkpoints.converted import Checkpoint
from tpsm_jax.checkpoints.workdir import claim_workdir, record_config
from tpsm_jax.errors import InputError
from tpsm_jax.evaluation.checkpoints import identity
from tpsm_jax.models.bg_motion_predictor import BGMotionPredictor
from tpsm_jax.models.dense_motion import DenseMotionNetwork
from tpsm_jax.models.keypoint_detector import KPDetector


def config_of(params: dict[str, Any]) -> ConfigDict:
    """A config of a model whose sections are `params`."""
    config = get_base_config()
    config.model_params = ConfigDict(params)
    return config


def older(config: ConfigDict) -> ConfigDict:
    """The config as it was before the fields were added."""
    return config_of(without_added_fields(config.model_params.to_dict()))


def begin(workdir: Path, config: ConfigDict) -> None:
    """Leaves what a run leaves after its first checkpoint."""
    (workdir / "checkpoints" / "4").mkdir(parents=True)
    record_config(workdir, config)


def test_the_values_are_those_of_the_base_config_and_of_the_networks() -> None:
    params = get_base_config().model_params.to_dict()
    part_of_a_section = {"dense_motion_params": {"warps": params["dense_motion_params"]["warps"]}}
    assert {**{name: params[name] for name in ADDED}, **part_of_a_section} == ADDED
    assert ADDED["dense_motion_params"] == {"warps": DenseMotionNetwork.warps}
    detector, background = KPDetector(num_tps=1), BGMotionPredictor()
    assert ADDED["kp_detector_params"] == {
        name: getattr(detector, name) for name in ("width", "blocks", "spread_points")
    }
    assert ADDED["bg_predictor_params"] == {
        name: getattr(background, name) for name in ("width", "blocks")
    }


def test_older_configs_lack_them() -> None:
    params = older(get_base_config()).model_params.to_dict()
    assert params.keys() == official_params().keys()
    official = official_params()["dense_motion_params"]
    assert params["dense_motion_params"].keys() == official.keys()
    puppets = older(get_config()).model_params.to_dict()
    assert puppets["kp_detector_params"] == {"width": 16, "spread_points": True}
    assert puppets["bg_predictor_params"] == {"width": 16}
    assert with_added_fields(puppets) == get_config().model_params.to_dict()


@pytest.mark.parametrize("make", [get_base_config, get_config])
def test_an_older_run_resumes(tmp_path: Path, make: Any) -> None:
    before, now = older(make()), make()
    begin(tmp_path / "before", before)
    assert "family" not in json.loads((tmp_path / "before" / "config.json").read_text())
    claim_workdir(tmp_path / "before", now)
    begin(tmp_path / "now", now)
    claim_workdir(tmp_path / "now", before)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("kp_detector_params", {"width": 16}, "kp_detector_params.width = 64, .* says 16"),
        ("bg_predictor_params", {"blocks": 1}, "bg_predictor_params.blocks = 2, .* says 1"),
        (
            "dense_motion_params",
            {**official_params()["dense_motion_params"], "warps": "affine"},
            "dense_motion_params.warps = 'tps', .* says 'affine'",
        ),
        ("family", "another", "family = 'tpsm', and the config says 'another'"),
    ],
)
def test_another_value_is_another_model(
    tmp_path: Path, field: str, value: Any, message: str
) -> None:
    begin(tmp_path, config_of(official_params()))
    with pytest.raises(InputError, match=rf"model_params\.{message}"):
        claim_workdir(tmp_path, config_of({**official_params(), field: value}))


def test_an_evaluation_knows_a_checkpoint_whose_config_was_written_again() -> None:
    entry = dict.fromkeys(("name", "step", "ema", "weights_crc32"), 0)

    def config_crc32(params: dict[str, Any]) -> str:
        checkpoint = Checkpoint(config_of(params), None, {})
        return identity(entry, checkpoint)["config_crc32"]

    for params in (official_params(), model_params()):
        assert config_crc32(with_added_fields(params)) == config_crc32(params)
    assert config_crc32(official_params()) != config_crc32(model_params())
