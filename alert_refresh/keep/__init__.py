"""What survives a restart: the last good snapshot of each kind, and the outcomes of attempts."""
