"""AKD, MKR and AED of an evaluation, from tables that a detector makes of its pictures."""

import contextlib
import os
import shlex
import shutil
import subprocess
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from tpsm_jax.errors import InputError
from tpsm_jax.evaluation.clip_frames import BrokenClipError, EvaluationClip, checked_frames
from tpsm_jax.evaluation.keypoint_tables import (
    Frames,
    Table,
    compare_tables,
    read_table,
)
from tpsm_jax.evaluation.maker import describe_maker
from tpsm_jax.evaluation.output import PNG, TABLES, TRUTH, clip_file, write_json
from tpsm_jax.evaluation.wide_picture import WidePicture
from tpsm_jax.media.video_reader import without_suffix
from tpsm_jax.runtime.json_files import parse_json

_ROOT = Path(__file__).resolve().parents[2]
_SOURCES = _ROOT / "detectors"
DETECTORS = {
    kind: f"make -s -C {shlex.quote(str(_ROOT))} detector-table INPUT={{input}} OUTPUT={{output}} "
    f"KIND={kind} ARGS=--frame_shape={{height}},{{width}}"
    for kind in ("face", "body")
}
_PLACES = ("{input}", "{output}")
_MAKER = ".maker.json"
_STDERR = 2


class Detector(NamedTuple):
    """A command that looks at pictures and writes a table, see `keypoint_tables`.

    Attributes:
      name: the name of its tables' files.
      command: a program and its arguments. In them {input} is a folder of wide pictures, {output}
        the table to write (.jsonl), {height} and {width} the size of a frame.
      sources: files that it runs and does not name.
    """

    name: str
    command: str
    sources: tuple[Path, ...] = ()

    def words(self) -> list[str]:
        """The program and its arguments.

        Raises:
          InputError: it lacks a placeholder, or there is no such program.
        """
        try:
            words = shlex.split(self.command)
        except ValueError as error:
            raise InputError(f"the detector {self.command!r}: {error}") from None
        for place in _PLACES:
            if place not in self.command:
                raise InputError(f"the detector {self.command!r} has no {place}")
        if shutil.which(words[0]) is None:
            raise InputError(f"the detector {self.command!r}: there is no program {words[0]}")
        return words

    def maker(self) -> dict[str, Any]:
        """What its tables depend on besides the pictures, see `describe_maker`."""
        return describe_maker(self.command, self.words(), self.sources)


def find_detector(text: str) -> Detector:
    """Makes a detector from a key of `DETECTORS`, or from a command.

    Raises:
      InputError: it cannot be called, see `Detector.words`.
    """
    if text in DETECTORS:
        sources = sorted(path for path in _SOURCES.glob("*") if path.suffix in (".py", ".txt"))
        detector = Detector(text, DETECTORS[text], tuple(sources))
    else:
        detector = Detector(f"{zlib.crc32(os.fsencode(text)):08x}", text)
    detector.words()
    return detector


def write_truth(output: Path, clips: Sequence[EvaluationClip], size: tuple[int, int]) -> None:
    """Writes the real clips in the form of the results, so that a detector sees both alike.

    Args:
      output: the folder of the evaluation.
      clips: the clips to write; those already there, and those that cannot be read, are skipped.
      size: (height, width) of the frames.

    Raises:
      InputError: they cannot be written.
    """
    folder = output / TRUTH
    (folder / PNG).mkdir(parents=True, exist_ok=True)
    for clip in tqdm(clips, TRUTH, unit="clip", leave=False):
        path = clip_file(folder, PNG, clip.name)
        if not path.is_file():
            with contextlib.suppress(BrokenClipError), WidePicture(path) as picture:
                for frame in checked_frames(clip.frames, clip.name, size):
                    picture.write(frame[None])


def run_detector(
    folder: Path, detector: Detector, size: tuple[int, int], maker: Mapping[str, Any]
) -> Path:
    """Makes a table of what a detector finds in the pictures of a folder.

    Args:
      folder: the truth's or a model's; it has the pictures in png/ and gets the table in tables/.
      detector: the command to run.
      size: (height, width) of the frames.
      maker: what `Detector.maker` returned; kept next to the table.

    Returns:
      The table. One of the same maker that is newer than all pictures is kept.

    Raises:
      InputError: the command fails.
    """
    table = folder / TABLES / f"{detector.name}.jsonl"
    record = table.with_suffix(_MAKER)
    pictures = folder / PNG
    if table.is_file() and _read_maker(record) == maker:
        made = table.stat().st_mtime_ns
        if all(picture.stat().st_mtime_ns <= made for picture in pictures.iterdir()):
            return table
    table.parent.mkdir(exist_ok=True)
    record.unlink(missing_ok=True)
    partial = table.with_name(f".{table.name}")
    values = {
        "{input}": pictures.resolve(), "{output}": partial.resolve(),
        "{height}": size[0], "{width}": size[1],
    }  # fmt: skip
    words = []
    for word in detector.words():
        for place, value in values.items():
            word = word.replace(place, str(value))
        words.append(word)
    # Its output must not mix with what the evaluation prints on stdout.
    code = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=_STDERR, check=False).returncode
    if code or not partial.is_file():
        why = f"ended with code {code}" if code else f"wrote no {partial}"
        raise InputError(f"the detector {why}; it was called as {shlex.join(words)}")
    partial.replace(table)
    write_json(record, maker)
    return table


def _read_maker(record: Path) -> Any:
    try:
        return parse_json(record.read_text())
    except (OSError, ValueError):
        return None


def add_scores(output: Path, models: Sequence[dict[str, Any]], tables: Sequence[Path]) -> None:
    """Adds the numbers of a detector's tables to an evaluation's.

    AKD, MKR and AED go to the models' totals, to the baseline's that repeats the source, and to the
    clips.

    Args:
      output: the folder of the evaluation.
      models: entries of metrics.json.
      tables: the truth's, and one of each model's results. They may hold other clips too.

    Raises:
      InputError: the tables cannot be read, do not match each other or the clips, or give numbers
        that another detector has given already.
    """
    truth_path, *result_paths = tables
    truth = read_table(truth_path)
    for model, path in zip(models, result_paths, strict=True):
        frames = {clip["name"]: _frames_of(clip) for clip in model["clips"]}
        wanted = {frame for of_clip in frames.values() for frame in of_clip}
        if len(wanted) < model["frames"]:
            raise InputError("two of the clips have one name but for the suffix: rename one")
        true = _of_clips(truth, wanted, truth_path)
        ours = _of_clips(read_table(path), wanted, path)
        scores = compare_tables(true, ours)
        numbers = scores.numbers()
        if twice := sorted(numbers.keys() & model["totals"].keys()):
            raise InputError(
                f"two detectors give {twice[0].upper()}, which cannot stand in one table: "
                "evaluate once with each"
            )
        still = true._replace(frames={key: true.frames[key[0], 0] for key in true.frames})
        model["totals"] |= numbers
        model["static"] |= compare_tables(true, still).numbers()
        for clip in model["clips"]:
            parts = (_part(table, frames[clip["name"]]) for table in (true, ours, still))
            true_part, our_part, still_part = parts
            clip["metrics"] |= compare_tables(true_part, our_part).numbers()
            clip["static"] |= compare_tables(true_part, still_part).numbers()
        model["detections"].append(
            {
                "detector": truth.detector,
                "metrics": sorted(numbers),
                "truth_table": _within(output, truth_path),
                "result_table": _within(output, path),
                "frames": scores.frames,
                "compared": scores.compared,
                "missing_in_truth": scores.missing_in_truth,
                "missing_in_result": scores.missing_in_result,
            }
        )


def _frames_of(clip: dict[str, Any]) -> list[tuple[str, int]]:
    return [(without_suffix(clip["name"]), number) for number in range(clip["frames"])]


def _of_clips(table: Table, wanted: set[tuple[str, int]], path: Path) -> Table:
    clips = {clip for clip, _ in wanted}
    present = {frame for frame in table.frames if frame[0] in clips}
    for frames, what in ((wanted - present, "lacks"), (present - wanted, "has beyond them")):
        if frames:
            clip, number = min(frames)
            raise InputError(
                f"{path} is not of the clips evaluated: it {what} {len(frames)} frames, the first "
                f"of them frame {number} of {clip}"
            )
    return _part(table, present)


def _part(table: Table, frames: Any) -> Table:
    kept: Frames = {frame: table.frames[frame] for frame in frames}
    return table._replace(frames=kept)


def _within(output: Path, path: Path) -> str:
    return str(path.relative_to(output) if path.is_relative_to(output) else path)
