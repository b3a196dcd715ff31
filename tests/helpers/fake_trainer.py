"""A trainer as small as can be, for tests of the loop around it; also run as a script."""

import functools
import itertools
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from ml_collections import ConfigDict

from tests.helpers.waiting import wait_until
from tpsm_jax.parallel.sharding import HostBatch, make_mesh
from tpsm_jax.training.state import TrainState

BATCH = 4


def loop_config(**changes: Any) -> ConfigDict:
    """All that the loop and the workdir read."""
    fields = {
        "model_params": {"width": 8},
        "total_steps": 12,
        "log_every": 1,
        "checkpoint_every": 4,
        "keep_checkpoints": 2,
        "eval_every": 0,
        "picture_every": 0,
        "skip_nonfinite_steps": 0,
        "skip_broken": 0,
        "tensorboard": False,
        "optimizer": "",
        "freeze": (),
        "dataset": {"mix_weights": ()},
    }
    assert not changes.keys() - fields.keys()
    return ConfigDict({**fields, **changes})


class FakeTrainer:
    """Fits a linear model to noise; random in each step, and its loss depends on all before."""

    num_epochs = 3
    batch_size = BATCH

    def __init__(
        self,
        *,
        devices: list[jax.Device] | None = None,
        ema: bool = False,
        sharded: bool = False,
        optimizer: optax.GradientTransformation | None = None,
        steps_per_epoch: int = 100,
        width: int = 8,
    ):
        self.mesh = make_mesh(devices or jax.devices()[:BATCH])
        self.steps_per_epoch = steps_per_epoch
        self._ema, self._width = ema, width
        self._optimizer = optimizer or optax.adam(0.05)
        shapes = jax.eval_shape(self._init)
        self.shardings = jax.tree.map(functools.partial(_place, self.mesh, sharded), shapes)
        self._abstract = jax.tree.map(
            lambda leaf, place: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place),
            shapes,
            self.shardings,
        )
        self._step = jax.jit(self._update, out_shardings=(self.shardings, None), donate_argnums=0)
        self.steps: list[int] = []

    def _init(self) -> TrainState:
        params = {
            "network": {"weight": jnp.linspace(-1, 1, 48 * self._width), "bias": jnp.zeros(())}
        }
        return TrainState(
            step=jnp.int32(0),
            params=params,
            batch_stats={"network": {"mean": jnp.zeros(3)}},
            opt_state={"network": self._optimizer.init(params)},
            ema_params=jax.tree.map(jnp.copy, params) if self._ema else None,
        )

    def create_state(self) -> TrainState:
        return jax.jit(self._init, out_shardings=self.shardings)()

    def abstract_state(self) -> TrainState:
        return self._abstract

    def step(
        self, state: TrainState, batch: HostBatch, step: int
    ) -> tuple[TrainState, dict[str, jax.Array]]:
        self.steps.append(step)
        return self._step(state, batch)

    def _update(
        self, state: TrainState, batch: HostBatch
    ) -> tuple[TrainState, dict[str, jax.Array]]:
        source = batch["source"].astype(jnp.float32) / 255
        noise = jax.random.normal(jax.random.fold_in(jax.random.key(7), state.step), ())

        def losses(params: Any) -> jax.Array:
            weight = params["network"]["weight"].reshape(-1, 48)
            made = source.reshape(BATCH, 48) @ weight.T + params["network"]["bias"]
            loss = jnp.mean((made - noise) ** 2)
            # A white batch stands for one that breaks the loss.
            return jnp.where(jnp.min(source) == 1, jnp.nan, loss)

        loss, gradients = jax.value_and_grad(losses)(state.params)
        finite = jnp.isfinite(loss)
        updates, opt_state = self._optimizer.update(
            gradients, state.opt_state["network"], state.params
        )
        params = optax.apply_updates(state.params, updates)
        ema_params = state.ema_params
        if ema_params is not None:
            ema_params = optax.incremental_update(params, ema_params, 0.1)
        mean = 0.9 * state.batch_stats["network"]["mean"] + 0.1 * source.mean((0, 1, 2))
        after = TrainState(
            state.step, params, {"network": {"mean": mean}}, {"network": opt_state}, ema_params
        )
        after = jax.tree.map(lambda new, old: jnp.where(finite, new, old), after, state)
        largest = optax.tree.norm(gradients, ord=jnp.inf)
        metrics = {
            "loss": loss,
            "loss/fit": loss,
            "gradient/network": largest,
            "learning_rate/network": jnp.float32(0.05),
            "finite": finite.astype(jnp.float32),
        }
        return after.replace(step=state.step + 1), metrics

    def outputs(self, state: TrainState, batch: HostBatch, count: int, step: int) -> dict[str, Any]:
        pair = [batch[key][:count].astype(jnp.float32) / 255 for key in ("source", "driving")]
        return {"source": pair[0], "driving": pair[1], "prediction": pair[1]}


def _place(mesh: Mesh, sharded: bool, leaf: jax.ShapeDtypeStruct) -> NamedSharding:
    cut = sharded and leaf.size > 16
    return NamedSharding(mesh, PartitionSpec("data") if cut else PartitionSpec())


def batches(
    start: int, *, broken: tuple[int, ...] = (), share: slice = slice(None), delay: float = 0
) -> Iterator[HostBatch]:
    """Endless batches from a step on; `broken` steps (counted from 1) have no finite loss."""
    step = start
    while True:
        step += 1
        frames = np.random.default_rng(step).integers(0, 250, (2, BATCH, 4, 4, 3), np.uint8)
        if step in broken:
            frames[:] = 255
        names = [f"clip{step}_{row}" for row in range(BATCH)]
        time.sleep(delay)
        yield {"source": frames[0, share], "driving": frames[1, share], "name": names[share]}


def evaluation(
    values: Iterator[float], *, rounds: int = 1, delay: float = 0
) -> Callable[[Any, Callable[[], bool]], dict[str, float]]:
    """An evaluation whose L1 is given, which asks so many times whether to give up."""

    def evaluate(variables: Any, stop: Callable[[], bool]) -> dict[str, float]:
        value = next(values)
        for _ in range(rounds):
            time.sleep(delay)
            if stop():
                return {}
        return {"eval/l1": value, "eval/clips": 2}

    return evaluate


def lines(workdir: Path) -> list[dict[str, Any]]:
    """What metrics.jsonl holds; nothing where there is none yet.

    Its last line may be half written: then it does not count.
    """
    path = workdir / "metrics.jsonl"
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def losses(workdir: Path) -> dict[int, float]:
    """Step -> loss; fails if a step stands twice."""
    every = lines(workdir)
    found = {line["step"]: line["loss"] for line in every}
    assert len(found) == len(every)
    return found


def main() -> None:
    """Trains: WORKDIR [FIELD=NUMBER ...] [delay=SECONDS] [width=NUMBER] [full=STEP] [hold=STEP].

    `full` is the step at which the disk is full. An evaluation takes twenty times the delay. Before
    the step `hold`, the batches wait until there is a file WORKDIR.go.
    """
    # Here, for conftest.py has set it for tests already.
    jax.config.update("jax_platforms", "cpu")
    from tpsm_jax.parallel.distributed import initialize
    from tpsm_jax.training.loop import train

    given = dict(argument.split("=") for argument in sys.argv[2:])
    jax.config.update("jax_num_cpu_devices", int(given.pop("devices", 1)))
    initialize()
    delay, width = float(given.pop("delay", 0)), int(given.pop("width", 8))
    full, hold = (f"clip{given.pop(name, 0)}_" for name in ("full", "hold"))
    config = loop_config(**{name: int(value) for name, value in given.items()})
    rows = BATCH // jax.process_count()
    share = slice(jax.process_index() * rows, (jax.process_index() + 1) * rows)
    usage = shutil.disk_usage("/")._replace(free=0)

    def made(start: int) -> Iterator[HostBatch]:
        for batch in batches(start, share=share, delay=delay):
            if batch["name"][0].startswith(full):
                shutil.disk_usage = lambda _: usage
            if batch["name"][0].startswith(hold):
                wait_until(Path(f"{sys.argv[1]}.go").exists)
            yield batch

    evaluate = evaluation(itertools.count(1.0), rounds=20, delay=delay)
    train(config, sys.argv[1], FakeTrainer(width=width, ema=True), made, evaluate)


if __name__ == "__main__":
    from tpsm_jax.cli import run_script

    run_script(main)
