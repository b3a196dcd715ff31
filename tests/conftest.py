"""Every test runs with several CPU devices, and an accidental broadcast over ranks is an error.

`make test-gpu` names another platform by TPSM_TEST_PLATFORM.
"""

import contextlib
import importlib.metadata
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest

# Tests spend most of their time in XLA's compiler, and what it compiles runs once or twice. So it
# optimizes little, here and in the processes that tests start. Whoever sets XLA_FLAGS, as
# `make test-long` does, has programs compiled as users have them.
if "XLA_FLAGS" not in os.environ:
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
    jax.config.update("jax_disable_most_optimizations", True)
    # Another release may not know these options, and would end the process.
    if importlib.metadata.version("jaxlib") == "0.10.2":
        os.environ["XLA_FLAGS"] = (
            "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
        )
# A shell starts its background jobs without SIGINT, and so what tests start and interrupt would be.
signal.signal(signal.SIGINT, signal.default_int_handler)
jax.config.update("jax_platforms", os.environ.get("TPSM_TEST_PLATFORM", "cpu"))
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")


def pytest_configure(config: pytest.Config) -> None:
    """Shares one folder of compiled programs between all workers and the processes they start.

    It outlives the session: JAX's keys name the program, its options and the versions, so only
    what changed is compiled again.
    """
    if not hasattr(config, "cache"):  # `-p no:cacheprovider`
        return
    folder = config.cache.mkdir("xla")
    with contextlib.suppress(FileNotFoundError):  # another session empties it
        if sum(path.stat().st_size for path in folder.iterdir()) > MOST_CACHED:
            shutil.rmtree(folder)
    settings = {"compilation_cache_dir": str(folder), "persistent_cache_min_compile_time_secs": 0}
    for name, value in settings.items():
        jax.config.update(f"jax_{name}", value)
        os.environ[f"JAX_{name.upper()}"] = str(value)


# A folder of compiled programs larger than this, in bytes, is emptied before a session.
MOST_CACHED = 2**31

# They begin first, so that at the end no worker is left alone with one of them.
LONGEST = (
    "official/test_training.py",
    "official/test_training_losses.py",
    "scripts/test_processes.py",
    "training/test_sharded_step.py",
    "scripts/test_interrupted_training.py",
    "scripts/test_animate.py",
    "scripts/test_train.py",
    "training/test_step.py",
    "eval/test_results.py",
    "animation/test_animator.py",
    "official/test_animation.py",
    "models/test_tpsm.py",
    "training/test_losses.py",
    "training/test_avd.py",
    "official/test_chain.py",
    "data/test_video_frames.py",
    "official/test_gradients.py",
    "data/test_prepare_interrupted.py",
    "data/test_reading.py",
    "eval/test_resumed.py",
)


@pytest.fixture(autouse=True)
def _no_process_outlives_its_test() -> Iterator[None]:
    yield
    if "tests.helpers.processes" in sys.modules:
        sys.modules["tests.helpers.processes"].end_all()


@pytest.fixture(scope="module")
def optimized() -> Iterator[None]:
    """XLA optimizes what a module compiles, for bounds that its vectorized sums keep."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", False)
    jax.clear_caches()  # JAX would take what it has compiled with other options
    yield
    jax.config.update("jax_disable_most_optimizations", before)
    jax.clear_caches()


@pytest.fixture
def nothing_kept() -> Iterator[None]:
    """JAX keeps no programs, as for a user who has said nothing about it."""
    folder = jax.config.jax_compilation_cache_dir
    seconds = os.environ.pop("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS")
    jax.config.update("jax_compilation_cache_dir", None)
    yield
    jax.config.update("jax_compilation_cache_dir", folder)
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = seconds


@pytest.fixture
def kept_folder(tmp_path: Path) -> Iterator[Path]:
    """The folder of JAX's programs; nothing takes so long to compile that JAX keeps it itself."""
    settings = {
        "jax_compilation_cache_dir": str(tmp_path / "made" / "cache"),
        "jax_persistent_cache_min_compile_time_secs": 1e9,
    }
    before = {name: getattr(jax.config, name) for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    yield tmp_path / "made" / "cache"
    for name, value in before.items():
        jax.config.update(name, value)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the longest files first; the others keep their order."""
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(f"{item.path.parent.name}/{item.path.name}", len(place)))
