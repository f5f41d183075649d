"""Fixtures of the tests of the call page.

A module of tests takes those that it wants by their names, `page = page_fixtures.page`: a conftest of this folder would
have to import Playwright for all tests in it.
"""

from collections.abc import AsyncIterator

import pytest_asyncio
from playwright.async_api import Browser, Page

from tests.e2e.chromium import chromium, visit
from tests.e2e.page_server import PageServer


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """Chromium, with a microphone that beeps."""
    async with chromium() as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="module")
async def server() -> AsyncIterator[PageServer]:
    """The stand-in for Morgan, anew for each test."""
    async with PageServer() as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, server: PageServer) -> AsyncIterator[Page]:
    """A visit to the stand-in's page."""
    async with visit(browser, server.url) as page:
        yield page
