"""A second run in a workdir in use."""

import json

import pytest

from tests.helpers.fake_trainer import batches, losses
from tests.helpers.loop_runs import assert_same_weights, run
from tpsm_jax.errors import InputError
from tpsm_jax.runtime.run_lock import LOCK


def test_it_is_refused_and_the_first_one_goes_on(tmp_path, undisturbed):
    refused = []

    def meeting(start):
        for batch in batches(start):
            if batch["name"][0].startswith("clip6_"):
                with pytest.raises(InputError, match=f"another run is training in {tmp_path} "):
                    run(tmp_path)
                refused.append(batch["name"])
            yield batch

    run(tmp_path, meeting)
    assert len(refused) == 1
    assert losses(tmp_path) == losses(undisturbed)
    assert_same_weights(tmp_path, undisturbed)
    assert not (tmp_path / LOCK).exists()


def test_another_machines_run_is_not_touched(tmp_path):
    (tmp_path / LOCK).write_text(json.dumps({"host": "elsewhere", "boot": "b", "pid": 7}))
    with pytest.raises(InputError, match=f"on elsewhere, .* ended already, delete .*{LOCK}$"):
        run(tmp_path)
    assert not (tmp_path / "metrics.jsonl").exists()
    (tmp_path / LOCK).unlink()
    run(tmp_path, total_steps=1)
    assert list(losses(tmp_path)) == [1]
