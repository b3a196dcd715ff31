"""What made a table of detections: a table of another maker is made again."""

import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

_PYTHON = re.compile(r"python[\d.]*(\.exe)?")
# `-m package.module`, and package.module:Class as --detector of detectors.table takes it.
_MODULE = re.compile(r"([A-Za-z_]\w*)(\.\w+)*(:\w+)?")
_ASK = """
import importlib.metadata, importlib.util, json, sys
packages = {str(each.metadata["Name"]): each.version for each in importlib.metadata.distributions()}
modules = {}
for name in sys.argv[1:]:
    try:
        spec = importlib.util.find_spec(name)
    except ValueError:  # a name of Python's own
        spec = None
    if spec is not None:
        modules[name] = list(spec.submodule_search_locations or [spec.origin])
print(json.dumps({"python": sys.version, "packages": packages, "modules": modules}))
"""
_ASK_SECONDS = 120
_BLOCK = 2**20


def package_version() -> str:
    """The version of this package."""
    return importlib.metadata.version("tpsm_jax")


def describe_maker(
    command: str, words: Sequence[str], sources: Sequence[Path] = ()
) -> dict[str, Any]:
    """Describes what decides the numbers of a detector's table.

    Where the program is a Python, its environment is asked for the versions of its packages and
    for the modules that the command names.

    Args:
      command: the command, with its placeholders.
      words: its program and arguments.
      sources: more files that it runs.

    Returns:
      Plain JSON: the command; the version of this package, which writes the pictures; SHA-256 sums
      of the files and modules that the command names, and of `sources`; and of a Python its
      version and packages. Paths are not in it but as the command has them.
    """
    program = shutil.which(words[0])
    values = [word.partition("=")[2] if word.startswith("--") else word for word in words[1:]]
    is_python = program is not None and _PYTHON.fullmatch(Path(program).name) is not None
    python = _ask_python(program, values) if program and is_python else {}
    files: dict[str, str] = {}
    if program and not is_python:
        files[words[0]] = _digest([Path(program)])
    for value in values:
        if os.path.isfile(value):
            files[value] = _digest([Path(value)])
    for name, places in python.pop("modules", {}).items():
        if code := sorted(_own_code(places)):
            files[name] = _digest(code)
    if sources:
        files["sources"] = _digest(sources)
    return {
        "command": command,
        "tpsm_jax": package_version(),
        "files": files,
        **python,
    }


def _ask_python(program: str, values: Sequence[str]) -> dict[str, Any]:
    """Version, packages and places of modules; {} of a Python that does not answer."""
    pairs = zip(["", *values], values, strict=False)
    names = [value for before, value in pairs if before == "-m" or ":" in value]
    modules = {match[1] for name in names if (match := _MODULE.fullmatch(name))}
    try:
        done = subprocess.run(
            [program, "-c", _ASK, *sorted(modules)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_ASK_SECONDS,
            check=True,
        )
        # Its environment may print something at every start.
        answer = json.loads(done.stdout.splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return {}
    return dict(answer)


def _own_code(places: Sequence[str | None]) -> Iterator[Path]:
    """The Python files of a module that belongs to no installed package."""
    for place in map(Path, filter(None, places)):
        if {"site-packages", "dist-packages"} & set(place.parts):
            continue  # its version is known
        if place.is_dir():
            yield from place.rglob("*.py")
        elif place.suffix == ".py" and place.is_file():
            yield place


def _digest(paths: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path.name} {path.stat().st_size} ".encode(errors="surrogateescape"))
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    return digest.hexdigest()
