"""The server's way to memory, and what it keeps there."""
