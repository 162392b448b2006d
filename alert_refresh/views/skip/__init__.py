"""When the refresh of a view may be skipped: the proof of what its query reads, and that none of it has changed."""
