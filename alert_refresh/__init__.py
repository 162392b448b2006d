"""alert-refresh keeps what an alerting stack depends on up to date, and the last good version serving."""

__version__ = "0.1.0"
