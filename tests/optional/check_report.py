"""The page of an evaluation in headless Chromium; run by `make test-browser`.

It leaves pictures of the pages in runs/test-browser/, to be looked at.
"""

import importlib
import json
import shutil
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from selenium.webdriver.common.by import By

from tests.helpers.eval_files import eval_words, write_clips, write_inputs
from tests.helpers.paths import ROOT
from tests.optional.headless_chromium import open_browser, wait_for
from tpsm_jax.checkpoints.converted import load_checkpoint, save_checkpoint
from tpsm_jax.cli import run_script

COUNTS = {
    "id1#a\"b<c>&'d": 9,
    "id2#\u00fc\u4e2d\u6587\u0939\u093f\u0928\u094d\u0926\u0940\U0001f600": 12,
    "x" * 200: 5,
    "one frame": 1,
    "id3#plain": 7,
}
DETECTOR = (
    f"{sys.executable} -m detectors.table --input {{input}} --output {{output}} "
    "--frame_shape {height},{width} --detector tests.helpers.brightest:Brightest"
)
PAGES = {
    "many": (
        "strange",
        ("converted", "diverged", "run@1"),
        ("--dataset", "taichi", "--detector", DETECTOR),
    ),
    "single": ("clips", ("converted",), ("--clips", "1")),
    "pairs": ("clips", ("converted",), ("--random_pairs", "2")),
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Evaluations with all that strains a page: name -> report.html."""
    folder = tmp_path_factory.mktemp("evaluations")
    write_inputs(folder)
    config, _, variables = load_checkpoint(folder / "converted")
    nothing = jax.tree.map(lambda x: np.full_like(x, np.nan), variables)
    save_checkpoint(folder / "diverged", nothing, config)
    write_clips(folder / "strange", COUNTS)
    (folder / "strange" / "test" / "broken").mkdir()
    main = importlib.import_module("eval").main
    for name, (data, checkpoints, more) in PAGES.items():
        output = folder / "out" / name
        words = eval_words(folder, output, *more, checkpoint=checkpoints, data=data)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", words)
            with pytest.raises(SystemExit, match="0"):
                run_script(main)
    return {name: folder / "out" / name / "report.html" for name in PAGES}


@pytest.fixture(params=PAGES)
def shown(request, tmp_path, pages):
    """A page alone in a folder, opened from disk; and what it was made from."""
    report = pages[request.param]
    (tmp_path / "alone").mkdir()
    alone = Path(shutil.copy(report, tmp_path / "alone"))
    with open_browser(tmp_path) as browser:
        browser.get(alone.as_uri())
        browser.name_of_page = request.param
        browser.metrics = json.loads(report.with_name("metrics.json").read_text())
        yield browser


def test_videos_play_and_pictures_are_there(shown):
    videos = shown.find_elements(By.TAG_NAME, "video")
    clips = sum(min(len(model["clips"]), 3) for model in shown.metrics["models"])
    assert len(videos) == clips
    for video in videos:
        shown.execute_script("arguments[0].scrollIntoView()", video)
        wait_for(lambda video=video: shown.execute_script(
            "const [v] = arguments; return v.readyState >= 2 && v.videoWidth > 0 && !v.error", video
        ))  # fmt: skip
        if shown.execute_script("return arguments[0].duration > 0.2", video):
            wait_for(lambda video=video: shown.execute_script(
                "return arguments[0].currentTime > 0", video
            ))  # fmt: skip
    for picture in shown.find_elements(By.TAG_NAME, "img"):
        assert shown.execute_script("return arguments[0].naturalWidth", picture) > 100


def test_plots_show_every_clip(shown):
    plots = shown.find_elements(By.CSS_SELECTOR, ".plots > div > svg")
    assert plots
    for plot in plots:
        bars = plot.find_elements(By.TAG_NAME, "rect")
        assert bars
        assert all(bar.rect["height"] > 0 and bar.rect["width"] > 0 for bar in bars)
        frame = plot.rect
        assert all(frame["y"] <= bar.rect["y"] for bar in bars)


@pytest.mark.parametrize("width", [1000, 420])
def test_nothing_sticks_out(shown, width):
    shown.set_window_size(width, 900)
    window = shown.execute_script("return document.documentElement.clientWidth")
    assert shown.execute_script("return document.documentElement.scrollWidth") <= window
    # What is too wide scrolls in its own box.
    wide = shown.execute_script(
        """
        const inside = (e) => e.closest(".table") && !e.matches(".table");
        return [...document.querySelectorAll("body *")]
          .filter((e) => !inside(e) && !e.closest("svg"))
          .filter((e) => e.getBoundingClientRect().right > arguments[0] + 1)
          .map((e) => e.outerHTML.slice(0, 80));
        """,
        window,
    )
    assert wide == []


def test_names_stand_as_they_are(shown):
    text = shown.find_element(By.TAG_NAME, "body").text
    titles = [title.text for title in shown.find_elements(By.CSS_SELECTOR, "figure h3")]
    for model in shown.metrics["models"]:
        assert model["name"] in text
    shown_names = {title.split(": ", 1)[1] for title in titles}
    assert shown_names <= {clip["name"] for clip in shown.metrics["models"][0]["clips"]}
    assert "broken" in text or shown.name_of_page != "many"
    if shown.name_of_page == "many":
        assert "nan" in text
        assert "by brightest pixels 1.0, which found nothing in" in text
        assert "published: Tao et al., ECCV 2022" in text
    assert not shown.find_elements(By.TAG_NAME, "c")


@pytest.mark.parametrize("width", [1000, 420])
def test_pictures_to_look_at(shown, width):
    folder = ROOT / "runs" / "test-browser"
    folder.mkdir(parents=True, exist_ok=True)
    height = shown.execute_script("return document.documentElement.scrollHeight")
    shown.set_window_size(width, height + 200)
    place = folder / f"{shown.name_of_page}_{width}.png"
    assert shown.save_screenshot(str(place))
    assert place.stat().st_size > 20_000
