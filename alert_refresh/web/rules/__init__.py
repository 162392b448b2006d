"""The rules over HTTP."""
