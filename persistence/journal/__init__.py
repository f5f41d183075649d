"""The write-ahead journal, and its delivery to PostgreSQL."""
