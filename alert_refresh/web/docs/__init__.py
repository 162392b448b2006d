"""The description of the HTTP API, and a page that shows it."""
