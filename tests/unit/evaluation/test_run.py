"""What an evaluation makes sure of before, between and after its clips; no model is run."""

import errno
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from data import clips as clips_of_data
from data.evaluation_set import clips_for_test
from tests.helpers.eval_files import write_clips
from tests.helpers.tiny_training import tiny_config
from tpsm_jax.checkpoints.converted import Checkpoint
from tpsm_jax.errors import InputError
from tpsm_jax.evaluation import checkpoints as models
from tpsm_jax.evaluation import report, run, share
from tpsm_jax.evaluation.clip_frames import EvaluationClip, FrameSizeError, check_first_frames
from tpsm_jax.evaluation.output import check_output, claim_output, finished_clip, write_json
from tpsm_jax.evaluation.reconstruction import ClipResult
from tpsm_jax.evaluation.summary import make_table
from tpsm_jax.evaluation.wide_picture import WidePicture
from tpsm_jax.runtime.atomic_files import replace_bytes, replace_text

SIZE = (16, 16)


def clip(name, size=SIZE, count=2, error=None):
    """Gray frames, or an error."""

    def frames():
        if error is not None:
            raise InputError(error)
        return iter(np.full((count, *size, 3), 128, np.uint8))

    return EvaluationClip(name, frames)


@pytest.mark.parametrize("field", ["clips", "models", "batch_size"])
def test_hosts_that_would_not_do_the_same(monkeypatch, field):
    settings = {"data": "/a", "clips": ["x"], "models": [{"weights_crc32": "1"}], "batch_size": 1}
    other = {**settings, "data": "/mnt/a"}  # as it is called there

    def gathered(checksums):
        return [checksums, {name: models.crc32(value) for name, value in other.items()}]

    monkeypatch.setattr(run, "gathered", gathered)
    run.check_same_run(settings)
    other[field] = ["y"]
    with pytest.raises(InputError, match=f"hosts' {field} differ"):
        run.check_same_run(settings)


def test_a_clip_without_numbers_and_without_a_reason(tmp_path):
    record = {"name": "a", "frames": 2, "metrics": {"l1": 0.5}, "static": {}}
    (tmp_path / "clips").mkdir()
    write_json(tmp_path / "clips/a.json", record)
    clips = [clip("a"), clip("b")]
    entry = share.with_numbers({"name": "m"}, tmp_path, clips, {"b": "broken"})
    assert (entry["clips"], entry["totals"]) == ([record], {"l1": 0.5})
    with pytest.raises(InputError, match="no record of the clip b: --output must lie on a disk"):
        share.with_numbers({"name": "m"}, tmp_path, clips, {})


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "[]",
        '{"name": "a", "frames": 1, "metrics": {}}',
        '{"name": "b", "frames": 1, "metrics": {}, "static": {}}',
        '{"name": "a", "frames": "1", "metrics": {}, "static": {}}',
        '{"name": "a", "frames": 0, "metrics": {}, "static": {}}',
        '{"name": "a", "frames": 1, "metrics": 3, "static": {}}',
        '{"name": "a", "frames": 1, "metrics": {"l1": [1]}, "static": {}}',
        '{"name": "a", "frames": 1, "metrics": {"l1": 1e300}, "static": {}}',
        "[" * 100_000,
    ],
)
def test_a_damaged_record_is_reported(tmp_path, content):
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips/a.json").write_text(content)
    with pytest.raises(InputError, match="a.json is damaged: delete it, and give --resume"):
        finished_clip(tmp_path, "a")


def test_clips_of_a_single_frame_have_no_mean_without_the_first(tmp_path):
    (tmp_path / "clips").mkdir()
    metrics = {"l1": 0.5, "psnr": None}
    write_json(
        tmp_path / "clips/a.json", {"name": "a", "frames": 1, "metrics": metrics, "static": {}}
    )
    totals = share.with_numbers({}, tmp_path, [clip("a")], {})["totals"]
    assert totals["l1"] == 0.5
    assert np.isnan(totals["psnr"])


@pytest.mark.parametrize("content", ["", "[]", "[" * 100_000])
def test_damaged_settings_are_reported(tmp_path, content):
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(InputError, match="run.json is damaged: name a new folder"):
        check_output(tmp_path, {"clips": ["a"]}, resume=True)


def test_a_folder_is_looked_at_before_it_is_claimed(tmp_path):
    settings = {"clips": ["a"]}
    check_output(tmp_path / "new", settings, resume=False)
    check_output(tmp_path / "new", settings, resume=False)
    claim_output(tmp_path / "new", settings)
    with pytest.raises(InputError, match="give --resume to resume it"):
        check_output(tmp_path / "new", settings, resume=False)
    check_output(tmp_path / "new", settings, resume=True)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"clips": ["a", "c"], "models": [{"weights_crc32": "1"}]}, 'its clips is "b" and not "c"'),
        (
            {"clips": ["a"], "models": [{"weights_crc32": "1"}]},
            r'its clips is \["a", "b"\] and not',
        ),
        ({"clips": ["a", "b"], "models": [{"weights_crc32": "2"}]}, 'its weights_crc32 is "1" and'),
        ({"clips": ["a", "b"]}, "its models is .* and not null"),
        (
            {"clips": ["a", "b"], "models": [{"weights_crc32": "1"}], "new": None},
            "another run's: its new is ",
        ),
    ],
)
def test_another_run_reports_what_differs(tmp_path, settings, message):
    before = {"clips": ["a", "b"], "models": [{"weights_crc32": "1"}]}
    claim_output(tmp_path, before)
    check_output(tmp_path, before, resume=True)
    with pytest.raises(InputError, match=message):
        check_output(tmp_path, settings, resume=True)


def test_what_tells_a_checkpoint_from_others():
    entry = {"name": "a", "checkpoint": "x/a", "step": 1, "ema": True, "weights_crc32": "7"}

    def identity(entry, **fields):
        config = tiny_config()
        config.update(fields)
        return models.identity(entry, Checkpoint(config, None, None))

    same = identity(entry)
    assert identity({**entry, "checkpoint": "./x/a"}) == same
    assert identity(entry, total_steps=7) == same
    assert identity({**entry, "weights_crc32": "8"}) != same
    assert identity(entry, image_size=(64, 64)) != same


def test_first_frames_of_another_size_are_reported():
    clips = [clip("a"), clip("b", error="cannot be read"), clip("c", count=0)]
    check_first_frames(clips, SIZE)
    other = clip("d", size=(8, 24))
    for wrong in (other, clip("e")._replace(source=other.frames)):
        with pytest.raises(FrameSizeError, match="24 x 8 pixels and the checkpoint takes 16 x 16"):
            check_first_frames([*clips, wrong], SIZE)


def test_clips_are_found_without_opening_them(tmp_path, monkeypatch):
    write_clips(tmp_path)
    (tmp_path / "test/video.mp4").touch()
    opened = []

    def open_video(path, **options):
        opened.append(path.name)
        raise InputError("no video")

    monkeypatch.setattr(clips_of_data, "open_video", open_video)
    config = tiny_config()
    with config.unlocked():
        config.dataset = {"path": str(tmp_path)}
    *_, video = clips_for_test(config)
    assert opened == []
    assert video.frame_rate() == 25
    assert opened == ["video.mp4"]


class Repeater:
    """Stands where a Reconstructor does."""

    size = SIZE

    def __init__(self, begins):
        self.begins = begins

    def run(self, frames, *, source, truth, sink):
        self.begins()
        frames = np.stack(list(frames))
        sink(frames, frames, frames)
        return ClipResult(len(frames), {"l1": 0.0}, {"l1": 0.0})


def test_a_clip_begins_while_the_one_before_is_packed(tmp_path, monkeypatch):
    begun, packing = [], threading.Event()
    encode = WidePicture._encode

    def begins():
        begun.append(None)
        if len(begun) == 2:
            packing.set()

    def waits(self):
        assert packing.wait(60)
        encode(self)

    monkeypatch.setattr(WidePicture, "_encode", waits)
    broken = share.run_share(
        Repeater(begins), tmp_path, [clip("a"), clip("x", error="!"), clip("b")]
    )
    assert broken == {"x": "!"}
    files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.glob("*/*"))
    assert files == [f"{kind}" for kind in (
        "clips/a.json", "clips/b.json", "png/a.png", "png/b.png", "video/a.mp4", "video/b.mp4",
    )]  # fmt: skip


def test_nothing_is_half_written_when_the_end_of_a_clip_fails(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(WidePicture, "_encode", full)
    with pytest.raises(InputError, match="a.png: No space left"):
        share.run_share(Repeater(lambda: None), tmp_path, [clip("a"), clip("b"), clip("c")])
    assert not [path for path in tmp_path.glob("*/*") if path.parent.name != "video"]
    assert not list(tmp_path.glob("*/.*"))


def test_a_failure_to_write_names_the_file(tmp_path, monkeypatch):
    replace_text(tmp_path / "a.txt", "caf\udce9 \u00e9")
    assert (tmp_path / "a.txt").read_bytes() == b"caf\\udce9 \xc3\xa9"

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left") as error:
        replace_bytes(tmp_path / "a.txt", b"more")
    assert error.value.filename == str(tmp_path / "a.txt")


def test_the_page_ranks_no_checkpoints_by_their_own_keypoints():
    entries = [
        {"name": name, "totals": {"l1": l1, "keypoints": own}, "static": {}, "detections": []}
        for name, l1, own in (("a", 0.125, 0.25), ("b", 0.25, 0.125))
    ]
    metrics = {"models": entries, "data": {"dataset": ""}}
    table = report._table(metrics, make_table(metrics))
    assert table.count("class=best") == 1
    assert "class=best>0.1250<" in table


@pytest.mark.parametrize("name", ["truth", "run.json", "metrics.json", "report.html", ".lock"])
def test_a_checkpoint_with_the_name_of_another_file_of_the_output(tmp_path, name):
    (tmp_path / "x" / name).mkdir(parents=True)
    (tmp_path / "x" / name / "model.safetensors").touch()
    (chosen,) = models.choose_checkpoints([str(tmp_path / "x" / name)])
    assert chosen.name == f"x-{name}"


@pytest.mark.parametrize("weights", ["model.safetensors", "variables"])
def test_a_step_is_for_training_runs_alone(tmp_path, weights):
    (tmp_path / weights).mkdir() if weights == "variables" else (tmp_path / weights).touch()
    (chosen,) = models.choose_checkpoints([str(tmp_path)], step="best")
    assert (chosen.folder, chosen.step) == (tmp_path, None)
    with pytest.raises(InputError, match="no steps to choose of"):
        models.choose_checkpoints([f"{tmp_path}@best"])


def test_sheets_that_are_there_are_kept(tmp_path):
    (tmp_path / "sheets").mkdir()
    (tmp_path / "sheets" / "a.png").touch()
    report._draw_sheets(None, [clip("a"), clip("b")], {"a": 2}, tmp_path)  # with no checkpoint
    assert os.listdir(tmp_path / "sheets") == ["a.png"]
