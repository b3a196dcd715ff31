"""How batch and state are laid out on the devices of all hosts."""

from collections import deque
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from tpsm_jax.errors import InputError

STATE_RULES = ("replicated", "fsdp")
_SMALLEST_SHARDED = 2**16  # entries; below, the all-gather costs more than the memory is worth

HostBatch = dict[str, Any]


def make_mesh(devices: list[jax.Device] | None = None) -> Mesh:
    """One axis, 'data', over all devices of all processes, or over those given."""
    devices = jax.devices() if devices is None else devices
    # On some TPU slices devices come with the processes interleaved. The rows of the batch that a
    # process reads are neighbors, so its devices must be, too.
    devices = sorted(devices, key=lambda device: (device.process_index, device.id))
    return Mesh(np.array(devices), ("data",), axis_types=(AxisType.Auto,))


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """The sharding in which every device has its share of the batch."""
    return NamedSharding(mesh, P("data"))


def replicated(mesh: Mesh) -> NamedSharding:
    """The sharding in which every device has the whole array."""
    return NamedSharding(mesh, P())


def state_shardings(shapes: Any, mesh: Mesh, rule: str) -> Any:
    """Where each array of a state lies.

    Args:
      shapes: a tree of `jax.ShapeDtypeStruct`.
      mesh: the mesh of `make_mesh`.
      rule: "replicated", or "fsdp": each large array is cut along its longest axis that divides
        by the number of devices, so that parameters, statistics of the optimizer and averages take
        that much less memory, for one all-gather of the parameters a step.

    Returns:
      A tree of `NamedSharding`.

    Raises:
      InputError: for another rule.
    """
    check_state_sharding(rule)

    def place(leaf: jax.ShapeDtypeStruct) -> NamedSharding:
        if rule == "replicated" or leaf.size < _SMALLEST_SHARDED:
            return replicated(mesh)
        lengths = [length if length % mesh.size == 0 else 0 for length in leaf.shape]
        if not any(lengths):
            return replicated(mesh)
        axis = int(np.argmax(lengths))
        return NamedSharding(mesh, P(*[None] * axis, "data"))

    return jax.tree.map(place, shapes)


def check_state_sharding(rule: str) -> None:
    """Makes sure that `state_shardings` has a rule.

    Raises:
      InputError: if it has not.
    """
    if rule not in STATE_RULES:
        raise InputError(f"state_sharding is {' or '.join(STATE_RULES)}, not {rule!r}")


def check_batch_size(
    batch_size: int,
    devices: int,
    accumulate_steps: int = 1,
    *,
    field: str = "train_params.batch_size",
) -> None:
    """Makes sure that a batch divides evenly among devices and accumulated parts.

    Args:
      batch_size: B, over all devices.
      devices: number of devices.
      accumulate_steps: the number of parts.
      field: field of the config that sets the size.

    Raises:
      InputError: if it does not; names the nearest sizes that do.
    """
    unit = devices * accumulate_steps
    if batch_size < 1 or accumulate_steps < 1 or batch_size % unit:
        lower = batch_size // unit * unit if accumulate_steps > 0 else 0
        near = f"{lower} or {lower + unit}" if lower > 0 else f"{unit}"
        raise InputError(
            f"a batch of {batch_size} does not divide among {devices} devices"
            + (f" and {accumulate_steps} accumulated parts" if accumulate_steps != 1 else "")
            + f": take {near} (--config.{field})"
        )


def device_batches(
    batches: Iterator[HostBatch], mesh: Mesh, *, ahead: int = 2
) -> Iterator[tuple[dict[str, jax.Array], list[str]]]:
    """Sends batches to the devices before they are asked for.

    Args:
      batches: this process's share of each batch: arrays with a leading axis of b, and "name", a
        list of b names, which stay on the host.
      mesh: made by `make_mesh`.
      ahead: number of batches sent ahead of the one in use.

    Yields:
      The arrays of the global batch, sharded along their first axis, under their names; and the
      names of this process's share.
    """
    sharding = batch_sharding(mesh)
    waiting: deque[tuple[dict[str, jax.Array], list[str]]] = deque()
    for batch in batches:
        arrays = {
            key: jax.make_array_from_process_local_data(sharding, value)
            for key, value in batch.items()
            if key != "name"
        }
        waiting.append((arrays, list(batch["name"])))
        if len(waiting) > ahead:
            yield waiting.popleft()
    yield from waiting
