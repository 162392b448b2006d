"""Listeners of outcomes: log lines and metrics."""
