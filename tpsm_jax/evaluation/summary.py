"""The numbers of all checkpoints as one table."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tpsm_jax.evaluation.keypoint_tables import DETECTOR_METRICS
from tpsm_jax.evaluation.measures import MEASURES
from tpsm_jax.evaluation.output import METRICS, REPORT
from tpsm_jax.evaluation.published import PUBLISHED

STATIC = "repeating the source"
_ONE_DETECTOR = (
    "AKD, MKR and AED compare only within one detector, at one size of pictures; published ones "
    "are by others."
)


class Table(NamedTuple):
    """Rows of text.

    Attributes:
      titles: the columns' titles, the first that of the names.
      rows: a name, and a cell for each further title.
      names: the metrics' names, one for each title but the first.
      notes: lines to show below.
    """

    titles: list[str]
    rows: list[list[str]]
    names: list[str]
    notes: list[str]


def make_table(metrics: Mapping[str, Any]) -> Table:
    """Makes the table of an evaluation.

    Args:
      metrics: what `evaluate` returned.

    Returns:
      A row for each model, for the baseline that repeats the source if it was measured, and for
      published numbers of the data set.
    """
    models = metrics["models"]
    published = PUBLISHED.get(metrics["data"]["dataset"], [])
    numbers = [*(model["totals"] for model in models), *(row.metrics for row in published)]
    names = [name for name in MEASURES if any(name in row for row in numbers)]
    rows = [[model["name"], *_cells(model["totals"], names)] for model in models]
    if models[0]["static"]:
        rows.append([STATIC, *_cells(models[0]["static"], names)])
    for row in published:
        cells = [row.metrics.get(name, "") for name in names]
        rows.append([f"{row.method} (published: {row.source})", *cells])
    notes = _detections(models)
    if set(DETECTOR_METRICS) & set(names):
        notes.append(_ONE_DETECTOR)
    return Table(["", *map(_title, names)], rows, names, notes)


def as_text(table: Table) -> str:
    """Formats the table with aligned columns, and its notes below."""
    lines = [table.titles, *table.rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join([*(_line(cells, widths) for cells in lines), *table.notes])


def print_summary(metrics: Mapping[str, Any], output: Path, seconds: float) -> None:
    """Prints the table, and a line about what was written.

    Args:
      metrics: what `evaluate` returned.
      output: the folder of the evaluation.
      seconds: how long it took.
    """
    print(as_text(make_table(metrics)))
    frames = sum(model["frames"] for model in metrics["models"])
    left_out = f", {len(metrics['broken'])} clips left out" if metrics["broken"] else ""
    print(f"wrote {output}/{METRICS} and {REPORT}: {frames} frames in {seconds:.0f} s{left_out}")


def format_number(name: str, value: float | None) -> str:
    """Formats a metric's value with its number of digits; empty for None."""
    return "" if value is None else f"{value:.{MEASURES[name].digits}f}"


def _detections(models: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each detector: its name, and in how many frames it found nothing."""
    lines = []
    for first, *others in zip(*(model["detections"] for model in models), strict=True):
        gives = ", ".join(name.upper() for name in first["metrics"]) or "No number"
        missing = "; ".join(
            f"{model['name']} {one['missing_in_result']}"
            for model, one in zip(models, [first, *others], strict=True)
        )
        lines.append(
            f"{gives}: by {first['detector'] or 'a detector that its tables do not name'}, which "
            f"found nothing in {first['missing_in_truth']} of {first['frames']} frames of the "
            f"clips, and in those of the results: {missing}."
        )
    return lines


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    name, *numbers = cells
    padded = [number.rjust(width) for number, width in zip(numbers, widths[1:], strict=True)]
    return "  ".join([name.ljust(widths[0]), *padded])


def _title(name: str) -> str:
    measure = MEASURES[name]
    arrow = {True: " \u2191", False: " \u2193", None: ""}[measure.more_is_better]
    return f"{measure.title}{arrow}"


def _cells(numbers: Mapping[str, float], names: Sequence[str]) -> list[str]:
    return [format_number(name, numbers.get(name)) for name in names]
