"""A page whose sound has no other way than through a TURN server."""

from pathlib import Path

import pytest

from tests.coturn import SECRET, coturn
from tests.e2e.chromium import chromium, visit
from tests.server.scripted import scripted_server

CALL = """async () => {
    const { connect } = await import("/static/morgan.js");
    window.call = connect({ relayOnly: true });
    await window.call.ready;
    for (;;) {
        const figures = await window.call.stats();
        if (figures?.local) return figures.local;
        await new Promise((resolve) => setTimeout(resolve, 100));
    }
}"""


@pytest.mark.timeout(180)
async def test_morgan_js_calls_through_the_relay_alone(tmp_path: Path) -> None:
    async with (
        coturn(tmp_path) as (url, _),
        scripted_server(tmp_path / "data", turn_urls=url, turn_secret=SECRET, connect_timeout_s=60) as server,
        chromium() as browser,
        visit(browser, server.url) as page,
    ):
        way = await page.evaluate(CALL)
        assert "relay" in way
        await page.evaluate("window.call.close()")
