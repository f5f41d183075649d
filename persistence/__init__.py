"""Memory: PostgreSQL, Redis, Qdrant and the conversation store over them. Knows no calls."""
