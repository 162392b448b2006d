"""How commands talk to a running daemon."""
