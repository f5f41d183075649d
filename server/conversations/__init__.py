"""Conversations outside of calls: how one begins, and turns in writing and in recordings."""
