"""What is handed to jax.distributed.initialize under which launcher."""

import errno
import json
import os

import jax
import numpy as np
import pytest

from tpsm_jax.errors import InputError
from tpsm_jax.parallel import distributed
from tpsm_jax.parallel.distributed import (
    cluster_arguments,
    gathered,
    initialize,
    on_every_process,
    on_first_process,
    same_everywhere,
)

SLURM = {
    "SLURM_JOB_ID": "7",
    "SLURM_STEP_NODELIST": "node[1-2]",
    "SLURM_NTASKS": "2",
    "SLURM_PROCID": "1",
    "SLURM_LOCALID": "0",
    "SLURM_STEP_TASKS_PER_NODE": "1(x2)",
}
THREE = {
    "JAX_COORDINATOR_ADDRESS": "host:1234",
    "JAX_NUM_PROCESSES": "2",
    "JAX_PROCESS_ID": "1",
}


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OMPI_COMM_WORLD_SIZE": "1"},
        {**SLURM, "SLURM_NTASKS": "1"},
        # In an allocation, but not started by srun.
        {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "8", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"},
    ],
)
def test_a_process_on_its_own(environ):
    assert cluster_arguments(environ) is None


def test_nothing_is_asked_or_started_without_a_cluster(monkeypatch):
    for name in list(distributed.os.environ):
        if name.startswith(("SLURM", "JAX_", "OMPI")):
            monkeypatch.delenv(name)
    monkeypatch.setattr(jax.distributed, "initialize", lambda **_: pytest.fail("not needed"))
    initialize()


def test_three_variables():
    assert cluster_arguments({**SLURM, **THREE}) == {
        "coordinator_address": "host:1234",
        "num_processes": 2,
        "process_id": 1,
        "cluster_detection_method": "deactivate",
    }


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"JAX_NUM_PROCESSES": ""}, "JAX_NUM_PROCESSES is not"),
        ({"JAX_PROCESS_ID": "one"}, "JAX_PROCESS_ID='one' is not a whole number"),
        ({"JAX_PROCESS_ID": "2"}, "is not below"),
        ({"JAX_NUM_PROCESSES": "0"}, "is not below"),
    ],
)
def test_variables_that_do_not_go_together(changes, words):
    with pytest.raises(InputError, match=words):
        cluster_arguments({**THREE, **changes})


def gpus(visible, tasks, local, **more):
    environ = {
        **SLURM,
        "CUDA_VISIBLE_DEVICES": visible,
        "SLURM_STEP_TASKS_PER_NODE": tasks,
        "SLURM_LOCALID": local,
        **more,
    }
    return cluster_arguments(environ)["local_device_ids"]


def test_slurm_divides_the_gpus_of_a_node_among_its_tasks():
    eight = "0,1,2,3,4,5,6,7"
    assert gpus(eight, "1(x2)", "0") == list(range(8))
    assert gpus(eight, "8", "3") == [3]
    assert gpus(eight, "2(x4)", "1") == [4, 5, 6, 7]
    # Each task is shown only its own.
    assert gpus("0", "8(x2)", "3") == [0]
    assert gpus("0,1,2,3", "2", "1", SLURM_GPUS_PER_TASK="4") == [0, 1, 2, 3]
    # No GPUs, or chosen by hand: JAX knows.
    assert gpus("", "1(x2)", "0") is None
    assert gpus(eight, "1(x2)", "0", JAX_LOCAL_DEVICE_IDS="0") is None


@pytest.mark.parametrize(
    "environ",
    [THREE, SLURM, {"OMPI_COMM_WORLD_SIZE": "4", "OMPI_MCA_orte_hnp_uri": "1.0;tcp://1.2.3.4:5"}],
)
def test_one_that_fails_does_not_wait_for_the_others_for_long(monkeypatch, environ):
    given = {}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(jax.distributed, "initialize", lambda **arguments: given.update(arguments))
    initialize()
    assert given["shutdown_timeout_seconds"] == 30


def test_open_mpi():
    environ = {"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "0"}
    assert cluster_arguments({**environ, "OMPI_MCA_orte_hnp_uri": "1.0;tcp://1.2.3.4:5"}) == {}
    with pytest.raises(InputError, match="set JAX_COORDINATOR_ADDRESS"):
        cluster_arguments(environ)


def test_processes_that_do_not_find_each_other(monkeypatch):
    def unreachable(**arguments):
        raise RuntimeError("DEADLINE_EXCEEDED: nobody there\nmore lines")

    for name, value in THREE.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(jax.distributed, "initialize", unreachable)
    with pytest.raises(InputError, match=r"DEADLINE_EXCEEDED: nobody there\)"):
        initialize()


def test_on_first_process():
    done = []
    on_first_process(lambda: done.append(1))
    assert done == [1]

    def fail():
        raise InputError("no room")

    with pytest.raises(InputError, match="no room"):
        on_first_process(fail)


def test_on_every_process():
    assert on_every_process(lambda: 3) == 3
    with pytest.raises(InputError, match="no clips"):
        on_every_process(lambda: fail("no clips"))
    with pytest.raises(InputError, match="No space left"):
        on_every_process(lambda: fail_to_write(None))
    with pytest.raises(InputError, match=r"^x\.json: No space left on device$"):
        on_every_process(lambda: fail_to_write("x.json"))


def fail(message):
    raise InputError(message)


def fail_to_write(path):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        (["", ""], None),
        (["", "no such\nclips: ä"], "no such\nclips: ä"),
        (["one", "two"], "one"),
    ],
)
@pytest.mark.parametrize("process", [0, 1])
def test_an_error_of_one_process_is_reported_in_all(monkeypatch, messages, said, process):
    def gathered(message):
        assert message == messages[process]
        return messages

    monkeypatch.setattr(distributed, "gathered", gathered)

    def action():
        return fail(messages[process]) if messages[process] else 3

    if said is None:
        assert on_every_process(action) == 3
    else:
        with pytest.raises(InputError) as error:
            on_every_process(action)
        assert str(error.value) == said


@pytest.mark.parametrize(("numbers", "same"), [([5, 5], True), ([5, 4], False)])
def test_same_everywhere(monkeypatch, numbers, same):
    assert same_everywhere(5)
    monkeypatch.setattr(
        distributed.multihost_utils, "process_allgather", lambda _: np.array(numbers)
    )
    assert same_everywhere(5) is same


@pytest.mark.parametrize("process", [0, 1])
def test_gathered_keeps_every_digit(monkeypatch, process):
    values = [{"ä\udcff": [0.1 + 0.2, 1e-300]}, ["much " * 20, float("inf"), None]]
    assert gathered(values) == [values]
    sent = [json.dumps(value).encode() for value in values]

    def allgather(array):
        if array.ndim == 0:
            assert array == len(sent[process])
            return np.array([len(text) for text in sent])
        padded = [np.frombuffer(text.ljust(len(array)), np.uint8) for text in sent]
        np.testing.assert_array_equal(array, padded[process])
        return np.stack(padded)

    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(distributed.multihost_utils, "process_allgather", allgather)
    assert gathered(values[process]) == values
