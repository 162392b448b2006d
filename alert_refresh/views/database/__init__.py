"""Sessions with PostgreSQL: connecting, poolers, the refresh of a view, our tables, notifications, failures."""
