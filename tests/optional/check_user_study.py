"""The user study's page in headless Chromium, from the first click to the counted file.

Run by `make test-browser`: it needs chromium and chromedriver, which pip cannot install.
"""

import json

import imageio.v3 as imageio
import numpy as np
import pytest
from selenium.webdriver.common.by import By

from tests.optional.headless_chromium import open_browser, wait_for
from tpsm_jax.evaluation.user_study.counting import count_answers
from tpsm_jax.evaluation.user_study.page import make_page

PAIRS = 5
SIZE = 64
COLORS = {"method_red": (200, 40, 40), "method_blue": (40, 40, 200)}  # the first is A


def write_clip(path, color):
    """A bright square that crosses a picture of one color."""
    frames = np.full((12, SIZE, SIZE, 3), color, np.uint8)
    for i, frame in enumerate(frames):
        frame[20:40, 4 * i : 4 * i + 12] = 240
    options = {"fps": 12} if path.suffix == ".mp4" else {"duration": 80, "loop": 0}
    imageio.imwrite(path, frames, **options)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    root = tmp_path_factory.mktemp("study")
    for method, color in COLORS.items():
        (root / method).mkdir()
        for i in range(PAIRS):
            write_clip(root / method / f"clip{i}{'.gif' if i == 0 else '.mp4'}", color)
    return make_page(*(root / method for method in COLORS), root / "study")[0]


@pytest.fixture
def browser(tmp_path):
    with open_browser(tmp_path) as driver:
        yield driver


def click(browser, name):
    browser.find_element(By.ID, name).click()


def visible(browser, name):
    return browser.find_element(By.ID, name).is_displayed()


def choose(browser, question, side):
    box = f"input[name={question}][value={side}]"
    browser.find_element(By.CSS_SELECTOR, box).click()


def shown_methods(browser):
    """Which method each side shows, by the color that is really painted."""
    clips = browser.find_elements(By.CSS_SELECTOR, "#clips video, #clips img")
    assert len(clips) == 2

    def color(clip):
        return browser.execute_script(
            """
            const [clip] = arguments, canvas = document.createElement("canvas");
            if (clip.tagName === "VIDEO" ? clip.readyState < 2 : !clip.complete) return null;
            canvas.width = canvas.height = 64;
            const context = canvas.getContext("2d");
            context.drawImage(clip, 0, 0, 64, 64);
            return [...context.getImageData(2, 2, 1, 1).data];
            """,
            clip,
        )

    pixels = [wait_for(lambda clip=clip: color(clip)) for clip in clips]
    return ["a" if red > blue else "b" for red, _, blue, _ in pixels]


def download(browser):
    def finished():
        return list(browser.downloads.glob("answers-*.json")) if browser.downloads.exists() else []

    click(browser, "save")
    return wait_for(finished)[0]


def answer_all(browser):
    """Prefers A's motion always, and what is on the left as the more real; sides as seen."""
    lefts = []
    for i in range(PAIRS):
        assert browser.find_element(By.ID, "number").text == f"Pair {i + 1} of {PAIRS}"
        methods = shown_methods(browser)
        assert sorted(methods) == ["a", "b"]
        lefts.append(methods[0])
        assert not browser.find_element(By.ID, "next").is_enabled()
        choose(browser, "continuity", "left" if methods[0] == "a" else "right")
        assert not browser.find_element(By.ID, "next").is_enabled()
        choose(browser, "authenticity", "left")
        click(browser, "next")
    return lefts


def test_from_the_first_click_to_the_counted_file(browser, page):
    browser.get(page.as_uri())
    assert visible(browser, "intro")
    assert not visible(browser, "storage")
    click(browser, "start")
    lefts = answer_all(browser)
    assert visible(browser, "end")

    path = download(browser)
    file = json.loads(path.read_text())
    assert [answer["left"] for answer in file["answers"]] == lefts
    assert sorted(answer["pair"] for answer in file["answers"]) == [f"clip{i}" for i in range(5)]
    count = count_answers([path])
    assert count.preferences["continuity"].share == 1
    assert count.preferences["authenticity"].share == lefts.count("a") / PAIRS
    assert count.left.share == (PAIRS + lefts.count("a")) / (2 * PAIRS)
    assert (count.a, count.b) == tuple(COLORS)
    assert lefts.count("a") in (2, 3)  # sides are shared out evenly


def test_answers_survive_a_reload_and_can_be_changed(browser, page):
    browser.get(page.as_uri())
    click(browser, "start")
    first = shown_methods(browser)
    choose(browser, "continuity", "left")
    choose(browser, "authenticity", "right")
    click(browser, "next")
    browser.refresh()
    assert browser.find_element(By.ID, "number").text == f"Pair 2 of {PAIRS}"
    click(browser, "back")
    assert shown_methods(browser) == first
    checked = browser.find_elements(By.CSS_SELECTOR, "input:checked")
    assert [(box.get_attribute("name"), box.get_attribute("value")) for box in checked] == [
        ("continuity", "left"),
        ("authenticity", "right"),
    ]
    choose(browser, "continuity", "right")
    kept = json.loads(browser.execute_script("return Object.values(localStorage)[0]"))
    assert kept["shown"][0]["chosen"] == {"continuity": first[1], "authenticity": first[1]}


def test_participants_see_other_orders_and_count_apart(browser, page):
    browser.get(page.as_uri())
    orders = set()
    for _ in range(8):
        browser.execute_script("localStorage.clear()")
        browser.refresh()
        kept = json.loads(browser.execute_script("return Object.values(localStorage)[0]"))
        orders.add(tuple((one["pair"], one["left"]) for one in kept["shown"]))
    assert len(orders) > 4  # of 5! orders times 20 ways to share out the sides


def test_another_person_starts_afresh_once_the_answers_are_saved(browser, page):
    browser.get(page.as_uri())
    click(browser, "start")
    answer_all(browser)
    assert not browser.find_element(By.ID, "again").is_enabled()
    first = json.loads(download(browser).read_text())
    click(browser, "again")
    assert visible(browser, "intro")
    kept = json.loads(browser.execute_script("return Object.values(localStorage)[0]"))
    assert kept["participant"] != first["participant"]
    assert all(not one["chosen"] for one in kept["shown"])


def test_nothing_to_see_names_a_method_or_a_clip(browser, page):
    browser.get(page.as_uri())
    click(browser, "start")
    for _ in range(PAIRS):
        seen = browser.find_element(By.TAG_NAME, "html").text + browser.title
        assert "Authenticity" in seen
        assert "method" not in seen
        assert "clip0" not in seen
        choose(browser, "continuity", "left")
        choose(browser, "authenticity", "left")
        click(browser, "next")


def test_videos_play_and_both_start_together(browser, page):
    browser.get(page.as_uri())
    click(browser, "start")
    for _ in range(PAIRS - 1):
        if browser.find_elements(By.TAG_NAME, "video"):
            break
        choose(browser, "continuity", "left")
        choose(browser, "authenticity", "left")
        click(browser, "next")
    times = "return [...document.querySelectorAll('video')].map((video) => video.currentTime)"
    wait_for(lambda: min(browser.execute_script(times)) > 0)
    left, right = browser.execute_script(times)
    assert abs(left - right) < 0.2 or abs(abs(left - right) - 1) < 0.2  # one may have looped


def test_videos_fit_side_by_side(browser, page):
    browser.get(page.as_uri())
    click(browser, "start")
    shown_methods(browser)
    left, right = browser.find_elements(By.CSS_SELECTOR, "#clips figure")
    assert left.rect["y"] == right.rect["y"]
    assert left.rect["x"] + left.rect["width"] <= right.rect["x"]
    assert left.rect["width"] == right.rect["width"]
