"""A configuration as it may be shown: every credential in it masked."""

from __future__ import annotations


def masked(text: bytes) -> str:
    """A configuration of Alertmanager with every credential masked: URLs to scheme and host, tokens, keys, headers."""
    raise NotImplementedError
