"""axe-core, which looks for what keeps people out: fetched from npm for the tests, no part of Morgan."""

import os
import shutil
import subprocess
from pathlib import Path

from playwright.async_api import Page

from tests.conftest import lacking

PACKAGE = "axe-core@4"

RUN = """async () => {
  const { violations } = await axe.run(document, { resultTypes: ['violations'] });
  return violations.flatMap(({ id, nodes }) => nodes.map(node => `${id}: ${node.target} ${node.failureSummary}`));
}"""


def axe_source(folder: Path) -> str:
    """The script; skips the test where npm cannot be had, except in CI."""
    if shutil.which("npm") is None:
        lacking("npm is not installed, so axe-core cannot be had (Debian: npm).")
    (folder / "package.json").write_text('{"private": true}')
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", PACKAGE]
    environment = {**os.environ, "npm_config_update_notifier": "false"}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, env=environment)
    if done.returncode != 0:
        lacking(f"npm could not install {PACKAGE}: {done.stderr[-1000:]}")
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text()


async def violations(page: Page, source: str) -> list[str]:
    """What axe finds on the page as it is now."""
    if not await page.evaluate("() => 'axe' in window"):
        await page.evaluate(source)
    found: list[str] = await page.evaluate(RUN)
    return found
