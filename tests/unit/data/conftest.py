"""Small data sets."""

from pathlib import Path

import pytest

from tests.helpers.clip_files import write_data_set
from tests.helpers.prepare_files import write_noise_set


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Two good clips per split, of three frames; tests add more to train/."""
    write_noise_set(tmp_path / "raw", train=2, test=2)
    return tmp_path / "raw"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Clips of 3, 5 and 1 frames in train/, of 4 and 2 in test/."""
    write_data_set(tmp_path)
    return tmp_path
