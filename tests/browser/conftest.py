"""A running service and a headless Chromium. Screenshots of every screen are kept in var/screenshots."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from tests import machine
from tests.running import Running, running

ARGUMENTS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"]
Shot = Callable[[Page, str], None]


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("browser")) as service:
        yield service


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = machine.browser()
    assert path, "there is no Chromium: `make test` brings it, or python -m tests.machine"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Browser, service: Running) -> Iterator[BrowserContext]:
    context = browser.new_context(base_url=service.url, viewport={"width": 1200, "height": 800}, reduced_motion="reduce")
    context.set_default_timeout(15_000)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A page on which no script may fail, and nothing may be asked of anybody else."""
    page = context.new_page()
    wrong: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        if message.type == "error" and "status of 4" not in message.text:
            wrong.append(message.text)

    page.on("console", hear)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: wrong.append(request.url) if _foreign(request.url, context) else None)
    yield page
    assert wrong == []


def _foreign(url: str, context: BrowserContext) -> bool:
    return not url.startswith(("blob:", "data:", "http://127.0.0.1:"))


@pytest.fixture(scope="session")
def shot(root: Path) -> Shot:
    folder = root / "var" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    return lambda page, name: page.screenshot(path=folder / f"{name}.png", full_page=True) and None
