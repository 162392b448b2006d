"""The cached reads of the hierarchy: memory, Redis, PostgreSQL, and what keeps them from being stale."""
