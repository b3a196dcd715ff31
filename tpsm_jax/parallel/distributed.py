"""Several processes that train together, found by the environment alone."""

import glob
import importlib.util
import json
import os
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from tpsm_jax.errors import InputError, one_line
from tpsm_jax.parallel.devices import check_equal_counts

ADDRESS, COUNT, ID = "JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"
_SLURM_TASK = (
    "SLURM_JOB_ID",
    "SLURM_STEP_NODELIST",
    "SLURM_NTASKS",
    "SLURM_PROCID",
    "SLURM_LOCALID",
)
# How long a process that fails waits for the others, which may never come to their end.
_SHUTDOWN_SECONDS = 30

T = TypeVar("T")


def initialize() -> None:
    """Joins the other processes if the environment says that there are any.

    That is under Slurm and Open MPI when they started several tasks, on a TPU slice, and where
    JAX_COORDINATOR_ADDRESS (HOST:PORT of the first process), JAX_NUM_PROCESSES and JAX_PROCESS_ID
    are set. Call it before anything that uses a device.

    Raises:
      InputError: if the variables do not go together, the processes do not find each other, or
        they have different numbers of devices.
    """
    arguments = cluster_arguments(os.environ)
    if arguments is None and not _on_tpu():
        return
    try:
        jax.distributed.initialize(**arguments or {}, shutdown_timeout_seconds=_SHUTDOWN_SECONDS)
    except (ValueError, OSError) as error:
        # A TPU without the neighbors of a slice, as in a notebook: nothing was found to join.
        if arguments is not None:
            raise InputError(f"the processes cannot be joined: {error}") from error
    except RuntimeError as error:
        raise InputError(
            f"the processes did not find each other ({str(error).splitlines()[0]}): does every "
            "one of them run, and can it reach the first?"
        ) from error
    check_equal_counts(jax.devices())


def cluster_arguments(environ: Mapping[str, str]) -> dict[str, Any] | None:
    """The arguments for `jax.distributed.initialize`.

    Args:
      environ: the environment's variables.

    Returns:
      Keyword arguments, empty where JAX finds all by itself; None for a process on its own.

    Raises:
      InputError: if only some of the three variables are set, or are no numbers.
    """
    if given := [name for name in (ADDRESS, COUNT, ID) if environ.get(name)]:
        if missing := [name for name in (ADDRESS, COUNT, ID) if not environ.get(name)]:
            raise InputError(f"{given[0]} is set and {missing[0]} is not: set all three or none")
        count, number = (_whole(environ, name) for name in (COUNT, ID))
        if not number < count:
            raise InputError(f"{ID}={number} is not below {COUNT}={count}")
        return {
            "coordinator_address": environ[ADDRESS],
            "num_processes": count,
            "process_id": number,
            "cluster_detection_method": "deactivate",
        }
    # Within an allocation but outside srun there is one process, whatever SLURM_NTASKS says.
    if all(name in environ for name in _SLURM_TASK) and _whole(environ, "SLURM_NTASKS") > 1:
        return {"local_device_ids": _gpus_of_task(environ)}
    if environ.get("OMPI_COMM_WORLD_SIZE", "1") != "1":
        if "OMPI_MCA_orte_hnp_uri" not in environ:
            raise InputError(
                f"this Open MPI does not say where its first process runs: set {ADDRESS}, {COUNT} "
                f"and {ID}"
            )
        return {}
    return None


def on_first_process(action: Callable[[], None]) -> None:
    """Does something in the first process; its error is raised in every process.

    Args:
      action: e.g. writing a file.

    Raises:
      InputError: if `action` raised one, or an OSError.
    """
    on_every_process(action if jax.process_index() == 0 else lambda: None)


def on_every_process(action: Callable[[], T]) -> T:
    """Does something in every process; an error in one is raised in all.

    Args:
      action: e.g. reading a file that may lie on one host only. It must not wait for the others.

    Returns:
      What `action` returned in this process.

    Raises:
      InputError: if `action` raised one in any process, or an OSError, e.g. of a full disk; the
        first process's.
    """
    message, cause = "", None
    try:
        result = action()
    except (InputError, OSError) as error:
        message, cause = one_line(error), error
    if message := next(filter(None, gathered(message)), ""):
        raise InputError(message) from cause
    return result


def gathered(value: Any) -> list[Any]:
    """The value of every process, in their order. A collective.

    Args:
      value: anything that JSON can hold. Numbers keep all their digits; JAX would cut them to 32
        bits.
    """
    if jax.process_count() == 1:
        return [value]
    text = json.dumps(value).encode()
    longest = int(np.max(multihost_utils.process_allgather(np.array(len(text)))))
    padded = np.frombuffer(text.ljust(longest), np.uint8)
    return [json.loads(row.tobytes()) for row in multihost_utils.process_allgather(padded)]


def everywhere(condition: bool) -> bool:
    """Whether something is true in every process. A collective."""
    return bool(np.all(multihost_utils.process_allgather(np.array(condition))))


def same_everywhere(number: int) -> bool:
    """Whether all processes have the same number. A collective."""
    return bool(np.ptp(multihost_utils.process_allgather(np.array(number, np.int32))) == 0)


def _gpus_of_task(environ: Mapping[str, str]) -> list[int] | None:
    """Which of the GPUs that a Slurm task sees are its own.

    JAX takes one for each task, which leaves seven of eight idle where a task has a whole node,
    and names one that is not there where Slurm shows each task only its own.
    """
    visible = [device for device in environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if device]
    tasks = re.match(r"\d+", environ.get("SLURM_STEP_TASKS_PER_NODE", ""))
    if "JAX_LOCAL_DEVICE_IDS" in environ or not visible or not tasks:
        return None
    share = len(visible) // int(tasks[0])
    if "SLURM_GPUS_PER_TASK" in environ or share == 0:
        return list(range(len(visible)))
    first = _whole(environ, "SLURM_LOCALID") * share
    return list(range(first, first + share))


def _on_tpu() -> bool:
    """Whether JAX will use TPU chips; asks no metadata server, unlike JAX itself."""
    platforms = os.environ.get("JAX_PLATFORMS") or "tpu"
    return (
        "tpu" in platforms
        and importlib.util.find_spec("libtpu") is not None
        and bool(glob.glob("/dev/accel*") or glob.glob("/dev/vfio/[0-9]*"))
    )


def _whole(environ: Mapping[str, str], name: str) -> int:
    if not environ[name].strip().isdecimal():
        raise InputError(f"{name}={environ[name]!r} is not a whole number")
    return int(environ[name])
