"""train.py by several processes: what they compute, save, restore, and do about a signal."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from tests.helpers.fake_trainer import lines, losses
from tests.helpers.paths import ROOT
from tests.helpers.tiny_training import tiny_batch, tiny_config
from tests.helpers.waiting import wait_until
from tpsm_jax.checkpoints.orbax_io import load_tree
from tpsm_jax.checkpoints.steps import finished_steps

pytestmark = pytest.mark.long

# As few operations as a whole model can have, to compile in little time.
CONFIG = """
from tests.helpers.tiny_training import tiny_config

def get_config():
    config = tiny_config(log_every=1, picture_every=0, checkpoint_every=0)
    config.eval_every = 1000  # after the last step, then
    config.dataset.path = {root!r}
    config.dataset_params.id_sampling = False
    config.model_params.common_params.bg = False
    config.model_params.common_params.multi_mask = False
    config.model_params.generator_params.num_down_blocks = 1
    train = config.train_params
    # Not Adam: it makes whole steps of gradients that are nothing but rounding.
    config.optimizer = "sgd"
    config.optimizer_params = {{"momentum": 0.9}}
    train.lr_generator = 1e-4
    train.batch_size = 8
    # At half the size the detector's last normalizations would be over 8 values a channel, whose
    # variance may be next to nothing, and rounding would grow a thousandfold in a step.
    config.image_size = (64, 64)
    train.dataloader_workers = 1
    train.dropout_epoch = 0
    train.scales = (1,)
    train.loss_weights.equivariance_value = 0
    train.loss_weights.warp_loss = 0
    return config
"""


@contextlib.contextmanager
def training(workdir, *arguments, processes, devices):
    """train.py as so many processes of so many devices; none of them outlives the block."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    command = [sys.executable, "train.py", "--config", workdir.parent / "config.py"]
    command += ["--workdir", workdir, *arguments]
    environ = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": f"{devices}",
    }
    started = []
    try:
        for number in range(processes):
            if processes > 1:
                environ["JAX_COORDINATOR_ADDRESS"] = address
                environ["JAX_NUM_PROCESSES"] = f"{processes}"
                environ["JAX_PROCESS_ID"] = f"{number}"
            with open(f"{workdir}.{number}.txt", "w") as said:
                process = subprocess.Popen(
                    command, cwd=ROOT, env=environ, stdout=said, stderr=said, start_new_session=True
                )
            started.append(process)
        yield started
    finally:
        for process in started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for(condition, workdir, processes):
    """Until it is true; fails if a process fails or too much time passes."""

    def met():
        codes = [process.poll() for process in processes]
        if any(codes):
            # Not an assertion, which would cut what they said.
            pytest.fail("\n".join([f"exit codes {codes}", *output(workdir, processes)]))
        return condition()

    wait_until(met)


def output(workdir, processes):
    """What each process said."""
    return [Path(f"{workdir}.{number}.txt").read_text() for number in range(len(processes))]


def run(workdir, *arguments, **layout):
    """Trains to the end."""
    with training(workdir, *arguments, **layout) as processes:
        return finish(workdir, processes)


def finish(workdir, processes):
    """Waits until all have ended well, and gives what they said."""
    wait_for(lambda: all(process.poll() == 0 for process in processes), workdir, processes)
    said = output(workdir, processes)
    assert "Traceback" not in "".join(said)
    return said


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A run of two processes, of which one gets a SIGTERM."""
    folder = tmp_path_factory.mktemp("processes")
    (folder / "config.py").write_text(CONFIG.format(root=str(folder / "clips")))
    frames = tiny_batch(tiny_config())
    for clip, pair in enumerate(zip(frames["source"], frames["driving"], strict=True)):
        place = folder / "clips" / ("test" if clip > 5 else "train") / f"clip{clip}"
        place.mkdir(parents=True)
        for number, frame in enumerate(pair):
            Image.fromarray(frame).save(place / f"{number}.png")

    workdir = folder / "stopped"
    with training(workdir, processes=2, devices=2) as processes:
        wait_for(lambda: losses(workdir), workdir, processes)
        processes[1].terminate()  # we send the other no signal
        said = finish(workdir, processes)
    return workdir, said


@pytest.fixture(scope="module")
def step(stopped):
    """After which it stopped."""
    return finished_steps(stopped[0])[-1]


@pytest.fixture(scope="module")
def undisturbed(stopped, step):
    """The same run by one process, three steps further, with a checkpoint where that stopped."""
    workdir = stopped[0].parent / "undisturbed"
    settings = (f"--config.total_steps={step + 3}", f"--config.checkpoint_every={step}")
    run(workdir, *settings, processes=1, devices=4)
    return workdir


def assert_close(workdir, other, steps):
    """The losses of the steps."""
    pair = [[losses(folder)[step] for step in steps] for folder in (workdir, other)]
    np.testing.assert_allclose(*pair, rtol=1e-4)


def assert_same_evaluation(workdir, other):
    """Of the last step, by one process or shared by two."""
    found, expected = lines(workdir)[-1], lines(other)[-1]
    names = {name for name in expected if name.startswith("eval/")}
    assert names == {name for name in found if name.startswith("eval/")}
    assert expected["eval/clips"] == found["eval/clips"] == 2
    for name in names:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-3, err_msg=name)


def goes_on(workdir, other, step, **layout):
    """Continues what another run had saved after a step, in a workdir of its own."""
    shutil.copytree(other, workdir)
    for later in finished_steps(workdir):
        if later > step:
            shutil.rmtree(workdir / "checkpoints" / f"{later}")
    run(workdir, f"--config.total_steps={step + 3}", **layout)
    assert list(losses(workdir)) == list(range(1, step + 4))
    assert finished_steps(workdir) == [step, step + 3]


def test_a_signal_to_one_stops_both_after_the_same_step(stopped, step):
    workdir, said = stopped
    assert finished_steps(workdir) == [step]
    assert [line["step"] for line in lines(workdir)] == list(range(1, step + 1))
    assert f"stopped after step {step}; the same command resumes" in said[0]
    assert f"stopped after step {step}" not in said[1]


def test_two_processes_equal_one(stopped, step, undisturbed):
    first, expected = lines(stopped[0])[0], lines(undisturbed)[0]
    for name, value in expected.items():
        # A relu that changes side by rounding moves the largest gradient by 1e-3.
        bound = {"loss": 1e-5, "grad": 5e-3, "lear": 0, "epoc": 0}.get(name[:4])
        if bound is not None:
            np.testing.assert_allclose(first[name], value, rtol=bound, err_msg=name)
    assert_close(stopped[0], undisturbed, range(1, step + 1))
    trees = [
        load_tree(folder / "checkpoints" / f"{step}" / "variables")
        for folder in (stopped[0], undisturbed)
    ]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), *trees)


def test_one_process_goes_on_where_two_stopped(stopped, step, undisturbed):
    workdir = stopped[0].parent / "then_one"
    goes_on(workdir, stopped[0], step, processes=1, devices=4)
    assert_close(workdir, undisturbed, range(step + 1, step + 4))


def test_two_processes_go_on_where_one_stopped(step, undisturbed):
    workdir = undisturbed.parent / "then_two"
    goes_on(workdir, undisturbed, step, processes=2, devices=2)
    assert_close(workdir, undisturbed, range(step + 1, step + 4))
    assert_same_evaluation(workdir, undisturbed)
