"""Orbax's complaints about a damaged checkpoint are silenced, and nobody else's."""

import gc
import logging
import sys

import numpy as np
import pytest

from tpsm_jax.checkpoints.orbax_io import load_tree, quiet_orbax, save_tree
from tpsm_jax.errors import InputError


def hooks():
    loggers = (logging.getLogger("absl"), logging.getLogger("asyncio"))
    return sys.unraisablehook, [list(logger.filters) for logger in loggers]


@pytest.mark.parametrize("error", [InputError, ValueError, KeyboardInterrupt])
def test_hooks_are_as_before_after_any_error(error):
    def fail():
        with quiet_orbax():
            during.append(hooks())
            raise error

    before, during = hooks(), []
    with pytest.raises(error):
        fail()
    assert during != [before]
    assert hooks() == before


@pytest.mark.slow
def test_a_damaged_tree_is_one_line_and_all_complaints_are_over(tmp_path, capfd):
    path = tmp_path / "tree"
    save_tree(path, {f"{name}": np.random.default_rng(name).random(50_000) for name in range(40)})
    before = hooks()
    for file in path.rglob("*"):
        if file.is_file() and (size := file.stat().st_size) > 100_000:
            content = file.read_bytes()
            file.write_bytes(
                content[: size // 10] + bytes(size - size // 5) + content[-size // 10 :]
            )
    with pytest.raises(InputError, match=r"^.*tree is damaged \(\w+\)$"):
        load_tree(path)
    gc.collect()
    assert hooks() == before
    assert capfd.readouterr().err == ""
