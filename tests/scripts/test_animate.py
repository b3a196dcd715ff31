"""animate.py as a command: what it writes, and that bad input or an interrupt leaves nothing."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import av
import jax
import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

import animate
from tests.helpers.converted_folders import write_run
from tests.helpers.processes import STRICT
from tests.helpers.small import model_params, pictures, small_model
from tests.unit.media.test_video_reader import make_clip
from tpsm_jax.animation.animator import Animator
from tpsm_jax.checkpoints.converted import load_checkpoint, save_checkpoint
from tpsm_jax.cli import run_script
from tpsm_jax.media.images import read_image
from tpsm_jax.media.video_reader import open_video
from tpsm_jax.runtime.compilation_cache import use_compilation_cache
from tpsm_jax.runtime.run_lock import only_writer

ROOT = Path(animate.__file__).parent
# The inputs are not square; test_animate_framing.py crops them.
AS_IT_IS = {"compilation_cache": "none", "crop": "none", "crop_driving": "none"}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A folder with a checkpoint, one without AVD, a training run, a picture, and clips."""
    folder = tmp_path_factory.mktemp("inputs")
    _, variables = small_model()
    config = ConfigDict({"image_size": (64, 64), "model_params": model_params()})
    write_run(folder / "run", variables, {3: 0.5, 6: 1.0})
    save_checkpoint(folder / "checkpoint", variables, config)
    for networks in variables.values():
        networks.pop("avd_network", None)
    save_checkpoint(folder / "no_avd", variables, config)
    Image.fromarray((pictures(1, 150, 140)[0] * 255).astype(np.uint8)).save(folder / "source.png")
    make_clip(folder / "driving.mp4", seconds=0.2, rate=25, audio=["aac"])
    make_clip(folder / "long.mp4", seconds=200, rate=25, size="32x32", audio=["aac"])
    (folder / "frames").mkdir()
    for index, frame in enumerate(pictures(3, 64, 64, seed=1)):
        Image.fromarray((frame * 255).astype(np.uint8)).save(folder / "frames" / f"{index}.png")
    (folder / "broken.mp4").write_bytes(b"no clip")
    (folder / "empty").mkdir()
    return folder


def arguments(inputs, output, options):
    given = {"checkpoint": "checkpoint", "source": "source.png", "driving": "driving.mp4"}
    given |= {name: options.pop(name) for name in list(options) if name in given}
    words = ["animate.py", "--output", str(output)]
    for name, file in given.items():
        words += [f"--{name}", str(inputs / file)]
    for name, value in {**AS_IT_IS, **options}.items():
        words += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    return words


@pytest.fixture
def run(inputs, monkeypatch, capsys):
    """Runs the script here, in this process: (exit code, standard output, standard error)."""
    handler = signal.getsignal(signal.SIGTERM)

    def run(output, **options):
        monkeypatch.setattr(sys, "argv", arguments(inputs, output, options))
        with pytest.raises(SystemExit) as end:
            run_script(animate.main)
        return end.value.code, *capsys.readouterr()

    yield run
    signal.signal(signal.SIGTERM, handler)


@pytest.mark.slow
def test_a_video_with_its_sound(run, tmp_path):
    code, out, err = run(tmp_path / "out.mp4", batch_size=2)
    clip = open_video(tmp_path / "out.mp4")
    assert code == 0
    assert (clip.fps, clip.audio_codec) == (25, "aac")
    assert [frame.shape for frame in clip] == [(64, 64, 3)] * 5
    with av.open(str(tmp_path / "out.mp4")) as video:
        assert video.metadata["comment"] == animate.GENERATED
    summary = r"5 frames, the first after \d+\.\d\d s, then \d+\.\d\d frames/s\n"
    assert re.search(summary, out)
    assert "5/5" in err
    assert "frame/s" in err or "s/frame" in err
    assert os.listdir(tmp_path) == ["out.mp4"]


@pytest.mark.slow
def test_without_sound(run, tmp_path):
    code, *_ = run(tmp_path / "out.mp4", no_audio=True, batch_size=2)
    assert code == 0
    assert open_video(tmp_path / "out.mp4").audio_codec is None


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["standard", "relative"])
def test_pictures_are_the_animators_frames(run, inputs, tmp_path, mode):
    code, *_ = run(f"{tmp_path}/out/", driving="frames", mode=mode, batch_size=2)
    checkpoint = load_checkpoint(inputs / "checkpoint")
    animator = Animator(checkpoint, read_image(inputs / "source.png"), mode=mode, batch_size=2)
    expected = list(animator.animate(open_video(inputs / "frames")))
    assert code == 0
    np.testing.assert_array_equal(list(open_video(tmp_path / "out")), expected)


@pytest.mark.slow
def test_the_best_step_of_a_training_run(run, inputs, tmp_path):
    """Which has the weights of the checkpoint, the latest having others."""
    options = {"driving": "frames", "batch_size": 2, "mode": "standard"}
    for name, more in (
        ("one", {}),
        ("best", {"checkpoint": "run", "step": "best"}),
        ("latest", {"checkpoint": "run"}),
    ):
        assert run(f"{tmp_path}/{name}/", **options, **more)[0] == 0
    one, best, latest = (
        np.stack(list(open_video(tmp_path / name))) for name in ("one", "best", "latest")
    )
    np.testing.assert_array_equal(best, one)
    assert (latest != one).any()


@pytest.mark.slow
def test_the_frame_rate_of_a_folder(run, tmp_path):
    code, *_ = run(tmp_path / "out.mp4", driving="frames", fps=10, batch_size=2)
    assert code == 0
    assert open_video(tmp_path / "out.mp4").fps == 10


@pytest.mark.slow
def test_the_best_frame_is_named(run, tmp_path):
    options = {"driving": "frames", "batch_size": 2, "find_best_frame": True}
    code, out, _ = run(f"{tmp_path}/out/", **options)
    assert code == 0
    assert re.search(r"best frame: [012]\n", out)
    assert len(os.listdir(tmp_path / "out")) == 3


@pytest.mark.slow
def test_another_size_and_bfloat16(run, tmp_path):
    options = {"driving": "frames", "size": "64x128", "dtype": "bfloat16"}
    code, *_ = run(f"{tmp_path}/out/", **options)
    assert code == 0
    assert {frame.shape for frame in open_video(tmp_path / "out")} == {(64, 128, 3)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"checkpoint": "nothing"}, "nothing"),
        ({"source": "nothing.png"}, "there is no picture"),
        ({"source": "broken.mp4"}, "cannot read the picture"),
        ({"driving": "nothing.mp4"}, "there is no video"),
        ({"driving": "broken.mp4"}, "no video that PyAV can read"),
        ({"driving": "empty"}, "no picture"),
        ({"fps": 10}, "its own frame rate"),
        ({"checkpoint": "no_avd", "mode": "avd"}, "avd_network"),
        ({"checkpoint": "run", "step": "4"}, "no checkpoint of step 4, only of 3, 6"),
        ({"checkpoint": "run", "step": "last"}, "neither a number nor 'latest' nor 'best'"),
        ({"step": "best"}, "no training run"),
        ({"size": "200"}, "multiples of 16"),
        ({"size": "128x128x3"}, "HEIGHTxWIDTH"),
        ({"size": "0"}, "multiples of 16"),
        ({"size": "wide"}, "HEIGHTxWIDTH"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(run, tmp_path, options, message):
    for name in ("out.mp4", "out/"):
        code, out, err = run(f"{tmp_path}/{name}", **options)
        assert (code, out) == (2, "")
        assert re.fullmatch(rf"error: .*{message}.*\n", err)
        assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["out.avi", "missing/out.mp4", "missing/out/", "missing/out.png"])
def test_an_unwritable_output_is_reported_before_any_work(run, tmp_path, monkeypatch, name):
    monkeypatch.setattr(animate, "load_checkpoint", None)
    code, out, err = run(f"{tmp_path}/{name}")
    assert (code, out) == (2, "")
    assert re.fullmatch(r"error: cannot write .*\n", err)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("name", "number"), [("out.mp4", "INT"), ("out/", "TERM")])
@pytest.mark.slow
def test_an_interrupted_run_leaves_no_file_and_no_process(inputs, tmp_path, name, number):
    results = tmp_path / "results"
    results.mkdir()
    options = {"driving": "long.mp4", "compilation_cache": tmp_path / "cache"}
    words = arguments(inputs, f"{results}/{name}", options)
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, *STRICT, *words]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE) as process:
        said = b""
        while not re.search(rb"animating:.* [1-9]\d*/5000", said):
            said += process.stderr.read(1) or pytest.fail(said.decode())
        lock, temporary = sorted(os.listdir(results), key=lambda name: not name.endswith(".lock"))
        assert lock == f".{name.rstrip('/')}.lock"
        assert temporary.startswith(".out")
        process.send_signal(getattr(signal, f"SIG{number}"))
        rest = process.stderr.read().decode()
    assert process.returncode == {"INT": 130, "TERM": 143}[number]
    assert "Traceback" not in rest
    assert "Warning" not in said.decode() + rest
    assert os.listdir(results) == []
    assert os.listdir(tmp_path / "cache")
    ours = str(results), str(inputs / "long.mp4")  # other test runs have such a clip, too
    assert not [other for other in running() if any(path in other for path in ours)]


def running():
    """The command lines of all processes (on Linux)."""
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield file.read_text()
        except OSError:
            continue


def test_compiled_programs_are_kept_where_the_user_says(nothing_kept, monkeypatch, tmp_path):
    kept = []
    monkeypatch.setattr(jax.config, "update", lambda name, value: kept.append((name, value)))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    use_compilation_cache()
    use_compilation_cache(tmp_path / "mine")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/someone")
    use_compilation_cache()
    folders = [str(tmp_path / "tpsm_jax/xla"), str(tmp_path / "mine")]
    folders += ["/home/someone/.cache/tpsm_jax/xla"]
    assert [value for name, value in kept if name == "jax_compilation_cache_dir"] == folders
    assert ("jax_persistent_cache_min_compile_time_secs", 0) in kept


@pytest.mark.parametrize(
    ("output", "options"),
    [
        ("driving.mp4", {}),
        ("source.gif", {"source": "source.gif"}),
        ("frames/", {"driving": "frames"}),
        ("frames/new.gif", {"driving": "frames"}),
    ],
)
def test_an_output_never_replaces_an_input(run, inputs, output, options):
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(inputs / "source.gif")
    before = {path: path.stat().st_mtime_ns for path in inputs.rglob("*")}
    code, _, error = run(f"{inputs}/{output}", **options)
    assert code == 2
    assert re.fullmatch(r"error: .* would (replace|be a frame of) .*\n", error)
    assert {path: path.stat().st_mtime_ns for path in inputs.rglob("*")} == before


@pytest.mark.parametrize(
    "options", [{"batch_size": 0}, {"mode": "foo"}, {"size": "1x2x3"}, {"fps": "abc"}]
)
def test_wrong_flags_are_one_line(run, tmp_path, options):
    code, out, error = run(tmp_path / "out.mp4", **options)
    assert (code, out) == (2, "")
    assert re.fullmatch(r"error: .*\n", error)


@pytest.mark.slow
def test_a_clip_cut_short_is_reported(run, inputs, tmp_path):
    make_clip(inputs / "whole.mp4", seconds=8, size="64x64", extra=["-movflags", "+faststart"])
    content = (inputs / "whole.mp4").read_bytes()
    (inputs / "cut.mp4").write_bytes(content[: len(content) * 6 // 10])
    code, _, error = run(f"{tmp_path}/out/", driving="cut.mp4", mode="standard")
    assert code == 0
    assert "warning: " in error
    assert "announces 240 frames" in error


@pytest.mark.parametrize("name", ["out.mp4", "out/"])
def test_a_second_run_of_one_output_is_refused(run, tmp_path, monkeypatch, name):
    monkeypatch.setattr(animate, "load_checkpoint", None)
    with only_writer(f"{tmp_path}/{name}"):
        code, out, error = run(f"{tmp_path}/{name}")
    assert (code, out) == (2, "")
    assert re.fullmatch(rf"error: another run is writing {tmp_path}/{name} \(.*\n", error)
    assert os.listdir(tmp_path) == []


def test_a_name_that_is_too_long_is_one_line(run, tmp_path):
    code, _, error = run(tmp_path / "out.mp4", driving="a" * 300 + ".mp4")
    assert code == 2
    assert re.fullmatch(r"error: .*\n", error)
