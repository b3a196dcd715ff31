"""Makes the README's table and picture of speed from the benchmarks' results.

  python docs/make_benchmark_plot.py runs/bench

FOLDER holds the JSON files that `make bench REFERENCE=...` writes. Their headline rows, each with
our time and the official code's for one question, become a table, which is printed as Markdown, and
bars, docs/images/speed.png.
"""

import json
import math
import sys
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from tpsm_jax.cli import ArgumentParser, local_path, run_script
from tpsm_jax.errors import InputError
from tpsm_jax.runtime.atomic_files import replaced

PATH = Path(__file__).parent / "images" / "speed.png"
ORDER = ("animate", "train", "evaluate", "data")  # the first files; others come after them
WIDTH, ROW, GAP, RIGHT, TOP, BOTTOM = 760, 34, 14, 60, 14, 34
INK, PALE, LINE = (40, 40, 48), (120, 120, 130), (215, 218, 224)
FASTER, SLOWER = (43, 108, 176), (192, 86, 33)
SCALE = 3  # drawn three times as large, then reduced, which smooths the edges

Row = dict[str, Any]


def main() -> None:
    """Reads, prints the table, and writes the picture."""
    parser = ArgumentParser(__doc__)
    parser.add_argument("folder", type=local_path, help="with the benchmarks' JSON files")
    parser.add_argument("--output", type=local_path, default=PATH, help="PNG file to write")
    args = parser.parse_args()
    machines, rows = read_headlines(args.folder)
    print(table(rows))
    print(f"\n{'; '.join(machines)}", file=sys.stderr)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    picture = draw(rows).quantize(64, dither=Image.Dither.NONE)
    with replaced(args.output) as partial:
        picture.save(partial, "PNG", optimize=True)


def read_headlines(folder: Path) -> tuple[list[str], list[Row]]:
    """Reads the machines that measured, and the headline rows of all files.

    Raises:
      InputError: the folder holds no such row, or a file that no benchmark wrote.
    """

    def place(path: Path) -> tuple[int, str]:
        known = (i for i, name in enumerate(ORDER) if path.stem.startswith(name))
        return next(known, len(ORDER)), path.stem

    machines, rows = [], []
    for path in sorted(folder.glob("*.json"), key=place):
        try:
            results = json.loads(path.read_text(encoding="utf-8"))
            found = [row for row in results["rows"] if row.get("headline")]
            machines.append(results["machine"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{path} is no file of a benchmark's results") from error
        rows += found
    if not rows:
        raise InputError(
            f"{folder} compares nothing with the official code: make bench REFERENCE=..."
        )
    return list(dict.fromkeys(machines)), rows


def table(rows: list[Row]) -> str:
    """Formats the rows as a Markdown table."""
    lines = ["| | ours | official code | times as fast |", "|---|---|---|---|"]
    for row in rows:
        ours, reference = (f"{row[key]:.3g} {row['unit']}" for key in ("ours", "reference"))
        spread = f"{number(row['ratio_low'])} to {number(row['ratio_high'])}"
        cells = (row["question"], ours, reference, f"**{number(row['ratio'])}** ({spread})")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def number(value: float) -> str:
    """Formats a ratio: two decimals below 10, none above."""
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


def draw(rows: list[Row]) -> Image.Image:
    """Draws bars from 1 (as fast as the official code) on a log axis, with the rounds' spread."""
    height = TOP + ROW * len(rows) + BOTTOM
    picture = Image.new("RGB", (WIDTH * SCALE, height * SCALE), "white")
    pen = ImageDraw.Draw(picture)
    font, small = (ImageFont.load_default(size * SCALE) for size in (14, 12))
    low = min(0.8, *(row["ratio_low"] for row in rows))
    high = max(2.5, *(row["ratio_high"] for row in rows))

    left = 2 * SCALE * GAP + max(pen.textlength(row["question"], font) for row in rows)

    def x(ratio: float) -> float:
        share = math.log(ratio / low) / math.log(high / low)
        return left + share * (SCALE * (WIDTH - RIGHT) - left)

    bottom = SCALE * (height - BOTTOM)
    ticks = [t for t in (0.25, 0.5, 1, 2, 5, 10, 20, 50, 100, 200) if low <= t <= high]
    for tick in ticks:
        place = (x(tick), SCALE * TOP, x(tick), bottom)
        pen.line(place, fill=PALE if tick == 1 else LINE, width=SCALE)
        label = "as fast" if tick == 1 else f"{tick:g}x"
        pen.text((x(tick), bottom + 6 * SCALE), label, fill=PALE, font=small, anchor="ma")
    for i, row in enumerate(rows):
        middle = SCALE * (TOP + ROW * (i + 0.5))
        question = (left - SCALE * GAP, middle)
        pen.text(question, row["question"], fill=INK, font=font, anchor="rm")
        ratio = row["ratio"]
        ends = sorted((x(1), x(ratio)))
        half = 9 * SCALE
        bar = (ends[0], middle - half, ends[1], middle + half)
        pen.rounded_rectangle(bar, 2 * SCALE, fill=FASTER if ratio >= 1 else SLOWER)
        spread = (x(row["ratio_low"]), middle, x(row["ratio_high"]), middle)
        pen.line(spread, fill=INK, width=2 * SCALE)
        label_at = (max(ends[1], spread[2]) + 8 * SCALE, middle)
        pen.text(label_at, f"{number(ratio)}x", fill=INK, font=font, anchor="lm")
    return picture.resize((WIDTH, height), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    run_script(main)
