"""Paths as users write them, in every command's flags and in the config."""

import importlib
import os
import re
import sys
from pathlib import Path

import jax
import pytest

from configs.base import get_base_config
from tpsm_jax import cli
from tpsm_jax.config import expand_paths
from tpsm_jax.errors import InputError
from tpsm_jax.runtime.compilation_cache import default_cache_folder, use_compilation_cache
from tpsm_jax.runtime.local_paths import expand_home, local_path

# The command, and flags that it needs before it looks at a path.
COMMANDS = {
    "train": ("--config", "--workdir"),
    "eval": ("--checkpoint", "--data", "--output"),
    "animate": ("--checkpoint", "--source", "--driving", "--output"),
    "convert_torch_weights": ("--checkpoint", "--config", "--output"),
    "data.prepare.__main__": ("--dataset=vox", "--input", "--output"),
    "data.puppets.__main__": ("--output",),
    "detectors.table": ("--input", "--output"),
    "tpsm_jax.animation.export": ("--checkpoint", "--output"),
}
MORE = {
    "train": ("--init",),
    "eval": ("--vgg19", "--pairs"),
    "convert_torch_weights": ("--vgg19", "--to_torch", "--from_run"),
    "data.prepare.__main__": ("--boxes",),
}


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 7)


def test_what_is_expanded_and_what_stays(home: Path) -> None:
    assert local_path("~/x/") == f"{home}/x/"
    assert local_path("~") == str(home)
    for path in ("x/~", "~no-such-user/x", "", ".", "/a//b", "a:b", "./gs://b"):
        assert local_path(path) == path


@pytest.mark.parametrize(
    "url", ["gs://bucket/run", "s3://b", "file:///x", "https://x.y/a.mp4", "hdfs+a.b-1://x"]
)
def test_a_url_is_refused_with_what_is_read(url: str) -> None:
    message = (
        f"^{re.escape(url)} is a URL, and files are read and written on local or mounted disks"
    )
    with pytest.raises(InputError, match=message):
        local_path(url)
    assert expand_home(url) == url


@pytest.mark.usefixtures("homeless")
def test_a_user_without_a_home() -> None:
    for path in ("~", "~/x"):
        with pytest.raises(InputError, match="no home folder; set HOME, or give the whole path"):
            local_path(path)
    assert local_path("x") == "x"


def test_an_empty_home_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "")
    for path in ("~", "~/x"):
        with pytest.raises(InputError, match="no home folder; set HOME, or give the whole path"):
            local_path(path)


@pytest.mark.usefixtures("homeless", "nothing_kept")
def test_a_user_without_a_home_keeps_no_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert default_cache_folder() is None
    use_compilation_cache()
    assert jax.config.jax_compilation_cache_dir is None


@pytest.mark.parametrize(
    ("module", "flag"),
    [
        (module, flag)
        for module, flags in COMMANDS.items()
        for flag in (*flags, *MORE.get(module, ()))
        if "=" not in flag
    ],
)
def test_every_path_flag_of_every_command(
    monkeypatch: pytest.MonkeyPatch, home: Path, module: str, flag: str
) -> None:
    needed = [each if "=" in each else f"{each}=x" for each in COMMANDS[module] if each != flag]
    parse = importlib.import_module(module).parse_arguments
    monkeypatch.setattr(sys, "argv", [module, *needed, f"{flag}=gs://bucket/run"])
    with pytest.raises(InputError, match=f"argument {flag}: gs://bucket/run is a URL"):
        parse()
    if flag not in ("--init", "--vgg19", "--to_torch", "--from_run"):  # which wait for others
        monkeypatch.setattr(sys, "argv", [module, *needed, f"{flag}=~/x"])
        parsed = parse()
        parsed = parsed[0] if isinstance(parsed, tuple) else parsed
        value = getattr(parsed, flag.lstrip("-"))
        assert str(value[0] if isinstance(value, list) else value) == f"{home}/x"


def test_the_cache_may_be_a_url_as_jax_reads_some(home: Path) -> None:
    parser = cli.ArgumentParser("")
    cli.add_cache_flag(parser)
    for text, value in (("gs://b/c", "gs://b/c"), ("~/c", f"{home}/c"), ("none", "none")):
        assert parser.parse_args(["--compilation_cache", text]).compilation_cache == value


def test_every_path_of_the_config(home: Path) -> None:
    config = get_base_config()
    config.dataset.path = config.vgg19_dir = config.init_from = "~/a"
    config.dataset.mix_paths = ("~/b", "c")
    expand_paths(config)
    assert config.dataset.path == config.vgg19_dir == config.init_from == f"{home}/a"
    assert config.dataset.mix_paths == (f"{home}/b", "c")


@pytest.mark.parametrize("field", ["dataset.path", "dataset.mix_paths", "vgg19_dir", "init_from"])
def test_a_url_in_the_config_names_its_field(field: str) -> None:
    config = get_base_config()
    config.update_from_flattened_dict({field: ("s3://b",) if "mix" in field else "s3://b"})
    with pytest.raises(InputError, match=f"^config.{field}: s3://b is a URL"):
        expand_paths(config)
