"""The page at GET / in a real browser, over a real node."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator

import pytest
from aiohttp.test_utils import TestClient, TestServer, unused_port
from playwright.async_api import Browser, Page, async_playwright, expect

from pipeline.node import Node
from server.app import create_app
from tests.server.conftest import Client

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
INSTALL = "Chromium is absent; install it with: apt-get install -y chromium"
ARGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
ARGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    if CHROMIUM is None:
        if os.environ.get("TAILRACE_TEST_REQUIRE") == "all":
            pytest.fail(INSTALL)
        pytest.skip(INSTALL)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        yield browser
        await browser.close()


@pytest.fixture
async def page(browser: Browser, client: Client) -> AsyncIterator[Page]:
    """A page over an index of two documents; it must not complain in the console."""
    await client.put("news", {"1": {"title": "old rivers", "n": 1}, "2": {"title": "lakes"}})
    page = await browser.new_page()
    complaints: list[str] = []
    page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    await page.goto(str(client.http.make_url("/")))
    await expect(page.locator("#connection")).to_have_attribute("data-state", "live")
    yield page
    assert complaints == []


async def test_hits_enter_change_and_leave_while_one_looks(page: Page, client: Client) -> None:
    await expect(page.locator(".hit")).to_have_count(2)
    await page.fill("#query", "rivers")
    await expect(page.locator(".hit")).to_have_count(1)
    await expect(page.locator("#total")).to_have_text("1")
    await client.put("news", {"3": {"title": "wild rivers"}, "4": {"title": "calm lakes"}})
    await expect(page.locator(".hit")).to_have_count(2)
    first = page.locator(".hit").first
    await expect(first.locator("h3")).to_contain_text("wild rivers")
    await expect(first).to_have_class("hit entered fresh")
    await expect(first.locator("mark")).to_have_text("rivers")
    await client.put("news", {"3": {"title": "wilder rivers"}})
    await expect(first.locator("h3")).to_contain_text("wilder rivers")
    await expect(page.locator("#total")).to_have_text("2")
    await client.ok("DELETE", "/news/_doc/3")
    await expect(page.locator(".hit")).to_have_count(1)
    await expect(page.locator("#total")).to_have_text("1")


async def test_what_documents_hold_is_text_and_never_markup(page: Page, client: Client) -> None:
    evil = '<img src=x onerror="document.title=1"> <b>bold</b>'
    await client.put("news", {"<i>id</i>": {"title": f"storm {evil}", "text": evil * 9}})
    await page.fill("#query", "storm")
    await expect(page.locator(".hit")).to_have_count(1)
    await expect(page.locator(".hit h3")).to_contain_text('<img src=x onerror="document.title=1">')
    assert await page.locator(".hit img, .hit b, .hit i").count() == 0
    assert await page.title() == "storm · Tailrace"


async def test_a_lost_server_is_shown_and_the_stream_resumes(browser: Browser, node: Node) -> None:
    port = unused_port()
    page = await browser.new_page()
    async with TestClient(TestServer(create_app(node), port=port)) as http:
        await Client(http).put("news", {"1": {"title": "rivers one"}})
        await page.goto(f"http://127.0.0.1:{port}/#q=rivers&index=news")
        await expect(page.locator(".hit")).to_have_count(1)
    await expect(page.locator("#connection")).to_have_attribute("data-state", "lost")
    async with TestClient(TestServer(create_app(node), port=port)) as http:
        await Client(http).put("news", {"2": {"title": "rivers two"}})
        await expect(page.locator(".hit")).to_have_count(2)
        await expect(page.locator("#connection")).to_have_attribute("data-state", "live")
        await page.close()


async def test_a_wrong_query_says_what_is_wrong_and_a_right_one_goes_on(page: Page) -> None:
    await page.fill("#query", "(rivers")
    await expect(page.locator("#query-problem")).to_contain_text("cannot parse query")
    await expect(page.locator("#query")).to_have_attribute("aria-invalid", "true")
    await page.fill("#query", "(rivers)")
    await expect(page.locator("#query-problem")).to_be_hidden()
    await expect(page.locator(".hit")).to_have_count(1)


async def test_pause_holds_the_list_still(page: Page, client: Client) -> None:
    await page.click("#pause")
    await client.put("news", {"5": {"title": "news"}, "6": {"title": "more"}})
    await expect(page.locator("#held")).to_have_text("2 changes wait: show them")
    await expect(page.locator(".hit")).to_have_count(2)
    await page.click("#held")
    await expect(page.locator(".hit")).to_have_count(4)


async def test_the_keyboard_is_enough(page: Page) -> None:
    await page.locator("#results").focus()
    await page.keyboard.press("j")
    await expect(page.locator(".hit").first).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator(".hit").first.locator("pre")).to_contain_text('"title"')
    await page.keyboard.press("/")
    await expect(page.locator("#query")).to_be_focused()


async def test_rate_and_freshness_are_plotted(page: Page, client: Client) -> None:
    await expect(page.locator("#rate")).not_to_have_text("–")
    await client.put("news", {str(n): {"n": n} for n in range(100, 200)})
    await expect(page.locator("#p50")).not_to_have_text("–")
    assert "milliseconds" in (await page.locator("#fresh-plot").get_attribute("aria-label") or "")


async def test_an_index_that_comes_later_is_found(browser: Browser, client: Client) -> None:
    page = await browser.new_page()
    await page.goto(str(client.http.make_url("/")))
    await expect(page.locator("#empty-code")).to_contain_text("curl -XPOST")
    await client.put("late", {"1": {"title": "at last"}})
    await expect(page.locator(".hit h3")).to_have_text("at last")


async def test_the_page_and_its_files_come_with_a_strict_policy(client: Client) -> None:
    html = {"Accept": "text/html"}
    for path in ("/", "/_page/app.js", "/_page/style.css", "/_page/favicon.svg", "/favicon.ico"):
        async with client.http.get(path, headers=html) as response:
            assert response.status == 200
            assert response.headers["Content-Security-Policy"].startswith("default-src 'self'")
            etag = response.headers["ETag"]
        again = {**html, "If-None-Match": etag}
        assert (await client.http.get(path, headers=again)).status == 304
    assert (await client.ok("GET", "/"))["version"]["distribution"] == "opensearch"
