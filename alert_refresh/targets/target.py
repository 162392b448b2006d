"""What a target is. (Parsing one from a Secret comes here.)"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alert_refresh.credential import Credential
    from alert_refresh.engine import Fault


@dataclass(frozen=True, slots=True)
class Target:
    """One place alerts are published to.

    `namespace`, `secret` and `shape` say where it was read from. A stale target is the last valid version:
    `stale_since` is Unix seconds, `faults` what is wrong with the Secret now.
    """

    name: str
    type: str
    format: str
    url: Credential
    enabled: bool = True
    headers: Mapping[str, Credential] = None  # type: ignore[assignment]
    filter_config: Mapping[str, object] = None  # type: ignore[assignment]
    namespace: str = ""
    secret: str = ""
    shape: str = ""
    stale_since: float | None = None
    faults: tuple[Fault, ...] = ()
