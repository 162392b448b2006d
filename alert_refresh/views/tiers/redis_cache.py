"""The second tier: Redis or Valkey, shared by daemons. While it is slow or fails, it is not used."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry

from alert_refresh.engine import Backoff
from alert_refresh.views.tiers.circuit import Circuit

if TYPE_CHECKING:
    from alert_refresh.credential import Credential
    from alert_refresh.engine import Clock

TIMEOUT = 0.1
"""Socket timeout in seconds; one call takes at most twice as long, with connecting."""
EXPIRE = 3600
"""Seconds until an entry expires: so those of earlier generations disappear."""

log = logging.getLogger(__name__)


class RedisCache:
    """`get` and `put` never raise. After a failure it is not used for a while: 1 s at first, 30 s at most."""

    def __init__(self, url: Credential, clock: Clock) -> None:
        self._circuit = Circuit(clock, Backoff(1.0, 30.0))
        self._client: Any = redis.Redis.from_url(
            url.reveal(),
            retry=Retry(NoBackoff(), 0),
            socket_timeout=TIMEOUT,
            socket_connect_timeout=TIMEOUT,
            decode_responses=False,
        )
        self.hits = 0
        self.misses = 0
        self.errors = 0

    @property
    def available(self) -> bool:
        """Whether the last call worked, or none was made yet."""
        return self._circuit.healthy

    def get(self, key: str) -> bytes | None:
        """The value of the key, or None."""
        value = self._call("get", key)
        if isinstance(value, bytes):
            return value
        self.misses += 1
        return None

    def put(self, key: str, value: bytes) -> None:
        """Store a value, if Redis works."""
        self._call("set", key, value, ex=EXPIRE)

    def close(self) -> None:
        """Drop the connections; the next call opens new ones."""
        self._client.close()

    def _call(self, method: str, *arguments: Any, **options: Any) -> Any:
        if not self._circuit.closed():
            return None
        try:
            value = getattr(self._client, method)(*arguments, **options)
        except (redis.RedisError, OSError) as error:
            self.errors += 1
            if self._circuit.failed():
                log.warning("Redis fails with %s: going on without it", type(error).__name__)
            return None
        if self._circuit.worked():
            log.info("Redis works again")
        return value


def fault_of(text: str) -> str | None:
    """The fault of a URL; the client takes a database that is not a number for number 0."""
    try:
        parts = urlsplit(text)
        parse_url(text)  # type: ignore[no-untyped-call]  # redis has no types here
    except ValueError:
        return "is not a Redis URL such as redis://host:6379/0; write @ : / # of a password as %40 %3A %2F %23"
    if parts.scheme != "unix" and not re.fullmatch(r"/?|/[0-9]{1,5}", parts.path):
        return "names a database that is not a number, such as the 0 of redis://host:6379/0"
    if "," in (parts.hostname or ""):
        return "names several hosts; one is used"
    return None
