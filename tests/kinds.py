"""The program's kinds, with another source for one of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from alert_refresh import daemon

if TYPE_CHECKING:
    from collections.abc import Callable

    from alert_refresh.engine import Clock
    from alert_refresh.kind import Kind


def with_source(name: str, build: Callable[[Any, Clock], Any]) -> tuple[Kind, ...]:
    """All kinds, the one of this name with that `build`; put them in place of `daemon.KINDS`."""
    return tuple(
        replace(kind, build=lambda settings, clock, before: build(settings, clock), build_check=None)
        if kind.name == name
        else kind
        for kind in daemon.KINDS
    )
