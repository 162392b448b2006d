"""The targets over HTTP."""
