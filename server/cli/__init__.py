"""The `morgan` command."""
