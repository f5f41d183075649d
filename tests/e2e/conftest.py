"""What the tests that call a server have in common."""

from tests.serving import RunningServer, free_port

__all__ = ["RunningServer", "free_port"]
