"""Sessions with PostgreSQL: connecting, poolers, refreshing a view, this program's tables, notifications, failures."""
