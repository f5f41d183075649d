"""axe-core, which looks for what keeps people out: one of the packages of tests/clients/package.json."""

from tests.e2e.npm_clients import packages
from tests.e2e.tabs import Tab, run

RUN = """(async () => {
  const { violations } = await axe.run(document, { resultTypes: ['violations'] });
  return violations.flatMap(({ id, nodes }) => nodes.map(node => `${id}: ${node.target} ${node.failureSummary}`));
})()"""


def axe_source() -> str:
    """The script; skips the test where npm cannot be had, except in CI."""
    return (packages() / "node_modules" / "axe-core" / "axe.min.js").read_text()


async def violations(page: Tab, source: str) -> list[str]:
    """What axe finds on the page as it is now."""
    if not await page.evaluate("'axe' in window"):
        await run(page, source)
    found: list[str] = await page.evaluate(RUN)
    return found
