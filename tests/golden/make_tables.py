"""Writes tests/golden/tables/ with pose-evaluation's own scripts. Run once; the files are kept.

  python -m venv VENV && VENV/bin/pip install numpy==2.4.6 pandas==3.1.1
  VENV/bin/python -m tests.golden.make_tables --reference CHECKOUT

CHECKOUT is of GitHub AliaksandrSiarohin/pose-evaluation. The tables are made up, in the formats of
its extract.py: 68 landmarks or None for a face, 18 points with -1 for a body, embeddings [D] and
[1, D].
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

GOLDEN = Path(__file__).parent / "tables"
CLIPS = {"id10#a": 4, "id2#b": 3, "id10#a_2": 3}


def bodies(rng):
    """Key points of bodies, some of them, or all of a frame, not found."""
    truth = [rng.uniform(0, 256, (18, 2)).round() for _ in range(10)]
    result = [value + rng.normal(0, 4, value.shape) for value in truth]
    for values in (truth, result):
        for value in values:
            value[rng.uniform(size=18) < 0.2] = -1
    truth[2][:] = -1
    result[5][:] = -1
    return truth, result


def faces(rng):
    """Landmarks, none in two frames of the result: the script cannot take a truth without."""
    truth = [rng.uniform(0, 256, (68, 2)).round().astype(np.float32) for _ in range(10)]
    result = [value + rng.integers(-3, 4, value.shape).astype(np.float32) for value in truth]
    result[0] = result[7] = None
    return truth, result


def embeddings(shape, rng):
    """Embeddings of identities."""
    truth = [rng.normal(size=shape).astype(np.float32) for _ in range(10)]
    return truth, [value + rng.normal(0, 0.1, shape).astype(np.float32) for value in truth]


def data_frame(values, suffix):
    """As extract.py lays it out."""
    names = [(f"{clip}{suffix}", frame) for clip, n in CLIPS.items() for frame in range(n)]
    file_names, numbers = zip(*names, strict=True)
    return pd.DataFrame(
        {"file_name": list(file_names), "frame_number": list(numbers), "value": values}
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reference", type=Path, required=True)
    reference = parser.parse_args().reference
    rng = np.random.default_rng(0)
    cases = {
        "body_pose": ("cmp_with_missing.py", bodies(rng)),
        "face_pose": ("cmp_kp.py", faces(rng)),
        "face_id": ("cmp.py", embeddings((16,), rng)),
        "body_id": ("cmp.py", embeddings((1, 24), rng)),
    }
    GOLDEN.mkdir(exist_ok=True)
    printed = {}
    for name, (script, (truth, result)) in cases.items():
        with tempfile.TemporaryDirectory() as folder:
            pickles = []
            for side, values, suffix in (("truth", truth, ".mp4"), ("result", result, ".png")):
                pickles.append(Path(folder, f"{side}.pkl"))
                data_frame(values, suffix).to_pickle(pickles[-1])
                table = GOLDEN / f"{name}_{side}.jsonl"
                pd.read_pickle(pickles[-1]).to_json(
                    table, orient="records", lines=True, double_precision=15
                )
            command = [sys.executable, str(reference / script), *map(str, pickles)]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found = re.findall(r"(Average difference|Missing count): (\S+)", output)
        printed[name] = {key: float(value) for key, value in found}
    (GOLDEN / "printed.json").write_text(json.dumps(printed, indent=1) + "\n")


if __name__ == "__main__":
    main()
