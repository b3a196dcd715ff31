import importlib.util
import os
import subprocess
import sys

import pytest

from tpsm_jax.runtime import xla_flags_cpu

FLAGS = "--xla_backend_extra_options=xla_cpu_use_multi_output_fusion=true"


@pytest.fixture
def started(monkeypatch):
    """What would be started again."""
    calls = []
    monkeypatch.setattr(os, "execve", lambda *arguments: calls.append(arguments))
    monkeypatch.setattr(os, "environ", dict(os.environ))
    for name in ("GLIBC_TUNABLES", "XLA_FLAGS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setattr(sys, "platform", "linux")
    return calls


def test_on_a_cpu_the_same_command_is_started_once(started, monkeypatch):
    xla_flags_cpu.prepare_cpu()
    ((program, arguments, environ),) = started
    assert (program, arguments) == (sys.executable, sys.orig_argv)
    assert environ["JAX_PLATFORMS"] == "cpu"
    assert environ["XLA_FLAGS"] == FLAGS
    monkeypatch.setenv("GLIBC_TUNABLES", environ["GLIBC_TUNABLES"])
    xla_flags_cpu.prepare_cpu()
    assert len(started) == 1


@pytest.mark.parametrize("platforms", ["cuda", "tpu,cpu"])
def test_other_backends_are_left_alone(started, monkeypatch, platforms):
    monkeypatch.setenv("JAX_PLATFORMS", platforms)
    xla_flags_cpu.prepare_cpu()
    assert not started
    assert "XLA_FLAGS" not in os.environ


@pytest.mark.parametrize(("installed", "count"), [((), 1), (("jax_plugins",), 0), (("libtpu",), 0)])
def test_where_nothing_is_said_what_is_installed_decides(started, monkeypatch, installed, count):
    monkeypatch.delenv("JAX_PLATFORMS")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name in installed or None)
    xla_flags_cpu.prepare_cpu()
    assert len(started) == count


def test_flags_of_the_users_own_stay(started, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=there")
    xla_flags_cpu.prepare_cpu()
    assert os.environ["XLA_FLAGS"] == f"--xla_dump_to=there {FLAGS}"
    own = "--xla_backend_extra_options=xla_cpu_use_multi_output_fusion=false"
    monkeypatch.setenv("XLA_FLAGS", own)
    xla_flags_cpu.prepare_cpu()
    assert os.environ["XLA_FLAGS"] == own


@pytest.mark.slow
def test_xla_knows_the_flag():
    """It leaves the process where it does not know a flag, but says nothing of an extra option."""
    print_loops = (
        "import jax; a = jax.numpy.ones(9);"
        "print(jax.jit(lambda a: (a + 1, a * 2)).lower(a).compile().as_text())"
    )
    programs = [
        subprocess.run(
            [sys.executable, "-c", print_loops],
            env={**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for flags in ("", FLAGS)
    ]
    assert [program.count(" fusion(") for program in programs] == [2, 1]
