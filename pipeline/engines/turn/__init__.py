"""End-of-turn models."""
