"""The cached reads of the hierarchy: memory, Redis, PostgreSQL, and the invalidation of the caches."""
