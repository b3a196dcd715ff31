"""The folder that an evaluation writes; an interrupted evaluation can be resumed in it.

OUTPUT/run.json                 the settings, which must not change when it is resumed
OUTPUT/metrics.json             all numbers; there once the run is done
OUTPUT/report.html              the page to look at
OUTPUT/MODEL/png/CLIP.png       results side by side, lossless
OUTPUT/MODEL/video/CLIP.mp4     source | driving | result | difference, or truth
OUTPUT/MODEL/clips/CLIP.json    the clip's numbers; the last of its files to be written
OUTPUT/MODEL/sheets/CLIP.png    every step of the model, for the clips that the report shows
OUTPUT/MODEL/tables/NAME.jsonl  what a detector found in the results; NAME.maker.json: which one
OUTPUT/truth/                   png/ and tables/ of the real clips, for a detector
"""

import contextlib
import json
import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import numpy as np

from tpsm_jax.errors import InputError, writing
from tpsm_jax.evaluation.wide_picture import WidePicture
from tpsm_jax.media.video_writer import FrameWriter
from tpsm_jax.parallel.distributed import on_first_process
from tpsm_jax.runtime.atomic_files import replace_text
from tpsm_jax.runtime.json_files import parse_json
from tpsm_jax.runtime.run_lock import LOCK, only_run
from tpsm_jax.runtime.safe_names import safe_name

RUN, METRICS, REPORT = "run.json", "metrics.json", "report.html"
PNG, VIDEO, CLIPS, SHEETS, TABLES = "png", "video", "clips", "sheets", "tables"
TRUTH = "truth"  # a folder next to the models'
_SUFFIXES = {PNG: ".png", VIDEO: ".mp4", CLIPS: ".json", SHEETS: ".png"}
_DELETE = "delete it, and give --resume"
_RECORD = ("name", "frames", "metrics", "static")
_BATCHES_WAITING = 2  # batches that wait to be written while more are computed
DIFFERENCE_GAIN = 4


def check_output(output: Path, settings: Mapping[str, Any], *, resume: bool) -> None:
    """Checks that the folder is empty, or holds an evaluation that can be resumed.

    Args:
      output: the folder.
      settings: everything that decides the numbers, as plain JSON.
      resume: whether to resume an evaluation that is there.

    Raises:
      InputError: it holds something else, or an evaluation with other settings, or one and
        `resume` is False.
    """
    settings = json.loads(json.dumps(settings))
    with writing(output):
        output.mkdir(parents=True, exist_ok=True)
        present = sorted(entry.name for entry in output.iterdir() if entry.name[0] != ".")
    if not present:
        return
    if RUN not in present:
        raise InputError(
            f"{output} holds other things than an evaluation ({present[0]}): name a new folder"
        )
    before = _read_object(output / RUN, "name a new folder")
    if before != settings:
        field, old, new = _first_difference("", before, settings)
        raise InputError(
            f"{output} is another run's: its {field} is {_short(old)} and not {_short(new)}; "
            "name a new folder"
        )
    if not resume:
        raise InputError(
            f"{output} holds this evaluation already: give --resume to resume it, or name a new one"
        )


@contextlib.contextmanager
def only_evaluation(output: Path) -> Iterator[None]:
    """Keeps other evaluations out of a folder while the block runs. Every process calls it.

    Args:
      output: the folder, made if missing.

    Raises:
      InputError: another evaluation writes there, or nothing can be written there.
    """
    with contextlib.ExitStack() as stack:

        def lock() -> None:
            with writing(output):
                output.mkdir(parents=True, exist_ok=True)
                stack.enter_context(only_run(output / LOCK, f"evaluating into {output}"))

        on_first_process(lock)
        yield


def claim_output(output: Path, settings: Mapping[str, Any]) -> None:
    """Marks a folder that passed `check_output` as this evaluation's.

    Call it before any other process writes there: it removes unfinished files.

    Args:
      output: the folder.
      settings: settings of the run, as for `check_output`.

    Raises:
      OSError: it cannot be written.
    """
    if not (output / RUN).exists():
        write_json(output / RUN, settings)
    # Files that a killed run was writing.
    for unfinished in output.glob("*/*/.*"):
        if unfinished.is_file():
            unfinished.unlink()


def write_json(path: Path, value: Any) -> None:
    """Writes a file whole or not at all; NaN and infinity, which JSON lacks, become null."""
    replace_text(path, json.dumps(_finite(value), indent=2, allow_nan=False) + "\n")


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _read_object(path: Path, what_to_do: str, fields: Sequence[str] = ()) -> dict[str, Any]:
    try:
        value = parse_json(path.read_text())
        if isinstance(value, dict) and value.keys() >= set(fields):
            return value
    except ValueError:
        pass
    raise InputError(f"{path} is damaged: {what_to_do}")


def clip_file(folder: Path, kind: str, name: str) -> Path:
    """Returns the path of a clip's file.

    Args:
      folder: the folder of a model, or of the truth.
      kind: `PNG`, `VIDEO`, `CLIPS` or `SHEETS`.
      name: the clip's name.

    Raises:
      InputError: the name would lead out of the folder, or cannot be a file's.
    """
    return folder / kind / f"{safe_name(name, 'a clip')}{_SUFFIXES[kind]}"


def _is_record(record: Mapping[str, Any]) -> bool:
    numbers = (record["metrics"], record["static"])
    return (
        type(record["frames"]) is int
        and 0 < record["frames"] < 2**31
        and all(isinstance(each, dict) and all(map(_is_number, each.values())) for each in numbers)
    )


def _is_number(value: Any) -> bool:
    # Larger ones have no sum.
    return value is None or (type(value) in (int, float) and abs(value) < 1e100)


def finished_clip(folder: Path, name: str) -> dict[str, Any] | None:
    """Reads the record of a clip, or returns None if its files are not all there.

    Raises:
      InputError: it is damaged.
    """
    path = clip_file(folder, CLIPS, name)
    if not path.is_file():
        return None
    record = _read_object(path, _DELETE, _RECORD)
    if record["name"] != name or not _is_record(record):
        raise InputError(f"{path} is damaged: {_DELETE}")
    for key in ("metrics", "static"):
        numbers = record[key].items()
        record[key] = {each: math.nan if value is None else value for each, value in numbers}
    return record


class ClipFiles:
    """Writes the picture and the video of a clip in its own thread. A context manager.

    If its block ends with an exception, it leaves neither.
    """

    def __init__(self, folder: Path, name: str, frame_rate: float, source: np.ndarray | None):
        """Opens the files.

        Args:
          folder: the model's folder.
          name: the clip's name.
          frame_rate: frames a second.
          source: [H, W, 3] uint8; the first driving frame if None.
        """
        for kind in (PNG, VIDEO, CLIPS):
            (folder / kind).mkdir(parents=True, exist_ok=True)
        self._stack = contextlib.ExitStack()
        self._picture = self._stack.enter_context(WidePicture(clip_file(folder, PNG, name)))
        video = FrameWriter(clip_file(folder, VIDEO, name), fps=frame_rate)
        self._video = self._stack.enter_context(video)
        # It runs before the files are moved into place or discarded.
        self._stack.push(self._end_thread)
        self._source = source
        self._with_difference = source is None
        self._thread = ThreadPoolExecutor(1, "clip_files")
        self._waiting: deque[Future[None]] = deque()

    def write(
        self, driving: np.ndarray, results: np.ndarray, truth: np.ndarray | None = None
    ) -> None:
        """Queues [n, H, W, 3] uint8 each; waits while too many batches are queued."""
        if len(self._waiting) == _BATCHES_WAITING:
            self._waiting.popleft().result()
        self._waiting.append(self._thread.submit(self._write, driving, results, truth))

    def _write(self, driving: np.ndarray, results: np.ndarray, truth: np.ndarray | None) -> None:
        if self._source is None:
            self._source = driving[0]
        self._picture.write(results)
        for index, (frame, result) in enumerate(zip(driving, results, strict=True)):
            if truth is not None:
                cells = np.concatenate([self._source, frame, result, truth[index]], axis=1)
            else:
                cells = side_by_side(self._source, frame, result)
                if not self._with_difference:  # between two figures it means nothing
                    cells = cells[:, : 3 * frame.shape[1]]
            self._video.write(cells)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def _end_thread(self, kind: type[BaseException] | None, *_: object) -> None:
        self._thread.shutdown(cancel_futures=kind is not None)
        if kind is None:
            for written in self._waiting:
                written.result()


def side_by_side(source: np.ndarray, driving: np.ndarray, result: np.ndarray) -> np.ndarray:
    """Source | driving | result | difference.

    Args:
      source: [H, W, 3] uint8.
      driving: [H, W, 3] uint8.
      result: [H, W, 3] uint8.

    Returns:
      [H, 4 W, 3] uint8; the difference of result and driving is multiplied by
      `DIFFERENCE_GAIN`.
    """
    difference = np.abs(result.astype(np.int16) - driving) * DIFFERENCE_GAIN
    cells = [source, driving, result, np.minimum(difference, 255).astype(np.uint8)]
    return np.concatenate(cells, axis=1)


def _first_difference(name: str, old: Any, new: Any) -> tuple[str, Any, Any]:
    """The first field in which two values differ, and both values there."""
    if isinstance(old, dict) and isinstance(new, dict):
        fields = sorted(old.keys() | new.keys())
        pairs = [(field, old.get(field), new.get(field)) for field in fields]
        # A field that only one has, and that is null there.
        pairs += [(each, "nothing", None) for each in old.keys() ^ new.keys()]
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = [(name, *each) for each in zip(old, new, strict=True)]
    else:
        return name, old, new
    return next(_first_difference(*pair) for pair in pairs if pair[1] != pair[2])


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) < 80 else f"{text[:77]}..."
