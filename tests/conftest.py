"""Every test runs with several CPU devices, and an accidental broadcast over ranks is an error."""

import jax
import pytest

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")

# Of minutes each. They begin first, so that at the end no worker is left alone with one of them.
LONGEST = (
    "test_golden_training.py",
    "test_sharded_step.py",
    "test_processes.py",
    "test_training_step.py",
    "test_train_script.py",
    "test_golden_reconstruction.py",
    "test_golden_gradients.py",
    "test_golden_chain.py",
    "test_golden_networks.py",
    "test_avd.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the longest files first; the others keep their order."""
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.name, len(place)))
