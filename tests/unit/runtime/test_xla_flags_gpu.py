import importlib.metadata
import importlib.util
import os
import subprocess
import sys

import pytest

from tpsm_jax.runtime.xla_flags_gpu import _NEED_IT, _OPTION, prepare_gpu

# Later releases of jaxlib, which add fast by themselves: see `prepare_gpu`.
FAST = ("0.12.0.1",)


@pytest.fixture
def gpu(monkeypatch):
    """Where jaxlib 0.10.2 and its plugin for NVIDIA GPUs are installed."""
    monkeypatch.setattr(os, "environ", dict(os.environ))
    for name in ("JAX_PLATFORMS", "XLA_FLAGS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "0.10.2")
    find_spec = {"jax_cuda13_plugin": object()}.get
    monkeypatch.setattr(importlib.util, "find_spec", find_spec)


@pytest.mark.parametrize("platforms", [None, "", "cuda", "cpu,gpu"])
def test_the_option_is_set_for_a_gpu_after_a_users_flags(gpu, monkeypatch, platforms):
    if platforms is not None:
        monkeypatch.setenv("JAX_PLATFORMS", platforms)
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=there")
    prepare_gpu()
    assert os.environ["XLA_FLAGS"] == f"--xla_dump_to=there {_OPTION}"


@pytest.mark.parametrize("what", ["platform", "plugin", "release"])
def test_it_is_not_set_elsewhere(gpu, monkeypatch, what):
    if what == "platform":
        monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    elif what == "plugin":
        monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    else:
        monkeypatch.setattr(importlib.metadata, "version", lambda _: "0.12.0")
    prepare_gpu()
    assert "XLA_FLAGS" not in os.environ


def test_a_users_own_options_stay(gpu, monkeypatch):
    own = "--xla_backend_extra_options=xla_cpu_use_multi_output_fusion=true"
    monkeypatch.setenv("XLA_FLAGS", own)
    prepare_gpu()
    assert os.environ["XLA_FLAGS"] == own


@pytest.mark.slow
def test_the_releases_that_need_the_option_know_it():
    """A jaxlib ends the process on one that it does not know."""
    compute = "import jax; jax.jit(lambda x: x + 1)(1.0)"
    here = importlib.metadata.version("jaxlib")
    assert here in _NEED_IT + FAST, f"does jaxlib {here} need the option? see jax issue 38806"
    if here in FAST:
        return
    for option, known in ((_OPTION, True), (f"{_OPTION}-not", False)):
        environ = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": option}
        ended = subprocess.run([sys.executable, "-c", compute], env=environ, capture_output=True)
        assert (ended.returncode == 0) == known
