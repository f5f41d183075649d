"""A number of bytes that many share: who wants more than there is gets none."""


class ByteBudget:
    """Counts what is held; nothing waits here.

    Args:
        capacity: bytes.

    Attributes:
        held: bytes now.
    """

    def __init__(self, capacity: int) -> None:
        self.held = 0
        self.capacity = capacity

    def take(self, count: int) -> bool:
        """Hold so many bytes more; False where there is no room for them."""
        if self.held + count > self.capacity:
            return False
        self.held += count
        return True

    def force(self, count: int) -> None:
        """Hold them in any case: for what must go on so that something is given back."""
        self.held += count

    def give(self, count: int) -> None:
        """Give bytes back."""
        self.held -= count
