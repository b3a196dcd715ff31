"""What is said of a run's devices, and processes that have different numbers of them."""

import glob
import re
import socket
from types import SimpleNamespace

import jax
import pytest

from tests.helpers.processes import output_of, start_python
from tpsm_jax.errors import InputError
from tpsm_jax.parallel import devices
from tpsm_jax.parallel.devices import (
    check_equal_counts,
    could_use_gpu,
    device_line,
    print_devices,
)


def made(*counts, kind="NVIDIA H200", platform="gpu"):
    """So many devices of each process."""
    return [
        SimpleNamespace(device_kind=kind, platform=platform, process_index=process)
        for process, count in enumerate(counts)
        for _ in range(count)
    ]


@pytest.fixture
def gpu_in_the_machine(monkeypatch):
    monkeypatch.setattr(
        glob, "glob", lambda pattern: ["/dev/nvidia0"] if "nvidia" in pattern else []
    )
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    before = jax.config.jax_platforms
    jax.config.update("jax_platforms", None)
    yield
    jax.config.update("jax_platforms", before)


def test_kinds_counts_and_processes():
    assert device_line(made(1)) == "devices: 1 x NVIDIA H200"
    assert device_line(made(4, 4)) == "devices: 8 x NVIDIA H200, of 2 processes"
    assert device_line(jax.devices()) == "devices: 8 x cpu"


@pytest.mark.usefixtures("gpu_in_the_machine")
def test_a_gpu_that_is_not_used_is_a_warning(capsys):
    print_devices(made(1, kind="cpu", platform="cpu"))
    line, warning = capsys.readouterr().err.splitlines()
    assert line == "devices: 1 x cpu"
    assert re.fullmatch(r"warning: .* NVIDIA GPU, .* CPU: .*cuda.* JAX_PLATFORMS=cpu .*", warning)
    print_devices(made(1))
    assert capsys.readouterr() == ("", "devices: 1 x NVIDIA H200\n")


@pytest.mark.usefixtures("gpu_in_the_machine")
def test_whoever_has_chosen_needs_no_warning(monkeypatch):
    assert could_use_gpu({})
    assert not could_use_gpu({"CUDA_VISIBLE_DEVICES": ""})
    jax.config.update("jax_platforms", "cpu")
    assert not could_use_gpu({})


@pytest.mark.usefixtures("gpu_in_the_machine")
def test_a_machine_without_a_gpu_and_linux_within_windows(monkeypatch):
    monkeypatch.setattr(glob, "glob", lambda pattern: [])
    assert not could_use_gpu({})
    monkeypatch.setattr(devices.os.path, "exists", lambda path: path == "/dev/dxg")
    monkeypatch.setattr(devices.shutil, "which", lambda name: f"/usr/lib/wsl/lib/{name}")
    assert could_use_gpu({})


def test_only_the_first_process_says_it(monkeypatch, capsys):
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    print_devices(made(1))
    assert capsys.readouterr() == ("", "")


def test_equal_and_unequal_counts():
    check_equal_counts(made(3))
    check_equal_counts(made(4, 4, 4))
    with pytest.raises(InputError, match=r"different numbers of devices \(4, 8, 4\): give each"):
        check_equal_counts(made(4, 8, 4))


SCRIPT = """
from tpsm_jax.cli import run_script
from tpsm_jax.parallel.distributed import initialize
run_script(initialize)
"""


@pytest.mark.slow
def test_processes_of_unequal_counts_all_end_with_one_line():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    environ = {
        "JAX_PLATFORMS": "cpu",
        "JAX_COORDINATOR_ADDRESS": address,
        "JAX_NUM_PROCESSES": "2",
    }
    started = [
        start_python(
            *("-c", SCRIPT), **environ, JAX_PROCESS_ID=f"{number}", JAX_NUM_CPU_DEVICES=f"{count}"
        )
        for number, count in enumerate((1, 2))
    ]
    for process in started:
        said = output_of(process)
        assert process.returncode == 2, said
        errors = [line for line in said.splitlines() if line.startswith("error: ")]
        assert errors == [
            "error: the processes have different numbers of devices (1, 2): give each the same, "
            "e.g. by CUDA_VISIBLE_DEVICES"
        ]
        assert "Traceback" not in said
