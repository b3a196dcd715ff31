"""Every benchmark starts, its README names it, and workers import only what they may."""

import argparse
import ast
import importlib
import sys
from pathlib import Path

import pytest

from benchmarks.common.reference import (
    ROOT,
    ReferenceProcess,
    official_config,
    reference_command,
)
from tpsm_jax.errors import InputError

BENCHMARKS = ROOT / "benchmarks"
FOLDERS = [BENCHMARKS, *(BENCHMARKS / name for name in ("common", "official", "studies"))]
# What workers may import of the project: the environment with torch need not have the rest.
FOR_WORKERS = {"memory", "op_cases"}
PATHS = {
    *("checkpoint", "config", "data", "folder", "input", "output", "program"),
    *("reference", "reference_config", "reference_python", "torch_checkpoint"),
}


def modules_in(folder):
    return sorted(path for path in folder.glob("*.py") if path.name != "__init__.py")


def table_of(folder):
    """{first cell: the other cells} of the README's rows about files."""
    lines = (folder / "README.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "|" in line]
    return {row[0].strip("`"): row[1:] for row in rows if row[0].endswith(".py`")}


def imports_of(path):
    """Full names of all modules that a file imports, those within functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


RUNNABLE = modules_in(BENCHMARKS) + modules_in(BENCHMARKS / "studies")


def name_of(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


@pytest.mark.parametrize("name", [name_of(path) for path in RUNNABLE])
def test_each_benchmark_has_help(name, monkeypatch, capsys):
    module = importlib.import_module(name)
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as ended:
        module.main()
    assert ended.value.code == 0
    assert f"python -m {name}" in capsys.readouterr().out


@pytest.mark.parametrize("name", [name_of(path) for path in RUNNABLE])
def test_flags_of_paths_expand_the_home_folder(name, tmp_path, monkeypatch):
    """A shell leaves the `~` of `--flag=~/x` alone."""
    parsers = []
    monkeypatch.setattr(argparse.ArgumentParser, "print_help", lambda self: parsers.append(self))
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(SystemExit):
        importlib.import_module(name).main()
    actions = [action for action in parsers[0]._actions if action.dest in PATHS]
    assert "output" in {action.dest for action in actions}
    for action in actions:
        assert str(action.type("~/x")) == f"{tmp_path}/x", action.dest


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_readme_names_every_file_and_no_other(folder):
    assert sorted(table_of(folder)) == [path.name for path in modules_in(folder)]


@pytest.mark.parametrize("path", RUNNABLE, ids=name_of)
def test_the_readme_asks_the_question_of_the_docstring(path):
    question = ast.get_docstring(ast.parse(path.read_text())).splitlines()[0]
    assert question.endswith("?")
    asked, command, *_ = table_of(path.parent)[path.name]
    assert asked == question
    assert f"python -m {name_of(path)}" in command


@pytest.mark.parametrize("path", modules_in(BENCHMARKS / "official"), ids=lambda path: path.name)
def test_workers_import_of_the_project_only_what_needs_no_jax(path):
    allowed = {f"benchmarks.common.{name}" for name in FOR_WORKERS}
    for name in imports_of(path):
        ours = name.partition(".")[0] in {"benchmarks", "configs", "data", "tpsm_jax"}
        assert not ours or name in allowed or name.startswith("benchmarks.official.")


@pytest.mark.parametrize("name", sorted(FOR_WORKERS))
def test_what_workers_import_needs_numpy_at_most(name):
    roots = {n.partition(".")[0] for n in imports_of(BENCHMARKS / "common" / f"{name}.py")}
    assert roots <= sys.stdlib_module_names | {"numpy"}


def test_paths_of_workers_hold_in_the_folder_where_they_run(tmp_path, monkeypatch):
    for folder in ("official/modules", "official/config", "venv/bin"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "official/config/vox-256.yaml").touch()
    (tmp_path / "venv/bin/python").symlink_to(sys.executable)
    monkeypatch.chdir(tmp_path)
    args = argparse.Namespace(
        reference="official", reference_python="venv/bin/python", reference_config=None
    )
    python, *rest = reference_command(args, "ops_worker")
    assert python == str(tmp_path / "venv/bin/python")  # the link: it names the environment
    assert rest[-1] == str(tmp_path / "official")
    assert official_config(args) == str(tmp_path / "official/config/vox-256.yaml")
    with ReferenceProcess([python, "-c", "import os; print(os.getcwd())"]) as process:
        assert Path(process.name) == ROOT


def test_a_folder_without_the_official_code_is_refused(tmp_path):
    args = argparse.Namespace(reference=str(tmp_path), reference_python="python")
    with pytest.raises(InputError, match="no checkout"):
        reference_command(args, "ops_worker")
