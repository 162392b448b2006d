"""The views over HTTP."""
