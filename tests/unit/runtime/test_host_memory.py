"""What a process may still take: of the machine, its container, its ulimit, and its own malloc."""

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

from tpsm_jax.runtime import host_memory
from tpsm_jax.runtime.host_memory import free_memory, total_memory

GIB = 2**30
MEMINFO = "MemTotal: 999 kB\nMemAvailable: 8388608 kB\nSwapFree: 1048576 kB\nHugePages_Total: 0\n"


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A machine with 8 GiB free and 1 GiB of swap, and a process whose malloc has nothing ready."""
    monkeypatch.setattr(host_memory, "_ready_in_malloc", lambda: 0)
    write(tmp_path / "proc/meminfo", MEMINFO)
    write(tmp_path / "proc/self/cgroup", "0::/\n")
    write(tmp_path / "proc/self/statm", "100 10 1 1 1 1 1\n")
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def limit_v2(group: Path, most: str, used: int = 3 * GIB, droppable: int = GIB) -> None:
    write(group / "memory.max", most)
    write(group / "memory.current", str(used))
    write(group / "memory.stat", f"anon 5\ninactive_file {droppable}\n")


def test_a_machine(system):
    assert free_memory(system) == 9 * GIB


def test_a_container(system):
    limit_v2(system / "sys/fs/cgroup", "max\n")
    assert free_memory(system) == 9 * GIB
    limit_v2(system / "sys/fs/cgroup", f"{6 * GIB}\n")
    assert free_memory(system) == (6 - 3 + 1 + 1) * GIB  # with swap, without what can be dropped


def test_swap_that_a_container_may_not_take(system):
    group = system / "sys/fs/cgroup"
    limit_v2(group, str(6 * GIB))
    write(group / "memory.swap.max", "0")
    write(group / "memory.swap.current", "0")
    assert free_memory(system) == (6 - 3 + 1) * GIB
    write(group / "memory.swap.max", "max")
    assert free_memory(system) == (6 - 3 + 1 + 1) * GIB


def test_a_system_without_control_groups(system):
    (system / "proc/self/cgroup").unlink()
    assert free_memory(system) == 9 * GIB


def test_the_tightest_of_nested_groups_counts(system):
    write(system / "proc/self/cgroup", "0::/slurm/job/step\n")
    limit_v2(system / "sys/fs/cgroup/slurm/job/step", "max")
    limit_v2(system / "sys/fs/cgroup/slurm/job", str(5 * GIB))
    limit_v2(system / "sys/fs/cgroup/slurm", str(7 * GIB))
    assert free_memory(system) == (5 - 3 + 1 + 1) * GIB


def test_control_groups_of_version_1(system):
    write(system / "proc/self/cgroup", "5:cpu,memory:/docker/host/path\n4:pids:/\n0::/\n")
    root = system / "sys/fs/cgroup/memory"
    write(root / "memory.limit_in_bytes", str(4 * GIB))
    write(root / "memory.usage_in_bytes", str(2 * GIB))
    write(root / "memory.stat", "total_inactive_file 0\n")
    assert free_memory(system) == (4 - 2 + 1) * GIB
    write(root / "memory.memsw.limit_in_bytes", str(4 * GIB))
    write(root / "memory.memsw.usage_in_bytes", str(2 * GIB))
    assert free_memory(system) == (4 - 2) * GIB
    write(root / "memory.memsw.limit_in_bytes", "9223372036854771712")
    write(root / "memory.limit_in_bytes", "9223372036854771712")  # none
    assert free_memory(system) == 9 * GIB


def test_a_system_that_says_nothing(tmp_path):
    assert free_memory(tmp_path) == total_memory() > 2**20


def test_this_machine():
    assert free_memory() > 2**20


def run(code: str, **environ: str) -> None:
    script = (
        f"from pathlib import Path\nfrom tpsm_jax.runtime.host_memory import free_memory\n{code}"
    )
    subprocess.run([sys.executable, "-c", script], check=True, env=environ)


@pytest.mark.skipif(sys.platform != "linux", reason="of Linux")
def test_ulimit_counts():
    run(
        "import resource\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2**31, resource.RLIM_INFINITY))\n"
        "assert 2**29 < free_memory() < 2**31, free_memory()"
    )


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallinfo2"),
    reason="another malloc than a recent glibc's",
)
def test_what_malloc_keeps_is_free(system):
    write(system / "proc/meminfo", "MemAvailable: 0 kB\nSwapFree: 0 kB\n")
    run(
        "import numpy as np\n"
        f"system = Path({str(system)!r})\n"
        "before = free_memory(system)\n"
        "x = np.ones(2**26)\n"
        "assert free_memory(system) < before + 2**20\n"
        "del x\n"
        "assert free_memory(system) > 2**29, free_memory(system)",
        GLIBC_TUNABLES="glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=1099511627776",
    )
