"""The exported file: the Animator's very frames, in a process without this package's code."""

import json
import os
import re
import signal
import subprocess
import sys

import jax
import jax.export
import numpy as np
import pytest

from tests.helpers.paths import ROOT
from tests.helpers.processes import LIKE_A_TEST, STRICT
from tests.helpers.small import draw_variables, pictures
from tests.helpers.tiny_training import SIZE, tiny_config
from tpsm_jax.animation import export
from tpsm_jax.animation.animator import Animator
from tpsm_jax.checkpoints.converted import load_checkpoint, save_checkpoint
from tpsm_jax.cli import run_script

CONFIG = tiny_config()
# Less to compile.
CONFIG.model_params.common_params.multi_mask = False
CONFIG.model_params.generator_params.num_down_blocks = 1
CONFIG.model_params.dense_motion_params.num_blocks = 1
WIDTH = 2 * SIZE
SOURCE = pictures(1, SIZE, WIDTH, seed=2)
FRAMES = pictures(6, SIZE, WIDTH, seed=1)

# serve.py is what docs/serving.md says it is.
CLIENT = """
import sys
import numpy as np
import serve

given = np.load("given.npz")
source, frames = given["source"], given["frames"]
relative = np.concatenate(list(serve.animate(source, [frames[:3], frames[3:]])))
encoded = serve.encode_source(serve.weights, source)
avd = serve.load("next_frames_avd")(serve.weights, encoded, frames[:1])
np.savez("results.npz", kp_source=encoded["kp_source"], relative=relative, avd=avd)
unwanted = {"tpsm_jax", "flax", "orbax", "ml_collections"} & {*sys.modules}
assert not unwanted, unwanted
"""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A checkpoint, and one without AVD."""
    folder = tmp_path_factory.mktemp("inputs")
    variables = draw_variables(CONFIG.model_params)
    # An untrained detector hardly looks at the picture; these keypoints move visibly.
    dense = variables["params"]["kp_detector"]["fg_encoder"]["fc"]
    dense["kernel"] = dense["kernel"] * 20
    save_checkpoint(folder / "checkpoint", variables, CONFIG)
    for networks in variables.values():
        networks.pop("avd_network", None)
    save_checkpoint(folder / "no_avd", variables, CONFIG)
    return folder


@pytest.fixture(autouse=True)
def _handler_stays():
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


def run(monkeypatch, checkpoint, output, *more):
    """Runs the module's `main` here; its exit code."""
    words = ["export.py", "--checkpoint", str(checkpoint), "--output", str(output)]
    monkeypatch.setattr(sys, "argv", [*words, *more])
    with pytest.raises(SystemExit) as end:
        run_script(export.main)
    return end.value.code


@pytest.mark.slow
def test_served_without_this_package_the_frames_are_the_animators(monkeypatch, inputs, tmp_path):
    refuse_default_backend(monkeypatch)
    path = tmp_path / "vox.jaxexport"
    more = ("--modes", "avd", "relative", "--size", f"{SIZE}x{WIDTH}", "--output_dtype", "float32")
    assert run(monkeypatch, inputs / "checkpoint", path, *more) == 0
    with np.load(path) as archive:
        check_contents(archive)
    page = (ROOT / "docs" / "serving.md").read_text()
    (code,) = re.findall("```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "serve.py").write_text(code)
    np.savez(tmp_path / "given.npz", source=SOURCE, frames=FRAMES)
    command = [sys.executable, *STRICT, "-c", CLIENT]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, **LIKE_A_TEST},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr

    with np.load(tmp_path / "results.npz") as results:
        served = dict(results)
    checkpoint = load_checkpoint(inputs / "checkpoint")
    options = {"size": (SIZE, WIDTH), "batch_size": 3, "output_dtype": np.float32}
    animator = Animator(checkpoint, SOURCE[0], **options)
    np.testing.assert_array_equal(served["kp_source"][0], animator.kp_source)
    np.testing.assert_array_equal(served["relative"], list(animator.animate(FRAMES)))
    animator = Animator(checkpoint, SOURCE[0], mode="avd", **{**options, "batch_size": 1})
    np.testing.assert_array_equal(served["avd"], list(animator.animate(FRAMES[:1])))
    assert np.abs(np.diff(served["relative"], axis=0)).max(axis=(1, 2, 3)).min() > 1e-3
    assert np.abs(served["relative"][:1] - served["avd"]).max() > 1e-3


def refuse_default_backend(monkeypatch):
    """Where programs are made, nothing may be written for the machine that makes them."""
    make = export._program

    def program(*arguments):
        with monkeypatch.context() as patched:
            patched.delattr(jax, "default_backend")
            return make(*arguments)

    monkeypatch.setattr(export, "_program", program)


def check_contents(archive):
    """The weights once, and a program a platform for any batch."""
    header = json.loads(archive["header.json"])
    assert (header["height"], header["width"], header["output_dtype"]) == (SIZE, WIDTH, "float32")
    assert header["config"] == {
        "image_size": [*CONFIG.image_size],
        "model_params": json.loads(CONFIG.model_params.to_json()),
    }
    modes = [f"next_frames_{mode}" for mode in ("relative", "avd")]
    assert list(header["functions"]) == ["encode_source", "find_keypoints", *modes]
    networks = {name.split("/")[2] for name in archive.files if name.startswith("weights/params/")}
    assert networks == {"kp_detector", "dense_motion_network", "inpainting_network", "avd_network"}
    assert header["platforms"] == {"cpu": "cpu", "gpu": "cuda", "tpu": "tpu"}
    programs = {}
    for backend, platform in header["platforms"].items():
        stored = archive[f"functions/{backend}/next_frames_relative"]
        assert b"/tpsm_jax/" not in stored  # no file of this machine is named
        exported = jax.export.deserialize(bytearray(stored))
        assert exported.platforms == (platform,)
        assert str(exported.out_avals[0].shape) == f"(b, {SIZE}, {WIDTH}, 3)"
        programs[backend] = exported.mlir_module()
    # Detours that pay on a CPU are not taken elsewhere, wherever the file was made.
    products = {backend: text.count("dot_general") for backend, text in programs.items()}
    assert products["cpu"] > products["gpu"] == products["tpu"]
    # `solve` eliminates on a TPU.
    assert [name for name, text in programs.items() if "triangular" in text] == ["cpu", "gpu"]


@pytest.mark.slow
def test_a_checkpoint_without_avd_exports_the_other_modes(monkeypatch, inputs, tmp_path, capsys):
    monkeypatch.setattr(export, "PLATFORMS", {"cpu": "cpu"})
    path = tmp_path / "new" / "x.jaxexport"
    assert run(monkeypatch, inputs / "no_avd", path) == 0
    assert "next_frames_relative, next_frames_standard; " in capsys.readouterr().out
    assert os.listdir(path.parent) == ["x.jaxexport"]
    with np.load(path) as archive:
        assert not any("avd" in name for name in archive.files)
        program = bytearray(archive["functions/cpu/next_frames_standard"])
    assert jax.export.deserialize(program).out_avals[0].dtype == np.uint8


@pytest.mark.parametrize(
    ("checkpoint", "output", "more", "words"),
    [
        ("nowhere", "x", [], "there is no checkpoint "),
        ("no_avd", "x", ["--modes", "avd"], "mode 'avd' needs the weights of avd_network"),
        ("no_avd", "x", ["--modes", "fast"], "invalid choice: 'fast'"),
        ("no_avd", "x", ["--size", "30"], "pictures of 30x30 (height x width) do not fit"),
        ("no_avd", "x", ["--size", "big"], "'big' is not HEIGHTxWIDTH or one number"),
        ("no_avd", "x", ["--step", "best"], "has no steps to choose of"),
        ("no_avd", "", [], "is a folder; give the name of a file"),
        ("no_avd", "file/x", [], "file/x cannot be written: "),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    monkeypatch, inputs, tmp_path, capsys, checkpoint, output, more, words
):
    (tmp_path / "file").write_text("")
    assert run(monkeypatch, inputs / checkpoint, tmp_path / output, *more) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert words in err
    assert os.listdir(tmp_path) == ["file"]
