"""A script that runs out of memory says in one line what takes less."""

import errno

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tpsm_jax.cli import run_script
from tpsm_jax.errors import InputError
from tpsm_jax.runtime.memory import OUT_OF_MEMORY, check_pictures_fit, is_out_of_memory

TOO_MANY = 2**46  # entries: more than any machine has


def on_the_device():
    jnp.zeros(TOO_MANY).block_until_ready()


def to_the_device():
    jax.device_put(np.broadcast_to(np.float32(1), TOO_MANY))


def on_the_host():
    np.zeros(TOO_MANY)


def new_process():
    raise OSError(errno.ENOMEM, "Cannot allocate memory")


def while_reading():
    """What reads a checkpoint takes any error for damage."""
    try:
        on_the_host()
    except MemoryError as error:
        raise InputError("the checkpoint is damaged") from error


def in_a_kernel():
    raise type("XlaRuntimeError", (RuntimeError,), {})("INTERNAL: std::bad_alloc")


RUNS_OUT = [on_the_device, to_the_device, on_the_host, new_process, while_reading, in_a_kernel]


@pytest.mark.parametrize("main", RUNS_OUT)
def test_out_of_memory_is_one_line(main, capsys):
    with pytest.raises(SystemExit) as end:
        run_script(main)
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert error == f"error: {OUT_OF_MEMORY}\n"
    for remedy in ("--batch_size", "bfloat16", "remat", "accumulate_steps"):
        assert remedy in error


def test_a_damaged_length_is_no_lack_of_memory():
    def read():
        try:
            on_the_host()
        except MemoryError:
            raise InputError("the picture is damaged") from None

    with pytest.raises(InputError) as found:
        read()
    assert not is_out_of_memory(found.value)


@pytest.mark.parametrize(
    "error", [ValueError("out of memory"), OSError(errno.EIO, "no"), InputError("damaged")]
)
def test_other_errors_are_not_taken_for_it(error):
    assert not is_out_of_memory(error)


def test_a_mistake_of_ours_keeps_its_traceback():
    def main():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_script(main)


def test_pictures_that_cannot_fit_are_refused_before_xla_sees_them():
    check_pictures_fit(28, 256, 256, change="batch_size")
    with pytest.raises(InputError, match=r"take .* GiB, and this machine has \d+: take a smaller"):
        check_pictures_fit(1, 2**20, 2**20, change="size")
