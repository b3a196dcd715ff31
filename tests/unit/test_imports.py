"""Every import of the project's own modules finds what it names, also where no test runs the file.

Makers of golden files, checks of optional parts and benchmarks need PyTorch, Beam or a browser.
"""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

from tests.helpers.paths import ROOT

OWN = ("benchmarks", "configs", "data", "detectors", "docs", "tests", "tpsm_jax")


def test_every_import_finds_what_it_names():
    scripts = [*ROOT.glob("*.py"), *(path for name in OWN for path in (ROOT / name).rglob("*.py"))]
    missing = [
        f"{path.relative_to(ROOT)}: {module} {name}"
        for path in scripts
        for module, name in imports_of(path)
        if not exists(module, name)
    ]
    assert len(scripts) > 300
    assert missing == []


def imports_of(path: Path) -> Iterator[tuple[str, str]]:
    """(module, name or "") of each import of the project's own."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in OWN:
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
            yield from ((name, "") for name in names if name.partition(".")[0] in OWN)


def exists(module: str, name: str) -> bool:
    """Whether there is the module, and in it the name or a module of that name."""
    path = file_of(module)
    if path is None or not name:
        return path is not None
    return file_of(f"{module}.{name}") is not None or path.is_file() and name in names_in(path)


def file_of(module: str) -> Path | None:
    """The module's file, or a folder that has no __init__.py."""
    place = ROOT.joinpath(*module.split("."))
    candidates = (place.with_suffix(".py"), place / "__init__.py", place)
    return next((path for path in candidates if path.exists()), None)


@functools.cache
def names_in(path: Path) -> set[str]:
    """All names that a module defines or imports, at any level."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    return names
