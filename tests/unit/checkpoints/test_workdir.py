"""Whose run a workdir is.

What is refused at the command's start also stands in test_run_resumed.py and test_run_disk.py.
"""

import json

import pytest
from ml_collections import ConfigDict

from tests.helpers.small import model_params, official_params
from tpsm_jax.checkpoints.workdir import claim_workdir
from tpsm_jax.errors import InputError


def config_of(params):
    return {"model_params": params, "optimizer": "", "freeze": [], "dataset": {"mix_weights": []}}


@pytest.fixture
def older_run(tmp_path):
    """A run that was begun before configs had families or sections for small networks."""
    (tmp_path / "checkpoints" / "4").mkdir(parents=True)
    (tmp_path / "config.json").write_text(json.dumps(config_of(official_params())))
    return tmp_path


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"family": "tpsm"},
        {"family": "tpsm", "kp_detector_params": {}, "bg_predictor_params": {}},
    ],
)
def test_fields_that_an_older_run_lacks_may_have_their_defaults(older_run, fields):
    claim_workdir(older_run, ConfigDict(config_of({**official_params(), **fields})))


@pytest.mark.parametrize("section", ["kp_detector_params", "dataset", "model_params"])
@pytest.mark.parametrize("value", [3, True, [1], "text"])
def test_a_damaged_section_is_refused(older_run, section, value):
    config = config_of({**official_params(), "kp_detector_params": {}})
    where = config if section in config else config["model_params"]
    expected = ConfigDict(json.loads(json.dumps(config)))
    expected.dataset.mix_weights = [1]
    where[section] = value
    (older_run / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="is a run with"):
        claim_workdir(older_run, expected)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({**official_params(), "family": "fomm"}, "family = 'tpsm', and the config says 'fomm'"),
        (model_params(), "bg_predictor_params.blocks = 2, and the config says 0"),
        (official_params(num_tps=3), "common_params.num_tps = 2, and the config says 3"),
    ],
)
def test_another_model_is_refused(older_run, params, words):
    with pytest.raises(InputError) as error:
        claim_workdir(older_run, ConfigDict(config_of(params)))
    assert f"is a run with model_params.{words}: take the same" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_config_whose_model_is_no_section(older_run):
    (older_run / "config.json").write_text(json.dumps(config_of(3)))
    with pytest.raises(InputError, match=r"is a run with model_params = 3, and the config says"):
        claim_workdir(older_run, ConfigDict(config_of(official_params())))
