"""What a table of detections is known to depend on."""

import importlib.metadata
import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from tpsm_jax.evaluation.detection import DETECTORS, Detector, find_detector
from tpsm_jax.evaluation.maker import describe_maker

PLACES = "{input} {output}"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def maker(command: str) -> dict:
    described = Detector("x", f"{command} {PLACES}").maker()
    assert json.loads(json.dumps(described)) == described
    return described


def differ(command: str, *paths: Path) -> None:
    """Asserts that another byte in each of the files makes another maker."""
    for path in paths:
        before = maker(command)
        assert maker(command) == before
        path.write_text(path.read_text() + "#")
        assert maker(command) != before, path


@pytest.mark.slow
def test_a_script_its_settings_and_its_weights() -> None:
    for name in ("script.py", "settings.json", "weights.bin"):
        Path(name).write_text("1\n")
    command = f"{sys.executable} script.py --settings settings.json --weights=weights.bin"
    differ(command, *map(Path, ("script.py", "settings.json", "weights.bin")))
    described = maker(command)
    assert described["command"] == f"{command} {PLACES}"
    assert described["tpsm_jax"] == importlib.metadata.version("tpsm_jax")
    assert described["python"] == sys.version
    assert described["packages"]["numpy"] == importlib.metadata.version("numpy")
    assert set(described["files"]) == {"script.py", "settings.json", "weights.bin"}


@pytest.mark.slow
def test_modules_and_all_of_their_package() -> None:
    for name in ("faces/run.py", "faces/deep/net.py", "mine.py"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("1\n")
    command = f"{sys.executable} -m faces.run --detector mine:Face"
    differ(command, Path("faces/run.py"), Path("faces/deep/net.py"), Path("mine.py"))
    assert "numpy" not in maker(f"{sys.executable} -m numpy")["files"]  # its version is there


def test_a_program_that_is_no_python() -> None:
    program = Path("look.sh")
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    differ("./look.sh", program)
    assert "packages" not in maker("./look.sh")


@pytest.mark.slow
def test_a_package_of_the_python_that_is_updated(monkeypatch: pytest.MonkeyPatch) -> None:
    info = Path("site/finder-1.0.dist-info")
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: finder\nVersion: 1.0\n")
    monkeypatch.setenv("PYTHONPATH", os.path.abspath("site"))
    command = f"{sys.executable} script.py"
    before = maker(command)
    assert before["packages"]["finder"] == "1.0"
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: finder\nVersion: 1.1\n")
    assert maker(command) == {**before, "packages": {**before["packages"], "finder": "1.1"}}


@pytest.mark.parametrize("words", [["python", "-c", "x" * 5000], ["python", "a\0b"], ["python"]])
def test_words_that_are_no_files(words: list[str]) -> None:
    assert describe_maker("", words)["files"] == {}


def test_a_python_that_does_not_answer() -> None:
    Path("python3.11").write_text("#!/bin/sh\nexit 1\n")
    Path("python3.11").chmod(0o755)
    assert set(maker("./python3.11")) == {"command", "tpsm_jax", "files"}


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_the_detectors_of_this_project_depend_on_its_files(tmp_path: Path) -> None:
    for kind in DETECTORS:
        detector = find_detector(kind)
        assert {"mediapipe_keypoints.py", "requirements.txt", "table.py"} <= {
            path.name for path in detector.sources
        }
        changed = tmp_path / "table.py"
        changed.write_text("another")
        other = detector._replace(sources=(*detector.sources[1:], changed))
        assert other.maker() != detector.maker()
