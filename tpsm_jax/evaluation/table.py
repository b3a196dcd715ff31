"""The numbers of all checkpoints as one table."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tpsm_jax.evaluation.measures import MEASURES
from tpsm_jax.evaluation.published import PUBLISHED

STATIC = "repeating the source"
_OTHER_TITLES = {"akd": "AKD", "mkr": "MKR", "aed": "AED"}


class Table(NamedTuple):
    """Rows of text.

    Attributes:
      titles: of the columns, the first of the names.
      rows: a name, and a cell for each further title.
      names: of the metrics, one for each title but the first.
    """

    titles: list[str]
    rows: list[list[str]]
    names: list[str]


def make_table(metrics: Mapping[str, Any]) -> Table:
    """The table of an evaluation.

    Args:
      metrics: what `evaluate` returned.

    Returns:
      A row for each model, for repeating the source where it was measured, and for published
      numbers of the data set.
    """
    models = metrics["models"]
    published = PUBLISHED.get(metrics["data"]["dataset"], [])
    printed = {name for row in published for name in row.metrics}
    names = [name for name in MEASURES if name in models[0]["totals"]]
    names += [name for name in _OTHER_TITLES if name in printed]
    rows = [[model["name"], *_cells(model["totals"], names)] for model in models]
    if models[0]["static"]:
        rows.append([STATIC, *_cells(models[0]["static"], names)])
    for row in published:
        rows.append([f"{row.method} (published: {row.source})", *_cells(row.metrics, names)])
    return Table(["", *map(_title, names)], rows, names)


def as_text(table: Table) -> str:
    """The table with its columns one below the other."""
    lines = [table.titles, *table.rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(_line(cells, widths) for cells in lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    name, *numbers = cells
    padded = [number.rjust(width) for number, width in zip(numbers, widths[1:], strict=True)]
    return "  ".join([name.ljust(widths[0]), *padded])


def _title(name: str) -> str:
    if name in _OTHER_TITLES:
        return f"{_OTHER_TITLES[name]} \u2193"
    measure = MEASURES[name]
    arrow = {True: " \u2191", False: " \u2193", None: ""}[measure.more_is_better]
    return f"{measure.title}{arrow}"


def _cells(numbers: Mapping[str, float], names: Sequence[str]) -> list[str]:
    return [format_number(name, numbers.get(name)) for name in names]


def format_number(name: str, value: float | None) -> str:
    """A metric's value with as many digits as it deserves; empty for None."""
    if value is None:
        return ""
    digits = MEASURES[name].digits if name in MEASURES else 3
    return f"{value:.{digits}f}"
