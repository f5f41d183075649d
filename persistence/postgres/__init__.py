"""PostgreSQL: connections, the schema, and what is read from it."""
