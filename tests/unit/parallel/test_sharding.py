import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from tpsm_jax.errors import InputError
from tpsm_jax.parallel.sharding import (
    batch_sharding,
    check_batch_size,
    device_batches,
    make_mesh,
    state_shardings,
)


@pytest.fixture(scope="module")
def mesh():
    return make_mesh(jax.devices()[:4])


def test_the_mesh_has_every_device_by_default():
    assert make_mesh().size == jax.device_count()


@dataclasses.dataclass(frozen=True)
class FakeDevice:
    process_index: int
    id: int


def test_the_devices_of_a_process_are_neighbors(monkeypatch):
    # As on some TPU slices.
    interleaved = [FakeDevice(number // 2 % 2, number) for number in (0, 1, 2, 3, 5, 4, 6, 7)]
    monkeypatch.setattr(jax, "devices", lambda: interleaved)
    assert [device.id for device in make_mesh().devices] == [0, 1, 4, 5, 2, 3, 6, 7]


@pytest.mark.parametrize(
    ("batch_size", "parts", "suggested"),
    [(10, 1, "8 or 12"), (3, 1, "take 4"), (12, 2, "8 or 16"), (0, 1, "take 4")],
)
def test_a_batch_that_does_not_divide_is_refused_with_one_that_does(
    mesh, batch_size, parts, suggested
):
    with pytest.raises(InputError, match=suggested):
        check_batch_size(batch_size, mesh.size, parts)


@pytest.mark.parametrize("field", ["train_params.batch_size", "train_avd_params.batch_size"])
def test_a_refusal_says_how_to_set_the_batch(mesh, field):
    with pytest.raises(InputError, match=rf"take 8 or 12 \(--config\.{field}\)$"):
        check_batch_size(10, mesh.size, field=field)


def test_a_batch_that_divides_is_taken(mesh):
    check_batch_size(16, mesh.size, 2)


SHAPES = {
    "small": jax.ShapeDtypeStruct((8, 8), jnp.float32),
    "large": jax.ShapeDtypeStruct((3, 3, 128, 256), jnp.float32),
    "odd": jax.ShapeDtypeStruct((333, 333), jnp.float32),
    "count": jax.ShapeDtypeStruct((), jnp.int32),
}


def test_a_replicated_state_lies_everywhere(mesh):
    shardings = state_shardings(SHAPES, mesh, "replicated")
    assert {sharding.spec for sharding in shardings.values()} == {P()}


def test_fsdp_cuts_the_longest_axis_of_large_arrays(mesh):
    shardings = state_shardings(SHAPES, mesh, "fsdp")
    assert shardings["large"].spec == P(None, None, None, "data")
    assert {shardings[name].spec for name in ("small", "odd", "count")} == {P()}


def test_an_unknown_rule_is_refused(mesh):
    with pytest.raises(InputError, match="state_sharding"):
        state_shardings(SHAPES, mesh, "zero3")


def test_batches_are_sent_ahead_and_come_in_order(mesh):
    asked = []

    def batches():
        for step in itertools.count():
            asked.append(step)
            pictures = np.full((8, 4, 4, 3), step, np.uint8)
            yield {"source": pictures, "driving": pictures + 1, "name": [f"clip{step}"] * 8}

    arriving = device_batches(batches(), mesh, ahead=2)
    for step in range(3):
        batch, names = next(arriving)
        assert names == [f"clip{step}"] * 8
        assert batch["source"].sharding == batch_sharding(mesh)
        assert batch["source"].dtype == jnp.uint8
        np.testing.assert_array_equal(batch["source"], np.full((8, 4, 4, 3), step))
        np.testing.assert_array_equal(batch["driving"], np.full((8, 4, 4, 3), step + 1))
        assert len(asked) == step + 3


def test_every_batch_of_an_iterator_that_ends_comes(mesh):
    pictures = np.zeros((4, 2, 2, 3), np.uint8)
    batches = [{"source": pictures, "driving": pictures, "name": [str(i)]} for i in range(3)]
    assert [names for _, names in device_batches(iter(batches), mesh)] == [["0"], ["1"], ["2"]]
