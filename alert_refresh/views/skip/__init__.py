"""When a view may be left alone: what its query is proven to read, and that none of it has changed."""
