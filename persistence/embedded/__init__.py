"""Servers of our own: PostgreSQL and Valkey as child processes."""
