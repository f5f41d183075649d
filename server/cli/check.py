"""What `morgan doctor` found out about one thing."""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the doctor's table.

    Attributes:
        name: what was looked at.
        verdict: "ok"; "warn": Morgan runs, with less; "fail": Morgan does not run.
        found: what is there.
        advice: what to do about it; empty when ok.
    """

    name: str
    verdict: Verdict
    found: str
    advice: str = ""
