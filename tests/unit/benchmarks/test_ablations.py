"""What the study of ablations runs, with the commands that it calls replaced."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks.studies import ablations
from tpsm_jax.config import apply_overrides, read_config, validate


@pytest.mark.parametrize("name", ablations.ABLATIONS)
def test_an_ablation_changes_the_config_and_can_be_trained(name):
    config = read_config(ablations.CONFIG)
    before = config.to_json()
    apply_overrides(config, [f"--config.{field}" for field in ablations.ABLATIONS[name]])
    assert (config.to_json() == before) == (name == "full")
    validate(config, "model", 1)


@pytest.fixture
def commands(monkeypatch, tmp_path):
    """The commands that were called. The measured L1 counts up with each model and mode."""
    called = []

    def run(*words, **environment):
        words = list(map(str, words))
        called.append(words)
        if words[0] == "eval.py":
            models = words[words.index("--checkpoint") + 1 : words.index("--data")]
            evaluations = sum(each[0] == "eval.py" for each in called)
            assert "--resume" in words
            totals = [
                {"l1": 0.01 * i + 0.1 * evaluations, "psnr": None} for i in range(len(models))
            ]
            folder = Path(words[-1])
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "metrics.json").write_text(
                json.dumps({"models": [{"totals": x, "static": {"l1": 0.5}} for x in totals]})
            )

    monkeypatch.setattr(ablations, "run", run)
    monkeypatch.chdir(tmp_path)
    return called


def test_all_are_trained_and_measured_alike(commands, monkeypatch, capsys):
    arguments = ["ablations", "--workdir", "w", "--repeats", "3", "--output", "results.json"]
    monkeypatch.setattr(sys, "argv", arguments)
    ablations.main()
    trained, measured = commands[:6], commands[6:]
    for words, (name, fields) in zip(trained, ablations.ABLATIONS.items(), strict=True):
        flags = ["--config.train_params.num_repeats=3", *(f"--config.{each}" for each in fields)]
        assert words == ["train.py", "--config", ablations.CONFIG, "--workdir", f"w/{name}", *flags]
    assert [words[-1] for words in measured] == [
        "w/measured_itself", "w/measured_relative", "w/measured_standard",
    ]  # fmt: skip
    rows = json.loads(Path("results.json").read_text())["rows"]
    assert [row["ablation"] for row in rows] == list(ablations.ABLATIONS)
    assert rows[2]["relative_l1"] == pytest.approx(0.22)
    assert rows[2]["standard_l1_of_static"] == pytest.approx(0.64)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("| no_background | 0.15 | 0.3 |")
    assert len(lines[-1].split("|")) == len(lines[-7].split("|"))
