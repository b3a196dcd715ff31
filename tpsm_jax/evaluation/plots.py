"""Distributions over clips as plain SVG, which a page shows without loading anything."""

import html
from collections.abc import Mapping, Sequence

import numpy as np

from tpsm_jax.evaluation.summary import format_number

_BINS = 24
_WIDTH, _ROW, _LEFT, _BOTTOM = 520, 46, 150, 20
COLORS = ("#2b6cb0", "#c05621", "#2f855a", "#6b46c1", "#b83280")
STATIC_COLOR = "#8a8f98"


def distribution(
    name: str, values: Mapping[str, Sequence[float]], colors: Mapping[str, str]
) -> str:
    """Draws histograms one below the other over one axis, each with a mark at its median.

    Args:
      name: the metric's name.
      values: what is measured -> its value for each clip; not empty.
      colors: what is measured -> its color.

    Returns:
      An <svg> element.
    """
    everything = np.concatenate([np.asarray(row, float) for row in values.values()])
    low, high = float(everything.min()), float(everything.max())
    if high <= low:
        low, high = low - 0.5e-3, high + 0.5e-3
    counts = {key: np.histogram(row, _BINS, (low, high))[0] for key, row in values.items()}
    highest = max(int(row.max()) for row in counts.values())
    plot = _WIDTH - _LEFT - 12
    height = _ROW * len(values) + _BOTTOM
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'aria-label="distribution of {name} over clips">'
    ]
    for row, (key, numbers) in enumerate(values.items()):
        base = (row + 1) * _ROW
        label = html.escape(key)
        # A nested svg element clips labels that are too long.
        parts.append(
            f'<svg y="{base - _ROW}" width="{_LEFT - 10}" height="{_ROW}">'
            f'<title>{label}</title><text y="{_ROW - 14}">{label}</text></svg>'
        )
        parts.append(
            f'<line x1="{_LEFT}" x2="{_LEFT + plot}" y1="{base}" y2="{base}" class="axis"/>'
        )
        for index, count in enumerate(counts[key]):
            if not count:
                continue
            tall = (_ROW - 8) * count / highest
            start, end = (low + (high - low) * edge / _BINS for edge in (index, index + 1))
            between = f"{format_number(name, start)} to {format_number(name, end)}"
            parts.append(
                f'<rect x="{_LEFT + plot * index / _BINS:.1f}" y="{base - tall:.1f}" '
                f'width="{plot / _BINS - 1:.1f}" height="{tall:.1f}" fill="{colors[key]}">'
                f"<title>{count} of {len(numbers)}: {between}</title></rect>"
            )
        median = float(np.median(numbers))
        x = _LEFT + plot * (median - low) / (high - low)
        parts.append(
            f'<line class="median" x1="{x:.1f}" x2="{x:.1f}" y1="{base - _ROW + 6}" y2="{base}">'
            f"<title>median {format_number(name, median)}</title></line>"
        )
    for value, anchor, x in ((low, "start", _LEFT), (high, "end", _LEFT + plot)):
        parts.append(
            f'<text x="{x}" y="{height - 4}" text-anchor="{anchor}">'
            f"{format_number(name, value)}</text>"
        )
    return "".join([*parts, "</svg>"])
