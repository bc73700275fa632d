"""A real browser for tests of pages: Chromium of the system, which loads files and nothing else."""

import shutil
from contextlib import contextmanager

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@contextmanager
def opened(path, fragment="", **context):
    """The page of a file, ready; leaving fails for any message on its console, any error and any request it made."""
    sync_api = pytest.importorskip("playwright.sync_api", reason='playwright is missing: pip install ".[dev]"')
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is installed; on Debian: apt install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        page = browser.new_context(**context).new_page()
        said = []
        page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: said.append(f"error: {error}"))
        page.on("request", lambda request: said.append(request.url) if not own(request.url) else None)
        page.goto(path.as_uri() + fragment)
        page.wait_for_load_state()
        yield page
        browser.close()
        assert not said, said


def own(url):
    return url.startswith(("file:", "data:", "blob:"))
