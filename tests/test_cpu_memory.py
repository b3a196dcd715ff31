import os
import sys

import pytest

from tpsm_jax import cpu_memory


@pytest.fixture
def started(monkeypatch):
    """What would be started anew."""
    calls = []
    monkeypatch.setattr(os, "execve", lambda *arguments: calls.append(arguments))
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setattr(sys, "platform", "linux")
    return calls


def test_on_a_cpu_the_same_command_is_started_once(started, monkeypatch):
    cpu_memory.keep_freed_memory()
    ((program, arguments, environ),) = started
    assert (program, arguments) == (sys.executable, sys.orig_argv)
    assert environ["JAX_PLATFORMS"] == "cpu"
    monkeypatch.setenv("GLIBC_TUNABLES", environ["GLIBC_TUNABLES"])
    cpu_memory.keep_freed_memory()
    assert len(started) == 1


@pytest.mark.parametrize("platforms", ["cuda", "tpu,cpu"])
def test_other_backends_are_left_alone(started, monkeypatch, platforms):
    monkeypatch.setenv("JAX_PLATFORMS", platforms)
    cpu_memory.keep_freed_memory()
    assert not started
