"""All targets by name."""

from tests.fuzz import documents, messages, packets, texts
from tests.fuzz.target import Target

TARGETS: dict[str, Target] = {
    target.name: target for target in (*packets.TARGETS, *documents.TARGETS, *messages.TARGETS, *texts.TARGETS)
}
"""In the order in which `python -m tests.fuzz` runs them."""
