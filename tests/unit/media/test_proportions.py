"""Pictures that lose their proportions are named, once."""

import threading

import pytest

from tpsm_jax.media.proportions import SqueezeWarning, is_squeezed, squeeze_line


@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [
        ((360, 640, 3), (256, 256), True),
        ((640, 360, 3), (256, 256), True),
        ((480, 640), (256, 256), True),
        ((360, 640), (256, 455), False),
        ((512, 512), (256, 256), False),
        ((257, 250), (256, 256), False),  # a box around a face
        ((1, 1000), (256, 256), True),
    ],
)
def test_which_pictures_are_squeezed(shape: tuple, size: tuple, expected: bool) -> None:
    assert is_squeezed(shape, size) == expected


def test_one_line_names_all_of_them() -> None:
    shapes = {"the source": (360, 640, 3), "the driving frames": (720, 1280, 3)}
    assert squeeze_line(shapes, (256, 384)) == (
        "squeezed to 384 x 256: the source (640 x 360) and the driving frames (1280 x 720); crop "
        "to the same proportions first to keep shapes"
    )
    assert "source" not in squeeze_line({**shapes, "the source": (256, 384)}, (256, 384))
    assert squeeze_line({"the source": (64, 64)}, (256, 256)) == ""


def test_proportions_are_those_that_are_shown() -> None:
    shapes, names = {"the clip": (576, 720, 3)}, {"the clip": 16 / 15}
    assert not is_squeezed((576, 720, 3), (768, 1024), 16 / 15)
    assert is_squeezed((256, 256), (256, 256), 16 / 9)
    assert squeeze_line(shapes, (240, 320), names) == ""
    assert squeeze_line(shapes, (256, 256), names) == (
        "squeezed to 256 x 256: the clip (720 x 576, shown as 768 x 576); crop to the same "
        "proportions first to keep shapes"
    )


def test_it_is_said_once_whatever_the_threads(capsys: pytest.CaptureFixture[str]) -> None:
    warn = SqueezeWarning()
    warn({"frames": (64, 64)}, (32, 32))
    assert capsys.readouterr().err == ""
    threads = [
        threading.Thread(target=warn, args=({"frames": (90, 160)}, (32, 32))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("warning: squeezed to 32 x 32: frames (160 x 90); crop")
