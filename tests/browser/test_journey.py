"""What people do, in a real browser: with scripts, without them, by keyboard, on a phone."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.conftest import Shot
from tests.running import Running

pytestmark = pytest.mark.browser
PASSWORD = "a cup of coffee"
COLOURED = """(id) => {
  const canvas = document.getElementById(id);
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  let coloured = 0;
  for (let i = 0; i < pixels.length; i += 4) {
    const [red, green, blue] = pixels.slice(i, i + 3);
    coloured += Math.max(red, green, blue) - Math.min(red, green, blue) > 40;
  }
  return coloured / (pixels.length / 4);
}"""
DROPPED = """(bytes) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([new Uint8Array(bytes)], "x.jpg", { type: "image/jpeg" }));
  return transfer;
}"""
WCAG = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}}


@pytest.fixture
def pictures_on_disk(root: Path) -> dict[str, Path]:
    return {path.stem: path for path in (root / "loadtests" / "images").glob("*.jpg")}


def sign_up(page: Page, name: str = "") -> str:
    name = name or f"user-{os.urandom(4).hex()}"
    page.goto("/sign-up")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Create account").click()
    expect(page.get_by_role("link", name=name)).to_be_visible()
    return name


def upload(page: Page, *pictures: Path) -> None:
    page.goto("/")
    page.set_input_files("#image", pictures)
    expect(page.locator(".answer:not(.waiting)")).to_have_count(len(pictures))


def save(page: Page, label: str, *, truth: str = "", note: str = "") -> None:
    card = page.locator("article.answer", has=page.get_by_role("heading", name=label, exact=True)).first
    card.get_by_label("What it really shows").fill(truth)
    card.get_by_label("Note").fill(note)
    card.get_by_role("button", name="Save").click()
    expect(page.locator(".saved").first).to_be_visible()


@pytest.fixture
def ada(page: Page, pictures_on_disk: dict[str, Path]) -> Page:
    """Somebody with three saved runs."""
    sign_up(page)
    upload(page, *pictures_on_disk.values())
    save(page, "espresso", truth="Espresso", note="on my desk")
    save(page, "tiger cat", truth="tabby")
    save(page, "missile")
    return page


def test_a_stranger_does_the_four_things_without_reading(page: Page, pictures_on_disk: dict[str, Path], shot: Shot):
    page.goto("/")
    shot(page, "01-first-page")
    page.set_input_files("#image", [pictures_on_disk["coffee"]])
    expect(page.get_by_role("heading", name="espresso")).to_be_visible()
    shot(page, "02-predictions-of-a-guest")
    page.get_by_role("link", name="or create an account").click()
    shot(page, "03-sign-up")
    page.get_by_label("Name").fill(f"stranger-{os.urandom(4).hex()}")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Create account").click()
    expect(page.get_by_role("heading", name="espresso")).to_be_visible()
    save(page, "espresso", truth="espresso", note="the first of many")
    shot(page, "04-saved")
    page.get_by_role("link", name="Previous runs").click()
    expect(page.locator(".runs li")).to_have_count(1)
    page.locator(".runs a").click()
    expect(page.get_by_text("the model was right")).to_be_visible()
    shot(page, "05-run")


def test_previous_runs_are_searched_compared_exported_and_deleted(ada: Page, shot: Shot):
    ada.get_by_role("link", name="Previous runs").click()
    expect(ada.locator(".runs li")).to_have_count(3)
    shot(ada, "06-previous-runs")
    ada.get_by_label("Label").fill("tabby")
    ada.get_by_role("button", name="Search").click()
    expect(ada.locator(".runs .label")).to_have_text(["tiger cat"])
    ada.get_by_role("link", name="Clear").click()
    for box in ada.get_by_label("compare").all()[:2]:
        box.check()
    ada.get_by_role("button", name="Compare").click()
    expect(ada.get_by_role("heading", name="Two runs compared")).to_be_visible()
    shot(ada, "07-compare")
    ada.goto("/runs")
    with ada.expect_download() as download:
        ada.get_by_role("link", name="CSV").click()
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text())))
    assert sorted(row["label"] for row in rows) == ["espresso", "missile", "tiger cat"]
    with ada.expect_download() as download:
        ada.get_by_role("link", name="JSON").click()
    assert len(json.loads(download.value.path().read_text())["runs"]) == 3
    ada.locator(".runs a").first.click()
    ada.get_by_text("Delete this run").click()
    ada.get_by_role("button", name="Delete for good").click()
    expect(ada.locator(".runs li")).to_have_count(2)


def test_the_dashboard_draws_its_charts_and_says_the_same_in_tables(ada: Page, shot: Shot):
    ada.get_by_role("link", name="Dashboard").click()
    expect(ada.locator(".charts[data-drawn=yes]")).to_be_visible()
    shot(ada, "08-dashboard")
    for name in ("days", "labels-chart", "confidence", "latency", "accuracy"):
        coloured = ada.evaluate(COLOURED, name)
        assert coloured > 0.01, f"{name} is blank but for {coloured:.2%}"
    expect(ada.locator(".figures b").first).to_have_text("3")
    expect(ada.get_by_text("50.0 %").first).to_be_visible()


def test_the_account_page_makes_and_revokes_tokens_and_deletes_everything(ada: Page, service: Running, shot: Shot):
    ada.goto("/account")
    ada.get_by_label("Name").fill("laptop")
    ada.get_by_role("button", name="Make a token").click()
    secret = ada.get_by_label("The token").input_value()
    shot(ada, "09-account")
    assert len(service.call("GET", "/v1/runs", token=secret)["runs"]) == 3
    ada.get_by_role("button", name="Revoke").click()
    expect(ada.get_by_text("laptop")).to_have_count(0)
    ada.get_by_text("Delete my account").click()
    ada.get_by_label("Password").fill(PASSWORD)
    ada.get_by_role("button", name="Delete everything").click()
    expect(ada.get_by_role("link", name="Sign in")).to_be_visible()


def test_several_pictures_at_once_fail_each_by_itself(page: Page, pictures_on_disk: dict[str, Path], root: Path, shot: Shot):
    page.goto("/")
    page.set_input_files("#image", [root / "README.md", *pictures_on_disk.values()])
    expect(page.locator(".answer:not(.waiting)")).to_have_count(4)
    expect(page.locator(".refused")).to_contain_text("README.md")
    shot(page, "10-one-of-four-refused")


def test_pictures_are_dropped_on_the_page(page: Page, pictures_on_disk: dict[str, Path]):
    page.goto("/")
    data = list(pictures_on_disk["coffee"].read_bytes())
    transfer = page.evaluate_handle(DROPPED, data)
    page.dispatch_event("body", "drop", {"dataTransfer": transfer})
    expect(page.get_by_role("heading", name="espresso")).to_be_visible()


def test_everything_works_without_scripts(browser: Browser, service: Running, pictures_on_disk: dict[str, Path]):
    context = browser.new_context(base_url=service.url, java_script_enabled=False)
    page = context.new_page()
    sign_up(page)
    page.goto("/")
    page.set_input_files("#image", [pictures_on_disk["coffee"], pictures_on_disk["cat"]])
    page.get_by_role("button", name="Recognise").click()
    expect(page.locator("article.answer h2")).to_have_text(["espresso", "tiger cat"])
    page.get_by_role("button", name="Save").first.click()
    expect(page.get_by_role("heading", name="espresso")).to_be_visible()
    page.get_by_role("link", name="Dashboard").click()
    expect(page.get_by_role("heading", name="Releases and models")).to_be_visible()
    context.close()


def test_the_way_is_walked_by_keyboard_alone(page: Page, pictures_on_disk: dict[str, Path]):
    sign_up(page)
    upload(page, pictures_on_disk["coffee"])
    page.locator("#image").focus()
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.name") == "note":
            break
    page.keyboard.type("by keyboard")
    page.keyboard.press("Enter")
    expect(page.locator(".saved")).to_be_visible()


@pytest.fixture(params=["light", "dark"])
def phone(request: pytest.FixtureRequest, browser: Browser, service: Running) -> Iterator[BrowserContext]:
    size = {"width": 390, "height": 800}
    context = browser.new_context(base_url=service.url, viewport=size, color_scheme=request.param, bypass_csp=True)
    yield context
    context.close()


def test_every_page_is_accessible_and_fits_a_phone(
    phone: BrowserContext, request: pytest.FixtureRequest, pictures_on_disk: dict[str, Path], shot: Shot
):
    page = phone.new_page()
    scheme = request.node.callspec.params["phone"]
    for path in ("/", "/sign-in", "/sign-up", "/set-up", "/api", "/nothing-here"):
        _look(page, path)
    sign_up(page)
    upload(page, pictures_on_disk["coffee"])
    _judge(page, "/ with answers")
    save(page, "espresso", truth="cup")
    page.locator(".saved a").first.click()
    run = re.search(r"/runs/(\w+)", page.url)[1]
    for path in (f"/runs/{run}", "/runs", f"/compare?run={run}&run={run}", "/dashboard", "/account"):
        _look(page, path)
        shot(page, f"phone-{scheme}-{path.strip('/').split('/')[0].split('?')[0]}")


def _look(page: Page, path: str) -> None:
    page.goto(path)
    page.wait_for_load_state("networkidle")
    _judge(page, path)


def _judge(page: Page, where: str) -> None:
    found = Axe().run(page, options=WCAG).response["violations"]
    assert [(where, one["id"], [node["html"][:120] for node in one["nodes"][:3]]) for one in found] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390, f"{where} is wider than the phone"


def test_admins_manage_users_on_their_page(browser: Browser, tmp_path: Path, shot: Shot):
    from tests.running import running

    with running(tmp_path, sign_up="false") as service:
        token = re.search(r"/set-up\?token=(\S+)", service.output.read_text())[1]
        context = browser.new_context(base_url=service.url)
        page = context.new_page()
        page.goto(f"/set-up?token={token}")
        page.get_by_label("Name").fill("root")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Make me admin").click()
        page.get_by_label("Name").fill("carl")
        page.get_by_label("First password").fill("battery staple")
        page.get_by_role("button", name="Make an account").click()
        page.get_by_label("Role of carl").select_option("operator")
        page.get_by_role("row", name=re.compile("carl")).get_by_role("button", name="Set").first.click()
        expect(page.get_by_label("Role of carl")).to_have_value("operator")
        shot(page, "11-users")
        page.goto("/dashboard?scope=everybody")
        expect(page.get_by_role("heading", name="Dashboard")).to_be_visible()
        context.close()
