"""Tables and JSON with odd values in the places of good ones, as text that still parses."""

import copy
import csv
import io
import json
import random
from collections.abc import Callable
from typing import Any

from tests.helpers.fuzzing import mutated

_DEEP = "a value nested deeply"
_MANY_DIGITS = "a number of many digits"
_VALUES: list[Callable[[], Any]] = [
    lambda: None, lambda: True, lambda: False, lambda: -1, lambda: 0, lambda: 1, lambda: 0.5,
    lambda: 1e308, lambda: -1e308, lambda: 5e-324, lambda: float("nan"), lambda: float("inf"),
    lambda: 2**31, lambda: 2**63, lambda: 2**64, lambda: 10**400, lambda: -(10**30),
    lambda: 1_000_000, lambda: "", lambda: "1", lambda: "nan", lambda: "text", lambda: "\0",
    lambda: "\ud800", lambda: "\x1b[2J\n", lambda: "x" * 5000, lambda: "zoë#1", list,
    dict, lambda: [[]], lambda: [1, "a"], lambda: [[1, 2], [3]], lambda: {"a": {}},
    lambda: _DEEP, lambda: _MANY_DIGITS,
]  # fmt: skip
_CELLS = [
    "", " ", "-", "0", "-1", "1e999", "nan", "inf", "-inf", "1" * 5000, "x" * 5000, "0-0-0", "1_0",
    "a\0b", "\ud800", "²", "٣", '"', "'", "\n", "0-0-9-9-9", "-5--5-9-9", "1e308", "train", "#",
    "3.5", "99999999999999999999", "\ufeff", "1e-320",
]  # fmt: skip


def odd_json(rng: random.Random, text: bytes) -> bytes:
    """Changes JSON, or a file of one JSON object a line: its bytes, or values within it."""
    if rng.random() < 0.35:
        return mutated(rng, text)
    whole = json.loads if text.count(b"\n{") == 0 else _lines
    value = whole(text)
    for _ in range(rng.choice([1, 1, 2, 4])):
        value = _changed(rng, value)
    if whole is json.loads:
        return _dumped(value)
    return b"".join(_dumped(line) + b"\n" for line in value) if isinstance(value, list) else b""


def odd_csv(rng: random.Random, text: bytes) -> bytes:
    """Changes CSV: its bytes, or fields within it."""
    if rng.random() < 0.35:
        return mutated(rng, text)
    rows = list(csv.reader(io.StringIO(text.decode())))
    for _ in range(rng.choice([1, 1, 2, 4])):
        row = rng.choice(rows)
        way = rng.randrange(5)
        if way == 0 and row:
            del row[rng.randrange(len(row))]
        elif way == 1:
            row.insert(rng.randrange(len(row) + 1), rng.choice(_CELLS))
        elif way == 2:
            rows.append(list(rng.choice(rows)))
        elif row:
            row[rng.randrange(len(row))] = rng.choice(_CELLS)
    written = io.StringIO(newline="")
    csv.writer(written).writerows(rows)
    return written.getvalue().encode(errors="surrogatepass")


def _lines(text: bytes) -> list[Any]:
    return [json.loads(line) for line in text.splitlines() if line]


def _dumped(value: Any) -> bytes:
    text = json.dumps(value, ensure_ascii=True)
    text = text.replace(json.dumps(_DEEP), "[" * 100_000 + "]" * 100_000)
    return text.replace(json.dumps(_MANY_DIGITS), "7" * 10_000).encode()


def _changed(rng: random.Random, value: Any) -> Any:
    """A copy with one value, key or item changed, at any depth."""
    value = copy.deepcopy(value)
    places = list(_places(value))
    if not places:
        return rng.choice(_VALUES)()
    holder, key = rng.choice(places)
    way = rng.randrange(6)
    if way == 0:
        del holder[key]
    elif way == 1 and isinstance(holder, dict):
        holder[rng.choice(["", "name", "x" * 300, "0", "\ud800"])] = holder.pop(key)
    elif way == 2 and isinstance(holder, list):
        holder.append(copy.deepcopy(rng.choice(holder)))
    elif way == 3:
        other, at = rng.choice(places)
        holder[key] = copy.deepcopy(other[at])
    else:
        holder[key] = rng.choice(_VALUES)()
    return value


def _places(value: Any) -> Any:
    if not isinstance(value, (dict, list)):
        return
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], (dict, list)):
            yield from _places(value[key])
