"""What some steps of an official loop did, and what is kept of it."""

from collections.abc import Callable, Iterator

import numpy as np
import torch

from tests.golden.reference_loops import Recorder
from tests.helpers.golden_cases import gradient_samples

Arrays = dict[str, np.ndarray]


class Run:
    """Some steps of an official loop, in a precision.

    Attributes (tensors are called "network.key"):
      networks: those that the loop was given.
      losses: for each step, term -> value.
      rates: for each step, optimizer -> learning rate.
      gradients: for each step, parameter -> gradient before it is scaled; zeros where it is None.
      before, after: parameters.
    """

    def __init__(self, networks: dict[str, torch.nn.Module], recorder: Recorder):
        self.networks, self._recorder = networks, recorder
        self.losses, self.rates = recorder.losses, recorder.rates
        self.gradients: list[Arrays] = []
        self.before = self._read(lambda value: value.detach())

    def finish(self) -> "Run":
        self.after = self._read(lambda value: value.detach())
        return self

    def keep_gradients(self) -> None:
        """To be called before each step's gradients are scaled."""
        self.gradients.append(
            self._read(lambda value: torch.zeros_like(value) if value.grad is None else value.grad)
        )

    def _read(self, of: Callable[[torch.nn.Parameter], torch.Tensor]) -> Arrays:
        return {name: of(value).numpy().copy() for name, value in self._parameters()}

    def _parameters(self) -> Iterator[tuple[str, torch.nn.Parameter]]:
        for network, module in self.networks.items():
            for key, value in module.named_parameters():
                yield f"{network}.{key}", value

    def statistics(self) -> Arrays:
        """Running means and variances after the steps."""
        return {
            f"{network}.{key}": value.numpy()
            for network, module in self.networks.items()
            for key, value in module.named_buffers()
            if "running_" in key
        }

    def moments(self) -> tuple[Arrays, Arrays, dict[str, int]]:
        """Adam's mean, mean square and count of steps of each parameter; 0 where it kept none."""
        states = {
            id(parameter): state
            for optimizer in self._recorder.optimizers().values()
            for parameter, state in optimizer.state.items()
        }
        mean, square, count = {}, {}, {}
        for name, value in self._parameters():
            state = states.get(id(value), {})
            zeros = torch.zeros_like(value)
            mean[name] = state.get("exp_avg", zeros).numpy()
            square[name] = state.get("exp_avg_sq", zeros).numpy()
            count[name] = int(state.get("step", 0))
        return mean, square, count


def trajectory(run_in: Callable[..., Run]) -> Arrays:
    """What a run did, in float64, and how far it goes astray when its pictures move by 1e-12.

    Returns:
      names [P]; of each of gradient_0, gradient_1, ..., update, mean and square: norm and largest
      absolute entry [P] and samples [P, 16]; count [P]; has_gradient [P], false for parameters
      whose gradient is rounding noise; losses/TERM and rates/OPTIMIZER [steps]; statistics/KEY.
    """
    run, moved = run_in(torch.float64), run_in(torch.float64, nudge=1e-12)
    kept: Arrays = {"names": np.array(list(run.before))}
    for kind, rows in (("losses", run.losses), ("rates", run.rates)):
        for name in dict.fromkeys(name for row in rows for name in row):
            kept[f"{kind}/{name}"] = np.array([row.get(name, 0) for row in rows])
    kept["count"] = np.array(list(run.moments()[2].values()), np.int32)
    norms = np.array([np.linalg.norm(array) for array in run.gradients[-1].values()])
    kept["has_gradient"] = norms > 1e-9 * np.median(norms)
    tables = zip(_tables(run).items(), _tables(moved).values(), strict=True)
    for (kind, arrays), moved_arrays in tables:
        columns, moved_columns = _columns(arrays), _columns(moved_arrays)
        kept |= {f"{kind}/{name}": column for name, column in columns.items()}
        kept[f"noise/{kind}"] = _largest_distance(columns, moved_columns, kept["has_gradient"])
    for key, array in run.statistics().items():
        kept[f"statistics/{key}"] = array.astype(np.float32)
    return kept


def _tables(run: Run) -> dict[str, Arrays]:
    mean, square, _ = run.moments()
    gradients = {f"gradient_{i}": gradient for i, gradient in enumerate(run.gradients)}
    update = {name: run.after[name] - value for name, value in run.before.items()}
    return {**gradients, "update": update, "mean": mean, "square": square}


def _columns(arrays: Arrays) -> Arrays:
    """What is kept of each tensor."""
    return {
        "norm": np.array([np.linalg.norm(array) for array in arrays.values()]),
        "largest": np.array([np.abs(array).max() for array in arrays.values()]),
        "samples": np.array([gradient_samples(array) for array in arrays.values()]),
    }


def _largest_distance(columns: Arrays, moved: Arrays, counts: np.ndarray) -> np.float32:
    """Of norms and samples, as the tests measure it."""
    counts = counts & (columns["largest"] > 0)
    norm, largest, samples = (columns[name][counts] for name in ("norm", "largest", "samples"))
    norms = np.abs(moved["norm"][counts] - norm) / norm
    entries = np.abs(moved["samples"][counts] - samples).max(axis=1) / largest
    return np.float32(max(norms.max(), entries.max()))
