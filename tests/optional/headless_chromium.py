"""A browser for tests of pages: what they ask of a network or complain of fails the test."""

import contextlib
import json
import shutil
import time

from selenium import webdriver
from selenium.webdriver.chrome.service import Service


@contextlib.contextmanager
def open_browser(folder):
    """Chromium, with its profile and downloads in a folder."""
    programs = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    missing = [name for name, path in programs.items() if path is None]
    assert not missing, f"install {' and '.join(missing)} (Debian: chromium chromium-driver)"
    options = webdriver.ChromeOptions()
    options.binary_location = programs["chromium"]
    for flag in (
        "headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run",
        "disable-background-networking", "disable-component-update", "disable-sync",
        f"user-data-dir={folder / 'profile'}", "window-size=1000,900",
    ):  # fmt: skip
        options.add_argument(f"--{flag}")
    downloads = folder / "downloads"
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, Service(programs["chromedriver"]))
    driver.downloads = downloads
    yield driver
    errors = [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]
    asked_for = requests(driver)
    driver.quit()
    assert not errors
    assert asked_for
    # Its own first page is made of chrome: addresses.
    within = ("file:", "data:", "blob:", "chrome:")
    assert not [url for url in asked_for if not url.startswith(within)]


def requests(driver):
    """Every address that the browser has asked for since the last call."""
    events = (json.loads(entry["message"])["message"] for entry in driver.get_log("performance"))
    return [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]


def wait_for(check, seconds=20):
    end = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
    return found
