"""Mutated tables and JSON files that the commands read; see `tests.helpers.fuzzing`.

python -m tests.helpers.fuzz_tables FIRST LAST
"""

import contextlib
import functools
import gzip
import io
import json
import random
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from data.evaluation_set import pairs_of_clips, read_pairs
from data.prepare import open_prepared
from data.prepare.boxes import find_boxes
from data.prepare.encoding import Encoding
from data.prepare.layout import FRAME
from data.prepare.settings import Settings, begin
from tests.helpers.fuzzing import run
from tests.helpers.odd_values import odd_csv, odd_json
from tests.helpers.paths import GOLDEN
from tests.helpers.small import draw_variables
from tests.helpers.tiny_training import tiny_config
from tpsm_jax.checkpoints.converted import load_checkpoint, save_checkpoint
from tpsm_jax.checkpoints.files import MODEL
from tpsm_jax.checkpoints.steps import find_step
from tpsm_jax.checkpoints.workdir import claim_workdir
from tpsm_jax.evaluation.clip_frames import EvaluationClip
from tpsm_jax.evaluation.keypoint_tables import compare_tables, print_scores, read_table
from tpsm_jax.evaluation.output import RUN, check_output
from tpsm_jax.evaluation.share import with_numbers
from tpsm_jax.evaluation.user_study.counting import count_answers
from tpsm_jax.models.registry import check_image_size, picture_size
from tpsm_jax.training.log import drop_lines_after

MEGABYTES = 300  # the files have 200 kB at most, and JAX keeps what it has traced
Read = Callable[[], object]

BOXES = b"""video_id,start,end,bbox,fps,width,height,partition,person_id
abcdefghij_,3657,3994,624-48-1018-553,25,1280,720,train,id10005
abcdefghij_,17,120,522-49-931-580,25,1280,720,train,id10005
-b#c,0,10,0-0-9-9,25,1280,720,test,id10270
"""
PAIRS = b"""distance,source,driving,frame
0.5,a#1,b#2,3
0.25,b#2,a#1.mp4,0
"""
ANSWERS = {
    "format": "tpsm_jax user study", "version": 1, "study": "s1", "participant": "p1",
    "a": "ours", "b": "theirs", "pairs": 2,
    "answers": [
        {"pair": "x", "left": "a", "continuity": "a", "authenticity": "b"},
        {"pair": "y", "left": "b", "continuity": "b", "authenticity": "b"},
    ],
}  # fmt: skip
RECORD = {
    "name": "a", "frames": 3,
    "metrics": {"l1": 0.5, "psnr": 20.0, "flicker": None},
    "static": {"l1": 0.75, "psnr": 10.0, "flicker": 0.1},
}  # fmt: skip
RUN_SETTINGS = {"data": "clips", "models": [{"name": "a", "step": None}], "size": [32, 32]}


def _keypoint_table(rng: random.Random, place: Path) -> Read:
    name = rng.choice(["face_id", "face_pose", "body_id", "body_pose"])
    tables = [
        b"".join((GOLDEN / "tables" / f"{name}_{which}.jsonl").read_bytes().splitlines(True)[:12])
        for which in ("truth", "result")
    ]
    changed = odd_json(rng, tables[1])
    paths = place / "truth.jsonl", place / "result.jsonl"
    if rng.random() < 0.2:
        changed = gzip.compress(changed)
        paths = paths[0], place / "result.jsonl.gz"
        if rng.random() < 0.5:
            changed = changed[: rng.randrange(len(changed))]
    paths[0].write_bytes(tables[0])
    paths[1].write_bytes(changed)

    def read() -> None:
        table = read_table(paths[1])
        with contextlib.redirect_stdout(io.StringIO()):
            print_scores(compare_tables(table, table))
            print_scores(compare_tables(read_table(paths[0]), table))

    return read


def _boxes(rng: random.Random, place: Path) -> Read:
    (place / "boxes.csv").write_bytes(odd_csv(rng, BOXES))

    def read() -> None:
        frame = np.zeros((72, 128, 3), np.uint8)
        for clips in find_boxes(place / "boxes.csv", place).values():
            for clip in clips:
                clip.expected_frames(25.0)  # type: ignore[attr-defined]
                clip.box.crop(frame)  # type: ignore[attr-defined]

    return read


def _answers(rng: random.Random, place: Path) -> Read:
    (place / "one.json").write_bytes(odd_json(rng, json.dumps(ANSWERS).encode()))
    (place / "two.json").write_text(json.dumps({**ANSWERS, "participant": "p2"}))
    return lambda: count_answers([place / "one.json", place / "two.json"])


@functools.cache
def _prepared_files() -> dict[str, bytes]:
    """A prepared data set of two clips, of the files that are read here."""
    rng = np.random.default_rng(0)
    records, places, clips = b"", [], []
    for name, count in (("a#1", 3), ("b#2", 2)):
        entry = {"name": name, "identity": name[0], "frame_rate": 25.0, "num_frames": count}
        clips.append({**entry, "height": 8, "width": 8, "shard": 0, "first_frame": len(places)})
        for _ in range(count):
            encoded = io.BytesIO()
            Image.fromarray(rng.integers(0, 255, (8, 8, 3), np.uint8)).save(encoded, "PNG")
            data = encoded.getvalue()
            places.append((len(records), len(data), __import__("zlib").crc32(data)))
            records += data
    table = io.BytesIO()
    np.save(table, np.array(places, FRAME))
    shards = [{"file": "clips-test.tfrecord-00000-of-00001", "bytes": len(records)}]
    settings = Settings("clips", Encoding("png", 95, None), {"test": 2}, "0" * 64, None)
    return {
        "clips-test.tfrecord-00000-of-00001": records,
        "clips-test.json": json.dumps({"shards": shards, "clips": clips}).encode(),
        "frames-test.npy": table.getvalue(),
        "prepared.json": json.dumps(settings.as_json()).encode(),
        "dataset_info.json": b"{}",
    }


def _prepared(rng: random.Random, place: Path) -> Read:
    files = _prepared_files()
    changed = rng.choice(["clips-test.json"] * 3 + ["prepared.json", "frames-test.npy"])
    for name, data in files.items():
        if name == changed:
            data = (odd_json if name.endswith("json") else _mutated)(rng, data)
        (place / name).write_bytes(data)
    (place / "pairs.csv").write_bytes(odd_csv(rng, PAIRS) if rng.random() < 0.5 else PAIRS)
    config = ConfigDict(tiny_config().to_dict())
    config.dataset.path = str(place)
    settings = Settings("clips", Encoding("png", 95, None), {"test": 2}, "0" * 64, None)

    def read() -> None:
        if changed == "prepared.json":
            begin(place, settings)
        for clip in open_prepared(place, "test"):
            assert clip.identity is not None
            list(clip.frames())
            clip.pair(0.25, 0.75)
        for clip in pairs_of_clips(config, read_pairs(place / "pairs.csv")):
            assert clip.frame_rate() > 0

    return read


def _mutated(rng: random.Random, data: bytes) -> bytes:
    from tests.helpers.fuzzing import mutated

    return mutated(rng, data)


def _pairs(rng: random.Random, place: Path) -> Read:
    (place / "pairs.csv").write_bytes(odd_csv(rng, PAIRS))
    return lambda: read_pairs(place / "pairs.csv")


@functools.cache
def _config() -> tuple[bytes, bytes]:
    """config.json and model.safetensors."""
    config = tiny_config()
    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(folder, draw_variables(config.model_params), config)
        return json.dumps(config.to_dict()).encode(), Path(folder, MODEL).read_bytes()


def _converted(rng: random.Random, place: Path) -> Read:
    text, model = _config()
    if rng.random() < 0.8:  # most of the config is not the model's
        whole = json.loads(text)
        kept = {name: whole.pop(name) for name in ("image_size", "model_params")}
        changed = odd_json(rng, json.dumps(kept).encode())
        text = changed[:-1] + b"," + json.dumps(whole).encode()[1:]
    else:
        text = odd_json(rng, text)
    (place / "config.json").write_bytes(text)
    (place / MODEL).write_bytes(model)

    def read() -> None:
        checkpoint = load_checkpoint(place)
        check_image_size(checkpoint.config.model_params, *picture_size(checkpoint.config))

    return read


def _training_run(rng: random.Random, place: Path) -> Read:
    record = place / "checkpoints" / "3" / "metrics" / "metrics"
    record.parent.mkdir(parents=True)
    lines = b"".join(
        json.dumps({"step": step, "loss": 1 / step, "lr": 2e-4}).encode() + b"\n"
        for step in range(1, 7)
    )
    changed = rng.choice(["config.json", "metrics.jsonl", "metrics"])
    files = {
        place / "config.json": _config()[0],
        place / "metrics.jsonl": lines,
        record: json.dumps({"loss": 0.5, "eval/l1": 0.25}).encode(),
    }
    for path, data in files.items():
        path.write_bytes(odd_json(rng, data) if path.name == changed else data)

    def read() -> None:
        claim_workdir(place, tiny_config())
        drop_lines_after(place / "metrics.jsonl", 3)
        find_step(place, "best")

    return read


def _evaluation(rng: random.Random, place: Path) -> Read:
    (place / "a" / "clips").mkdir(parents=True)
    record, settings = json.dumps(RECORD).encode(), json.dumps(RUN_SETTINGS).encode()
    of_clip = rng.random() < 0.7
    (place / "a" / "clips" / "a.json").write_bytes(odd_json(rng, record) if of_clip else record)
    (place / RUN).write_bytes(settings if of_clip else odd_json(rng, settings))
    clip = EvaluationClip("a", lambda: iter(()), lambda: 25.0)

    def read() -> None:
        check_output(place, RUN_SETTINGS, resume=True)
        with_numbers({}, place / "a", [clip], {})

    return read


CASES = {
    _keypoint_table: 20, _boxes: 15, _answers: 12, _prepared: 20, _pairs: 6, _converted: 7,
    _training_run: 10, _evaluation: 10,
}  # fmt: skip


def case(rng: random.Random, place: Path) -> Read:
    """Writes a mutated file and those around it, and returns what reads them."""
    return rng.choices(list(CASES), list(CASES.values()))[0](rng, place)


if __name__ == "__main__":
    run(case, MEGABYTES)
