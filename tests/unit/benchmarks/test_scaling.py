"""What is read of a compiled step, and what is predicted from it."""

import argparse

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.studies.collectives import collectives, kinds, longest_chain
from benchmarks.studies.scaling import (
    StepCost,
    Tier,
    h100_tiers,
    predict,
    sum_seconds,
    table,
    v5e_tiers,
)
from tpsm_jax.errors import InputError
from tpsm_jax.parallel.sharding import batch_sharding, make_mesh, replicated


def program_of(function, *shapes):
    """A function of [8, ...] arrays that four devices share, compiled."""
    mesh = make_mesh(jax.devices()[:4])
    arguments = [
        jax.ShapeDtypeStruct(shape, jnp.float32, sharding=batch_sharding(mesh)) for shape in shapes
    ]
    jitted = jax.jit(function, out_shardings=replicated(mesh))
    return jitted.lower(*arguments).compile().as_text()


def two_passes(x):
    mean = x.mean(0)
    return jnp.mean((x - mean[None]) ** 2, 0)


def test_sums_that_need_one_another_are_a_chain():
    program = program_of(two_passes, (8, 3))
    assert longest_chain(program) == 2
    assert kinds(program) == [{"kind": "all-reduce", "count": 2, "arrays": 2, "bytes": 24}]


def test_sums_that_do_not_are_none():
    program = program_of(lambda x, y: (x.sum(0), (y**2).sum(0)), (8, 3), (8, 5))
    assert longest_chain(program) == 1
    assert sorted(array.size for array in collectives(program)) == [12, 20]


def test_a_chain_within_a_loop_counts():
    def loop(x):
        return jax.lax.fori_loop(0, 3, lambda _, mean: (x * mean[None]).mean(0), x.mean(0))

    assert longest_chain(program_of(loop, (8, 3))) == 2


def test_a_ring_sends_twice_what_it_sums():
    np.testing.assert_allclose(sum_seconds(1e9, [Tier(4, 1e9, 0)]), 1.5)
    assert sum_seconds(1e9, [Tier(1, 1e9, 0)]) == 0


def test_hosts_exchange_a_share_each():
    inside = 2 * 7 / 8 * 9e9 / 450e9
    between = 2 * 3 / 4 * (9e9 / 8) / 50e9
    np.testing.assert_allclose(sum_seconds(9e9, h100_tiers(32)), inside + between)


@pytest.mark.parametrize(
    ("tiers", "bandwidth", "latency"),
    [(v5e_tiers(8), 100e9, 8e-6), (v5e_tiers(64), 100e9, 28e-6), (v5e_tiers(256), 200e9, 32e-6)],
)
def test_only_rows_of_16_are_rings(tiers, bandwidth, latency):
    (tier,) = tiers
    np.testing.assert_allclose(tier[1:], (bandwidth, latency))


@pytest.mark.parametrize(("tiers", "chips"), [(v5e_tiers, 12), (v5e_tiers, 512), (h100_tiers, 12)])
def test_meshes_that_nobody_builds_are_refused(tiers, chips):
    with pytest.raises(InputError, match=str(chips)):
        tiers(chips)


def flags(**changed):
    given = {"share": 0.5, "flops": 1e12, "bandwidth": 1e9, "latency": 1e-3}
    return argparse.Namespace(**given | changed)


COST = StepCost(flops=1e10, bytes=16_000_000, arrays=9, sums=5, chain=3)


def test_a_prediction_by_hand():
    row = predict(COST, "h100", 8, 2, flags())
    assert (row["compute_ms"], row["moving_ms"]) == pytest.approx((40, 28))
    assert row["least_ms"] == pytest.approx(40 + 3)
    assert row["most_ms"] == pytest.approx(40 + 5 + 28)
    assert row["most_efficiency"] == pytest.approx(40 / 43)
    assert row["least_efficiency"] == pytest.approx(40 / 73)


def test_where_links_are_slow_they_are_the_bound():
    row = predict(COST, "v5e", 4, 2, flags(bandwidth=1e8))
    assert row["least_ms"] == row["moving_ms"] == pytest.approx(240)


def test_one_chip_exchanges_nothing():
    row = predict(COST, "v5e", 1, 2, flags())
    assert row["least_ms"] == row["most_ms"] == row["compute_ms"]


def test_the_table_is_markdown():
    rows = [{"chip": "v5e", "ms": 12.345}, {"chip": "h100", "ms": 1.0}]
    assert table(rows, ["chip", "ms"]).splitlines() == [
        "| chip | ms |", "| --- | --- |", "| v5e | 12.3 |", "| h100 | 1 |",
    ]  # fmt: skip
