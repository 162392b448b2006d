"""Encryption of a snapshot by AES-256-GCM; the only import of `cryptography`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alert_refresh.keep.key import Key


class WrongKey(Exception):
    """Raised when something was not sealed with this key and this head."""


def seal(key: Key, nonce: bytes, content: bytes, head: bytes) -> bytes:
    """The encrypted content, which opens only with the same key, nonce and head."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key.value).encrypt(nonce, content, head)


def unseal(key: Key, nonce: bytes, sealed: bytes, head: bytes) -> bytes:
    """The content that was sealed.

    Raises:
        WrongKey: key, nonce, head or content is not what it was.
    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        return AESGCM(key.value).decrypt(nonce, sealed, head)
    except InvalidTag as error:
        raise WrongKey from error
