"""The fast tiers: Redis and process memory in front of PostgreSQL."""
