"""Which Secrets the name of a target stands for, so that they alone can be refreshed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alert_refresh.engine import Snapshot


def secrets_of(snapshot: Snapshot[Any], name: str) -> list[tuple[str, str]]:
    """Namespace and name of the Secret that the target of this name is from, also if it is stale.

    Where no target has the name, of the rejected Secrets that are themselves called so: what their target would be
    called is not known. Empty if there are none.
    """
    target = snapshot.items.get(name)
    if target is not None:
        return [(target.namespace, target.secret)]
    found = [(one.origin.get("namespace"), one.origin.get("secret")) for one in snapshot.rejected]
    return [(namespace, secret) for namespace, secret in dict.fromkeys(found) if namespace and secret == name]
