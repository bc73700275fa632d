"""A real browser for tests of pages: Chromium of the system, which loads files and nothing else."""

import shutil
from contextlib import contextmanager, nullcontext

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@contextmanager
def chromium():
    """The browser; a test without one is skipped with the reason."""
    sync_api = pytest.importorskip("playwright.sync_api", reason='playwright is missing: pip install ".[dev]"')
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is installed; on Debian: apt install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def opened(path, fragment="", browser=None, **context):
    """The page of a file, ready; leaving fails for any message on its console, any error and any request it made."""
    with nullcontext(browser) if browser else chromium() as used:
        place = used.new_context(**context)
        page = place.new_page()
        said = []
        page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: said.append(f"error: {error}"))
        page.on("request", lambda request: said.append(request.url) if not own(request.url) else None)
        page.goto(path.as_uri() + fragment)
        page.wait_for_load_state()
        yield page
        place.close()
        assert not said, said


def own(url):
    return url.startswith(("file:", "data:", "blob:"))
