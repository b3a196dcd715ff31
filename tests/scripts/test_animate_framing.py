"""animate.py as a command: cropping the source and the clip, pasting back, side by side."""

import numpy as np
import pytest
from PIL import Image

from tests.scripts import test_animate
from tpsm_jax.animation.animator import Animator
from tpsm_jax.animation.framing import composition
from tpsm_jax.checkpoints.converted import load_checkpoint
from tpsm_jax.framing.boxes import Box, crop
from tpsm_jax.framing.paste import Paster, feathered
from tpsm_jax.media.images import read_image
from tpsm_jax.media.video_reader import open_video

inputs, run = test_animate.inputs, test_animate.run
BOX = Box(10, 20, 80, 80)


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """A folder with a wide source and a wide driving clip."""
    folder = tmp_path_factory.mktemp("wide")
    noise = np.random.default_rng(0).integers(0, 256, (4, 110, 170, 3), np.uint8)
    Image.fromarray(noise[0]).save(folder / "source.png")
    (folder / "clip").mkdir()
    for number, frame in enumerate(noise[1:]):
        Image.fromarray(frame).save(folder / "clip" / f"{number}.png")
    return folder


def written(run, output, **options):
    code, _, err = run(f"{output}/", batch_size=2, mode="standard", **options)
    assert code == 0, err
    return list(open_video(output)), err


def expected(inputs, source, frames):
    animator = Animator(
        load_checkpoint(inputs / "checkpoint"), source, mode="standard", batch_size=2
    )
    return list(animator.animate(frames))


@pytest.mark.slow
def test_both_are_cropped_as_asked(run, inputs, wide, tmp_path):
    given = {"source": wide / "source.png", "driving": wide / "clip"}
    frames, err = written(run, tmp_path / "out", crop="10,20,80", crop_driving="center", **given)
    source = crop(read_image(wide / "source.png"), BOX)
    clip = [frame[:, 30:140] for frame in open_video(wide / "clip")]
    np.testing.assert_array_equal(frames, expected(inputs, source, clip))
    assert "the driving clip: cropped to 110 x 110 at 30,0 of 170 x 110, around the middle" in err
    assert "squeezed" not in err


@pytest.mark.slow
def test_auto_says_where_and_keeps_proportions(run, wide, tmp_path):
    given = {"source": wide / "source.png", "driving": wide / "clip"}
    _, err = written(run, tmp_path / "out", crop="auto", crop_driving="auto", **given)
    lines = [line for line in err.splitlines() if "cropped to" in line]
    assert [line.partition(":")[0] for line in lines] == ["the source", "the driving clip"]
    for line in lines:
        wide_side, _, high_side = line.partition("cropped to ")[2].split()[:3]
        assert wide_side == high_side
    assert "squeezed" not in err


@pytest.mark.slow
def test_auto_takes_square_pictures_as_they_are(run, inputs, tmp_path):
    given = {"source": "frames/0.png", "driving": "frames"}
    frames, err = written(run, tmp_path / "auto", crop="auto", crop_driving="auto", **given)
    same, _ = written(run, tmp_path / "none", **given)
    np.testing.assert_array_equal(frames, same)
    assert "cropped" not in err


@pytest.mark.slow
def test_a_cut_out_is_cropped_to_what_is_not_transparent(run, inputs, tmp_path):
    cut_out = np.zeros((100, 200, 4), np.uint8)
    cut_out[30:70, 120:160] = 255
    Image.fromarray(cut_out).save(tmp_path / "cut_out.png")
    _, err = written(
        run, tmp_path / "out", source=tmp_path / "cut_out.png", driving="frames", crop="auto"
    )
    assert "the source: cropped to 44 x 44 at 118,28 of 200 x 100" in err


@pytest.mark.slow
def test_paste_back_keeps_what_is_outside(run, inputs, wide, tmp_path):
    given = {"source": wide / "source.png", "driving": "frames", "crop": "10,20,80"}
    results, _ = written(run, tmp_path / "crop", **given)
    pasted, _ = written(run, tmp_path / "pasted", paste_back=True, **given)
    picture = read_image(wide / "source.png")
    paste = Paster(picture, BOX)
    np.testing.assert_array_equal(pasted, [paste(result) for result in results])
    outside = np.ones(picture.shape[:2], bool)
    crop(outside, BOX)[feathered(BOX, picture.shape) > 0] = False
    for frame in pasted:
        np.testing.assert_array_equal(frame[outside], picture[outside])


@pytest.mark.slow
def test_side_by_side(run, inputs, tmp_path):
    given = {"source": "frames/0.png", "driving": "frames"}
    results, _ = written(run, tmp_path / "result", **given)
    together, _ = written(run, tmp_path / "together", side_by_side=True, **given)
    source = read_image(inputs / "frames" / "0.png")
    driving = list(open_video(inputs / "frames"))
    np.testing.assert_array_equal(
        together, [np.hstack([source, *pair]) for pair in zip(driving, results, strict=True)]
    )


@pytest.mark.slow
def test_side_by_side_of_frames_that_change_their_size_is_refused(run, inputs, tmp_path):
    (tmp_path / "clip").mkdir()
    for number, size in enumerate([(64, 64), (90, 64)]):
        Image.new("RGB", size).save(tmp_path / "clip" / f"{number}.png")
    given = {"driving": tmp_path / "clip", "side_by_side": True, "mode": "standard"}
    code, _, err = run(tmp_path / "out.mp4", **given)
    assert (code, [path.name for path in tmp_path.iterdir()]) == (2, ["clip"])
    assert err.splitlines()[-1].startswith("error: the driving frames change their size")


def test_driving_frames_are_shown_as_players_show_them():
    compose = composition(
        np.zeros((40, 40, 3), np.uint8), None, paste_back=False, panels=True, pixel_aspect=1.5
    )
    black, white = np.zeros((40, 40, 3), np.uint8), np.full((40, 40, 3), 255, np.uint8)
    made = compose(black, white)
    assert made.shape == (40, 40 + 60 + 40, 3)
    assert (made[:, 40:100] == 255).all()


def test_a_scale_of_nothing_is_refused(run, tmp_path):
    code, _, err = run(tmp_path / "out.mp4", crop_scale=1.2)
    assert (code, list(tmp_path.iterdir())) == (2, [])
    assert "--crop_scale is for what face and subject find" in err


@pytest.mark.slow
def test_side_by_side_is_as_high_as_what_is_pasted(run, wide, tmp_path):
    given = {"source": wide / "source.png", "driving": "frames", "crop": "10,20,80"}
    options = {"side_by_side": True, "paste_back": True}
    (frame, *_), _ = written(run, tmp_path / "out", **options, **given)
    assert frame.shape == (110, 170 + 110 + 170, 3)
    np.testing.assert_array_equal(frame[:, :170], read_image(wide / "source.png"))


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"crop": "sideways"}, "--crop: 'sideways' is none of auto, none, center, face, subject"),
        ({"crop_driving": "1,2"}, "--crop_driving: '1,2' is none of"),
        ({"crop_scale": "0"}, "--crop_scale: '0' is not a factor from 0.1 to 10"),
        ({"crop_scale": "wide"}, "--crop_scale: 'wide' is not a factor"),
        ({"face": "0"}, "--face: '0' is not a whole number of at least 1"),
        ({"face_driving": "x"}, "--face_driving: 'x' is not a whole number"),
    ],
)
def test_bad_values_are_reported(run, tmp_path, options, line):
    code, _, err = run(tmp_path / "out.mp4", **options)
    assert (code, list(tmp_path.iterdir())) == (2, [])
    assert err.startswith("error: argument " + line)
    assert err.count("\n") == 1


@pytest.mark.parametrize("ending", ["", "_driving"])
def test_a_face_where_none_is_looked_for_is_reported(run, tmp_path, ending):
    options = {f"crop{ending}": "center", f"face{ending}": 2}
    code, _, err = run(tmp_path / "out.mp4", **options)
    assert (code, list(tmp_path.iterdir())) == (2, [])
    assert err == f"error: --face{ending} is for --crop{ending} face, not for center\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "what"), [("crop", "the source"), ("crop_driving", "the driving clip")]
)
def test_a_crop_outside_is_reported(run, inputs, tmp_path, option, what):
    code, _, err = run(tmp_path / "out.mp4", driving="frames", **{option: "100,100,100"})
    assert code == 2
    assert f"the crop 100 x 100 at 100,100 does not lie within {what} of" in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_frames_that_change_their_size_are_reported(run, inputs, tmp_path):
    (tmp_path / "clip").mkdir()
    for number, side in enumerate((70, 70, 90)):
        Image.new("RGB", (2 * side, side)).save(tmp_path / "clip" / f"{number}.png")
    code, _, err = run(tmp_path / "out.mp4", driving=tmp_path / "clip", crop_driving="center")
    assert code == 2
    assert "change their size from 140 x 70 to 180 x 90: --crop_driving none takes them" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip"]


@pytest.mark.slow
def test_frames_of_a_larger_size(run, inputs, tmp_path):
    frames, _ = written(run, tmp_path / "out", driving="frames", render_size="128")
    source = read_image(inputs / "source.png")
    animator = Animator(
        load_checkpoint(inputs / "checkpoint"),
        source,
        mode="standard",
        batch_size=2,
        render_size=(128, 128),
    )
    np.testing.assert_array_equal(frames, list(animator.animate(open_video(inputs / "frames"))))
    assert frames[0].shape == (128, 128, 3)
