"""A target as JSON fields, masked unless it may be revealed. Built field by field, so that nothing slips through."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from alert_refresh.credential import MASK
from alert_refresh.targets.secret.json_object import JsonObject
from alert_refresh.targets.target import as_config
from alert_refresh.web.answers import rfc3339

if TYPE_CHECKING:
    from alert_refresh.credential import Credential
    from alert_refresh.engine import Rejected, Snapshot
    from alert_refresh.targets.target import Target
    from alert_refresh.web.alertmanager.fields import Deliveries

ORIGIN = re.compile(r"(https?)://(\[[0-9a-f:.]+\]|[^/?#:@\[\]\\\s]+)(?::[0-9]*)?(?=[/?#]|\Z)", re.IGNORECASE)
"""Scheme and host of a URL without user info."""


def target_fields(target: Target, reveal: bool, deliveries: Deliveries | None = None) -> dict[str, Any]:
    """One target; `reveal` shows its whole URL and header values. `deliveries` tell what is delivered of it."""
    filters: Any = target.filter_config
    if isinstance(filters, JsonObject):
        filters = msgspec.Raw(filters.text)
    return {
        "name": target.name,
        "type": target.type,
        "format": target.format,
        "enabled": target.enabled,
        "url": target.url.reveal() if reveal else masked_url(target.url),
        "headers": {name: value.reveal() if reveal else MASK for name, value in target.headers.items()},
        "filter_config": filters,
        "state": state(target),
        "since": rfc3339(target.stale_since),
        "faults": [fault.fields() for fault in target.faults],
        "source": {"namespace": target.namespace, "secret": target.secret, "shape": target.shape},
        **({} if deliveries is None else deliveries.fields(target)),
    }


def compared(target: Target) -> dict[str, tuple[object, object]]:
    """The fields of a target as they are compared, with credentials in the clear, and as they may be shown."""
    values, shown = as_config(target), target_fields(target, reveal=False)
    filters = dict(target.filter_config)
    pairs = {name: (values[name], shown[name]) for name in ("type", "format", "enabled", "url", "headers")}
    source = f"{target.namespace}/{target.secret}"
    faults = [f"{fault.field}: {fault.message}" for fault in target.faults]
    return pairs | {
        "filter_config": (filters, filters),
        "state": (state(target), state(target)),
        "faults": (faults, faults),
        "source": (source, source),
    }


def state(target: Target) -> str:
    """Whether the target is as its Secret says now, or its last valid version is served."""
    return "fresh" if target.stale_since is None else "stale"


def rejected_fields(rejected: Rejected) -> dict[str, Any]:
    """An item that could not be used, and why."""
    return {"source": rejected.origin, "faults": [fault.fields() for fault in rejected.faults]}


def skipped_fields(snapshot: Snapshot[Target]) -> dict[str, Any]:
    """What was read and is no target: how many objects, and the first of them with the reason."""
    items = [{"source": one.origin, "reason": one.reason} for one in snapshot.skipped]
    return {"count": snapshot.skipped_count, "items": items}


def masked_url(url: Credential) -> str:
    """Scheme and host, the parts of a URL that are no secret; nothing of one that looks odd."""
    found = ORIGIN.match(url.reveal())
    return "://".join(found.groups()).lower() if found else MASK
