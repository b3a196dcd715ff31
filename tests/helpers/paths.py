"""Where the project and the arrays of the official code lie."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden"
TORCH_FILES = GOLDEN / "torch_files"
