"""The page of an evaluation: one file that needs neither a server nor a network."""

import base64
import contextlib
import html
import io
import math
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tpsm_jax.checkpoints.converted import Checkpoint
from tpsm_jax.evaluation.clip_frames import EvaluationClip, checked_frames
from tpsm_jax.evaluation.measures import MEASURES
from tpsm_jax.evaluation.output import DIFFERENCE_GAIN, REPORT, SHEETS, VIDEO, clip_file
from tpsm_jax.evaluation.plots import COLORS, STATIC_COLOR, distribution
from tpsm_jax.evaluation.reconstruction import Reconstructor
from tpsm_jax.evaluation.summary import STATIC, Table, format_number, make_table
from tpsm_jax.media.video_encoder import shrink_video
from tpsm_jax.media.visualize import animation_sheet
from tpsm_jax.runtime.atomic_files import replace_bytes, replace_text

_SHEET_FRAMES = 2
_SHEET_CELL = 96
_VIDEO_SECONDS, _VIDEO_WIDTH = 8, 1024

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1080px; margin: 2em auto; padding: 0 1em;
  color: #1d2129; }
h1 { font-size: 1.6em; } h2 { font-size: 1.2em; margin-top: 2em; border-bottom: 1px solid #dde; }
h3 { font-size: 1em; margin-bottom: .3em; }
h1, h2, h3, p, li, dd, td:first-child { overflow-wrap: anywhere; }
.table { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25em .5em; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; white-space: normal; min-width: 12em;
  padding-left: 0; }
tr + tr { border-top: 1px solid #e4e6ea; } td.best { font-weight: 650; }
tr.other { color: #6a707a; }
figure { margin: 0 0 1.5em; } figcaption { color: #555b66; font-size: .92em; }
video, img { max-width: 100%; display: block; image-rendering: auto; }
video { width: 100%; max-width: 880px; background: #111; }
.cells { display: grid; grid-template-columns: repeat(var(--cells), 1fr); max-width: 880px;
  font-size: .85em;
  color: #555b66; text-align: center; }
.plots { display: grid; gap: 0 2em;
  grid-template-columns: repeat(auto-fit, minmax(min(420px, 100%), 1fr)); }
.plots > div > svg { width: 100%; max-width: 560px; } svg text { font-size: 11px; fill: #444; }
svg .axis { stroke: #c8ccd4; } svg .median { stroke: #111; stroke-width: 1.5; }
details { margin: .5em 0; } summary { cursor: pointer; color: #2b6cb0; } .warn { color: #9b2c2c; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1em 1em; } dd { margin: 0; }
"""


def write_report(
    output: Path,
    metrics: Mapping[str, Any],
    clips: Sequence[EvaluationClip],
    loaded: Sequence[Checkpoint],
) -> None:
    """Writes report.html, and the sheets of the clips that it shows.

    Args:
      output: the folder of the evaluation.
      metrics: what `evaluate` returned.
      clips: what `evaluate` was given.
      loaded: what `evaluate` was given.

    Raises:
      InputError: a clip can no longer be read, or the page cannot be written.
    """
    sections = []
    for model, checkpoint in zip(metrics["models"], loaded, strict=True):
        shown = _choose(model)
        folder = output / model["name"]
        counts: dict[str, int] = {}  # only clips with a truth have a sheet
        if metrics["mode"] == "reconstruction":
            counts = {clip["name"]: clip["frames"] for _, clip in shown}
            _draw_sheets(checkpoint, clips, counts, folder)
        figures = []
        for role, clip in shown:
            name = clip["name"]
            sheet = clip_file(folder, SHEETS, name) if name in counts else None
            cells = _cells(metrics)
            figures.append(_figure(role, clip, cells, clip_file(folder, VIDEO, name), sheet))
        sections.append(f"<h2>{html.escape(model['name'])}</h2>" + "".join(figures))
    page = _page(metrics, "".join(sections))
    replace_text(output / REPORT, page)


def _choose(model: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """The best, median and worst clip with its role, by L1 if there is a truth; no clip twice."""
    name = "l1" if "l1" in model["totals"] else "keypoints"

    def key(clip: Mapping[str, Any]) -> tuple[bool, float, str]:
        value = clip["metrics"][name]
        return math.isnan(value), value, clip["name"]

    ordered = sorted(model["clips"], key=key)
    roles = {0: "best", len(ordered) // 2: "median", len(ordered) - 1: "worst"}
    if len(ordered) < 3:
        roles = {0: "best", 1: "worst"} if len(ordered) == 2 else {0: "all there is"}
    return [(role, ordered[index]) for index, role in sorted(roles.items())]


def _draw_sheets(
    checkpoint: Checkpoint,
    clips: Sequence[EvaluationClip],
    counts: Mapping[str, int],
    folder: Path,
) -> None:
    """Draws the missing sheets of the clips in `counts`: name -> number of frames.

    `folder` is the model's.
    """
    places = {name: clip_file(folder, SHEETS, name) for name in counts}
    missing = [clip for clip in clips if clip.name in counts and not places[clip.name].is_file()]
    if missing:
        (folder / SHEETS).mkdir(exist_ok=True)
        reconstructor = Reconstructor(checkpoint)
        for clip in missing:
            _draw_sheet(reconstructor, clip, counts[clip.name], places[clip.name])


def _draw_sheet(reconstructor: Reconstructor, clip: EvaluationClip, count: int, path: Path) -> None:
    wanted = [count * (index + 1) // (_SHEET_FRAMES + 1) for index in range(_SHEET_FRAMES)]
    frames = checked_frames(clip.frames, clip.name, reconstructor.size)
    with contextlib.closing(frames):
        chosen = [
            frame
            for index, frame in enumerate(islice(frames, wanted[-1] + 1))
            if index in (0, *wanted)
        ]
    source = chosen[0]
    driving = np.stack([chosen[min(index + 1, len(chosen) - 1)] for index in range(_SHEET_FRAMES)])
    outputs = reconstructor.sheet(source, driving)
    sheet = animation_sheet(outputs, source[None], driving, size=_SHEET_CELL, wrap=10)
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, "PNG")
    replace_bytes(path, buffer.getvalue())


def _cells(metrics: Mapping[str, Any]) -> list[str]:
    """What is side by side in the videos, see `output.ClipFiles`."""
    cells = ["source", "driving", "result"]
    if metrics["mode"] == "reconstruction":
        return [*cells, f"difference \u00d7 {DIFFERENCE_GAIN}"]
    return [*cells, "truth"] if metrics["data"].get("truth") else cells


def _figure(
    role: str, clip: Mapping[str, Any], cells: Sequence[str], video: Path, sheet: Path | None
) -> str:
    numbers = ", ".join(
        f"{MEASURES[name].title} {format_number(name, value)}"
        for name in MEASURES
        if (value := clip["metrics"].get(name)) is not None
    )
    name = html.escape(clip["name"])
    source = base64.b64encode(_small_video(video)).decode()
    play = "autoplay loop" if clip["frames"] > 1 else ""  # a loop of one frame loads forever
    parts = [
        f"<figure><h3>{role}: {name}</h3>",
        f'<video controls muted playsinline {play} src="data:video/mp4;base64,{source}"></video>',
        f'<div class="cells" style="--cells:{len(cells)}">'
        + "".join(f"<span>{cell}</span>" for cell in cells)
        + "</div>",
        f"<figcaption>{_count(clip['frames'], 'frame')}. {numbers}</figcaption>",
    ]
    if sheet is not None:
        parts.append(
            "<details open><summary>keypoints, warps, shares, flow and masks of two frames"
            f'</summary><img alt="sheet of {name}" src="data:image/webp;base64,{_webp(sheet)}">'
            "</details>"
        )
    return "".join([*parts, "</figure>"])


def _small_video(path: Path) -> bytes:
    """The video's first seconds, at the size of a page."""
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "small.mp4"
        shrink_video(path, small, width=_VIDEO_WIDTH, seconds=_VIDEO_SECONDS)
        return small.read_bytes()


def _webp(path: Path) -> str:
    buffer = io.BytesIO()
    with Image.open(path) as image:
        image.save(buffer, "WEBP", quality=80)
    return base64.b64encode(buffer.getvalue()).decode()


def _page(metrics: Mapping[str, Any], sections: str) -> str:
    is_reconstruction = metrics["mode"] == "reconstruction"
    what = "Reconstruction" if is_reconstruction else f"Animation ({metrics['mode']})"
    data = html.escape(metrics["data"]["path"])
    unit = "clips" if is_reconstruction else "pairs"
    first = metrics["models"][0]
    intro = (
        f"{_count(len(first['clips']), 'test clip' if is_reconstruction else 'pair')} of {data}, "
        f"{_count(first['frames'], 'frame')}. "
        + (
            "Each is reconstructed from its first frame and its own motion. Means are over all "
            "frames of all clips."
            if is_reconstruction
            else "Each pair moves the first frame of one clip by another; "
            + (
                "the result is compared with the drawn truth."
                if metrics["data"].get("truth")
                else "there is no truth to compare with."
            )
        )
    )
    broken = "".join(
        f"<li>{html.escape(entry['name'])}: {html.escape(entry['reason'])}</li>"
        for entry in metrics["broken"]
    )
    left_out = f'<p class="warn">Left out:</p><ul class="warn">{broken}</ul>' if broken else ""
    software = ", ".join(f"{name} {value}" for name, value in metrics["software"].items())
    table = make_table(metrics)
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width">'
        f"<title>{what} of {data}</title><style>{_STYLE}</style><body>"
        f"<h1>{what}</h1><p>{intro}</p>{left_out}{_table(metrics, table)}{_explained(table)}"
        f"<h2>Over {unit}</h2><p>Higher bars are more {unit}; the black line is the median.</p>"
        f"<div class=plots>{_plots(metrics)}</div>"
        f"{sections}"
        f"<h2>Made with</h2><p>{html.escape(software)}</p></body></html>\n"
    )


def _count(number: int, unit: str) -> str:
    return f"{number} {unit}{'s' * (number != 1)}"


def _finite(values: Iterable[float]) -> list[float]:
    return [value for value in values if math.isfinite(value)]


def _table(metrics: Mapping[str, Any], table: Table) -> str:
    head = "".join(f"<th>{html.escape(title)}</th>" for title in table.titles)
    count = len(metrics["models"])
    best = {
        name: (max if MEASURES[name].more_is_better else min)(values)
        for name in table.names
        if name in MEASURES
        and MEASURES[name].more_is_better is not None
        and count > 1
        and (values := _finite(m["totals"].get(name, math.nan) for m in metrics["models"]))
    }
    rows = []
    for index, (label, *cells) in enumerate(table.rows):
        marked = []
        for name, cell in zip(table.names, cells, strict=True):
            is_best = index < count and metrics["models"][index]["totals"].get(name) == best.get(
                name, np.nan
            )
            marked.append(f"<td{' class=best' * is_best}>{cell}</td>")
        kind = "" if index < count else " class=other"
        rows.append(f"<tr{kind}><td>{html.escape(label)}</td>{''.join(marked)}</tr>")
    notes = "".join(f"<p>{html.escape(note)}</p>" for note in table.notes)
    return f"<div class=table><table><tr>{head}</tr>{''.join(rows)}</table></div>{notes}"


def _explained(table: Table) -> str:
    terms = "".join(
        f"<dt>{MEASURES[name].title}</dt><dd>{MEASURES[name].meaning}</dd>" for name in table.names
    )
    return f"<details><summary>what the columns are</summary><dl>{terms}</dl></details>"


def _plots(metrics: Mapping[str, Any]) -> str:
    models = metrics["models"]
    colors = {m["name"]: COLORS[i % len(COLORS)] for i, m in enumerate(models)}
    colors[STATIC] = STATIC_COLOR
    plots = []
    for name, measure in MEASURES.items():
        values = {
            label: found
            for label, clips, key in [
                *((model["name"], model["clips"], "metrics") for model in models),
                (STATIC, models[0]["clips"], "static"),
            ]
            if (found := _finite(clip[key].get(name, math.nan) for clip in clips))
        }
        if values:
            plots.append(f"<div><h3>{measure.title}</h3>{distribution(name, values, colors)}</div>")
    return "".join(plots)
