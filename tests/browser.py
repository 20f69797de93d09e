"""Find a browser on this machine, for tests that look at pages: Chromium, driven by playwright without a download.

from tests.browser import browser_page, why_no_browser

@pytest.mark.skipif(why_no_browser() is not None, reason=str(why_no_browser()))
def test_the_page_has_no_script_error():
    with browser_page(width=390, scheme="dark") as (page, errors):
        page.goto(address)
        assert errors == []
"""

import importlib.util
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

VARIABLE = "MAN_JAX_BROWSER"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
WIDTHS, SCHEMES = (390, 1440), ("light", "dark")
"""What each page is to be readable in."""


def find_browser() -> str | None:
    """Find the program: that of the variable, or the first of `NAMES` that is installed; None if there is none."""
    if named := os.environ.get(VARIABLE):
        return shutil.which(named)
    return next(filter(None, map(shutil.which, NAMES)), None)


def why_no_browser() -> str | None:
    """Say what is missing; None if pages can be looked at."""
    if find_browser() is None:
        named = os.environ.get(VARIABLE)
        found = (
            f"{VARIABLE} is {named!r}, which is no program"
            if named
            else f"none of {', '.join(NAMES)} is installed"
        )
        return f"no browser: {found}; install chromium, or name one in {VARIABLE}"
    if importlib.util.find_spec("playwright") is None:
        return "no playwright, which drives the browser; pip install -e '.[dev]'"
    return None


@contextmanager
def open_browser() -> Iterator[Any]:
    """Start the browser; there can be one at a time in a process."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser())
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def new_page(browser: Any, *, width: int, scheme: str, height: int = 900) -> Iterator[tuple[Any, list[str]]]:
    """Open a page of playwright; the list beside it grows by each script error and each failed load."""
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(f"script: {error}"))
    page.on("console", lambda told: errors.append(f"console: {told.text}") if told.type == "error" else None)
    page.on("requestfailed", lambda request: errors.append(f"not loaded: {request.url}"))
    page.set_default_timeout(60_000)
    try:
        yield page, errors
    finally:
        page.close()


def wait_until(page: Any, condition: str) -> None:
    """Wait until a JavaScript expression is true.

    A page whose policy forbids `eval`, which playwright's own waiting uses, can be waited for too.
    """
    for _ in range(600):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise TimeoutError(f"after 30 s it is still not true that {condition}")


def broken_images(page: Any) -> list[str]:
    """List the images of a page that show nothing; those far below the window are loaded first."""
    return page.evaluate(
        """async () => {
            const images = [...document.images];
            for (const each of images) each.loading = "eager";
            await Promise.all(images.map(each => each.decode().catch(() => {})));
            return images.filter(each => !each.naturalWidth).map(each => each.src);
        }"""
    )


def overflow(page: Any) -> int:
    """Count the pixels by which the page is wider than the window."""
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
