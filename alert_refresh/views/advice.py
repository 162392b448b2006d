"""Checks the role and the server at the start, and logs advice once."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection

    from alert_refresh.views.view import Plan

FIXED = {12: 18, 13: 14, 14: 11, 15: 6}
"""Minor versions with the fix of CVE-2024-0985; its advisory names 12 to 15 as affected."""

ROLE = """
select rolsuper, exists (
    select from pg_class c where c.relowner = r.oid and c.relkind in ('r', 'p', 'v', 'm', 'f')
        and c.oid <> all (%s::oid[]) and c.relname not in ('refresh_metrics', 'refresh_generations')
)
from pg_roles r where r.rolname = current_user
"""

log = logging.getLogger(__name__)


def vulnerable(version: int) -> bool:
    """Whether a server of this version number, such as 150005 for 15.5, has CVE-2024-0985."""
    major, minor = divmod(version, 10000)
    return major < min(FIXED) or minor < FIXED.get(major, 0)


def look(connection: Connection[Any], plans: Sequence[Plan]) -> list[str]:
    """Advice about refreshing these views as this role on this server."""
    found = []
    if vulnerable(connection.info.server_version):
        found.append(
            "this PostgreSQL has CVE-2024-0985: the owner of a view can run code as the role that refreshes it"
            " CONCURRENTLY; update the server"
        )
    row = connection.execute(ROLE, [[plan.oid for plan in plans if plan.oid is not None]]).fetchone()
    if row is not None and row[0]:
        found.append(
            "the role is a superuser; a view's function could do anything with that, use one that owns the views alone"
        )
    elif row is not None and row[1]:
        found.append("the role owns more than the views; use one that owns them alone, or has only MAINTAIN on them")
    return found


def warn(connection: Connection[Any], plans: Sequence[Plan]) -> None:
    """Log it."""
    for message in look(connection, plans):
        log.warning("Views: %s", message)
