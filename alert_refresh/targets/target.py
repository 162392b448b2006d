"""What a target is, and the digest of its content."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec

from alert_refresh.credential import Credentials
from alert_refresh.targets.secret.json_object import JsonObject, canonical

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alert_refresh.credential import Credential
    from alert_refresh.engine import Fault

NO_HEADERS = Credentials({})
NO_FILTERS = JsonObject()


class Target(msgspec.Struct, frozen=True, gc=False):
    """One destination to which alerts are published.

    `namespace`, `secret` and `shape` say where it was read from. A stale target is the last valid version:
    `stale_since` is Unix seconds, `faults` what is wrong with the Secret now. `digest` identifies the content, which
    is everything but those two; it is computed when it is not given.

    For example `Target(name="team-a", type="slack", format="slack", url=Credential("***"), namespace="default",
    secret="team-a", shape="config")`.
    """

    name: str
    type: str
    format: str
    url: Credential
    enabled: bool = True
    headers: Mapping[str, Credential] = NO_HEADERS
    filter_config: Mapping[str, Any] = NO_FILTERS
    namespace: str = ""
    secret: str = ""
    shape: str = ""
    stale_since: float | None = None
    faults: tuple[Fault, ...] = ()
    digest: bytes = b""

    def __post_init__(self) -> None:
        if not self.digest:
            content = canonical((as_config(self), self.namespace, self.secret, self.shape))
            msgspec.structs.force_setattr(self, "digest", digest_of(content))

    def __repr__(self) -> str:
        return f"Target(name={self.name!r}, namespace={self.namespace!r}, secret={self.secret!r})"

    def stale(self, since: float, faults: tuple[Fault, ...]) -> Target:
        """This target as the last valid version of a Secret that has these faults now."""
        return msgspec.structs.replace(self, stale_since=since, faults=faults)


def as_config(target: Target) -> dict[str, object]:
    """The `config` object that parses to this target, with its credentials in clear text."""
    return {
        "name": target.name,
        "type": target.type,
        "url": target.url.reveal(),
        "format": target.format,
        "enabled": target.enabled,
        "headers": {name: value.reveal() for name, value in target.headers.items()},
        "filter_config": dict(target.filter_config),
    }


def digest_of(content: bytes) -> bytes:
    """Equal for equal content: `content` is the canonical text of a `config` object and where it was read from."""
    return sha256(content).digest()
