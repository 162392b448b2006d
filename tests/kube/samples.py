"""Secrets for tests: a good target, as many of them as wanted, of any size."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.kube.store import Store

LABELS = {"publishing-target": "true"}
CREATED = "2025-01-01T00:00:00Z"


def secret(name: str, namespace: str = "default", *, labels: dict[str, str] | None = None, **config: Any) -> Any:
    """A Secret that holds one valid webhook target called `name`; `config` adds or replaces fields of it."""
    target = {
        "name": name,
        "type": "webhook",
        "url": f"https://hooks.example.com/services/{name}/canary-4f1c",
        "format": "alertmanager",
        "enabled": True,
        "headers": {"Authorization": f"Bearer canary-{name}"},
        "filter_config": {"min_severity": "warning", "namespaces": ["production", "staging"]},
    } | config
    return raw_secret(name, namespace, {"config": json.dumps(target).encode()}, labels=labels)


def raw_secret(
    name: str, namespace: str, data: dict[str, bytes], *, labels: dict[str, str] | None = None
) -> dict[str, Any]:
    """A Secret with these decoded values."""
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "creationTimestamp": CREATED,
            "labels": LABELS if labels is None else labels,
        },
        "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
    }


def fill(
    store: Store,
    count: int,
    size: int = 1200,
    *,
    namespace: str = "default",
    prefix: str = "target",
    labels: dict[str, str] | None = None,
) -> None:
    """Create `count` targets of about `size` bytes each as listed; the padding is made only when it is sent."""
    with store.changed:
        for number in range(count):
            document = secret(f"{prefix}-{number:05d}", namespace, labels=labels)
            document["metadata"]["annotations"] = {"padding": ""}
            bare = len(json.dumps(document)) + 80
            store.create(document, max(0, size - bare))
