"""Requests made from the API's own description, good and bad: no 5xx, no undocumented status, no other form of answer.

`morgan bench api --url http://localhost:8000 --examples 2000` asks all four ports of a running server.
"""

import argparse
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

schemathesis.serializer.alias("application/sdp", "text/plain")
schemathesis.serializer.alias("application/trickle-ice-sdpfrag", "text/plain")

CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]

SERVICES = 4
ROUND = 16
"""Requests of each operation before the next seed."""

MAX_TOKENS = 8
"""Replies are kept short: it is the API that is asked, not the language model."""

TIMEOUT_S = 120.0


@dataclass
class Report:
    """What came of it.

    Attributes:
        operations: how many there are.
        examples: requests sent.
        statuses: how often each came.
        failures: of each operation, the first one.
    """

    operations: int = 0
    examples: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    failures: dict[str, str] = field(default_factory=dict)

    def add(self, other: "Report") -> None:
        """Take in another round on the same port."""
        self.operations = other.operations
        self.examples += other.examples
        self.statuses.update(other.statuses)
        self.failures = {**other.failures, **self.failures}


def fuzz(url: str, examples: int, *, key: str | None = None, number: int = 1) -> Report:
    """Ask one port.

    Args:
        url: of the port.
        examples: requests of each operation, half of them good by the description and half bad.
        key: where the server wants one.
        number: seed.
    """
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    report = Report()
    for operation in _operations(url, headers):
        report.operations += 1
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            try:
                _ask(operation, mode, max(1, examples // 2), headers, report, number)
            except (Failure, FailureGroup) as error:
                told = "\n".join(map(str, getattr(error, "exceptions", [error])))
                report.failures.setdefault(operation.label, told)
    return report


def _ask(
    operation: Any, mode: GenerationMode, examples: int, headers: dict[str, str], report: Report, number: int
) -> None:
    if mode is GenerationMode.NEGATIVE and not (operation.body or operation.query or operation.path_parameters):
        return

    @seed(number)
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        _shorten(case)
        response = case.call(headers=headers, timeout=TIMEOUT_S)
        report.examples += 1
        report.statuses[response.status_code] += 1
        case.validate_response(response, checks=CHECKS)

    try:
        ask()
    except Unsatisfiable:
        # Any text and any object is of the form of some bodies: no wrong one can be made.
        if mode is not GenerationMode.NEGATIVE:
            raise


def _shorten(case: Any) -> None:
    tokens = case.body.get("max_tokens") if isinstance(case.body, dict) else None
    if (
        isinstance(case.body, dict)
        and {"prompt", "messages"} & case.body.keys()
        and (tokens is None or (isinstance(tokens, int) and tokens > MAX_TOKENS))
    ):
        case.body["max_tokens"] = MAX_TOKENS


def main() -> None:
    """Ask all ports and say what came of it."""
    parser = argparse.ArgumentParser(prog="morgan bench api", description=__doc__)
    parser.add_argument("--url", default="http://localhost:8000", help="of the core")
    parser.add_argument("--examples", type=int, default=2000, help="requests in all")
    parser.add_argument("--key", help="where the server wants one")
    parser.add_argument("--seed", type=int, default=1)
    given_args = parser.parse_args()
    core = urlsplit(given_args.url)
    urls = [f"{core.scheme}://{core.hostname}:{(core.port or 80) + offset}" for offset in range(SERVICES)]
    began, number = time.monotonic(), given_args.seed
    reports = {url: Report() for url in urls}
    # Operations without parameters have one request only, so how many a round sends is known afterwards.
    while sum(report.examples for report in reports.values()) < given_args.examples:
        for url, report in reports.items():
            report.add(fuzz(url, ROUND, key=given_args.key, number=number))
        number += 1
    for url, report in reports.items():
        statuses = ", ".join(f"{status}: {times}" for status, times in sorted(report.statuses.items()))
        print(f"{url}: {report.operations} operations, {report.examples} requests ({statuses})")
        for operation, problem in report.failures.items():
            print(f"  {operation}: {problem}")
    failed = any(report.failures for report in reports.values())
    sent = sum(report.examples for report in reports.values())
    print(f"{sent} requests in {time.monotonic() - began:.0f} s: {'FAILED' if failed else 'no violation'}")
    sys.exit(failed)


def _operations(url: str, headers: dict[str, str]) -> list[Any]:
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json", headers=headers)
    operations = list(schema.get_all_operations())
    for operation in operations:
        if not isinstance(operation, Ok):
            raise ValueError(f"{url}/openapi.json is broken: {operation.err()}")
    return [operation.ok() for operation in operations if isinstance(operation, Ok)]


if __name__ == "__main__":
    main()
