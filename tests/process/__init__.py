"""The real program, started, asked and stopped."""
