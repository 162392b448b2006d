"""Names of keys and fields in the messages of faults: which may be shown, and the most similar known one."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

LONGEST = 64
"""The longest name that is shown; a longer one may be a credential in the wrong place."""
PLAIN = re.compile(r"[^\x00-\x20@/\\]+")
MEANT = {
    "uri": "url", "endpoint": "url", "webhook": "url", "webhook_url": "url", "webhookurl": "url", "api_url": "url",
    "address": "url", "kind": "type", "disabled": "enabled", "disable": "enabled", "active": "enabled",
    "filter": "filter_config", "filters": "filter_config", "http_headers": "headers",
}  # fmt: skip
"""Names of fields in other programs, and ours."""


def shown(name: str) -> str:
    """A name in quotes, ASCII on one line; anything but a plain word is not shown, since it may be a credential."""
    if len(name) > LONGEST or not PLAIN.fullmatch(name):
        return "a name that is not shown"
    return "'" + ascii(name)[1:-1] + "'"


def nearest(name: str, known: Collection[str]) -> str | None:
    """The most similar of `known`; None if none is similar."""
    folded = re.sub(r"[-_. ]", "_", name.lower())
    if (meant := MEANT.get(folded)) in known:
        return meant
    names = {re.sub(r"[-_. ]", "_", one.lower()): one for one in known}
    near = difflib.get_close_matches(folded[:LONGEST], names, 1)
    return names[near[0]] if near else None


def unknown(name: str, known: Collection[str], of: str) -> str:
    """The message of a fault: `name` is none of `known`."""
    near = nearest(name, known)
    return f"unknown_field: is no {of}; " + (f"did you mean '{near}'?" if near else f"known are {listed(known)}")


def listed(names: Iterable[str]) -> str:
    """Names as a comma-separated list."""
    return ", ".join(names)
