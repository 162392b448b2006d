"""What the folder of a kind exports as `KIND`: all that the daemon, the web app and the command line know of it.

`daemon.KINDS` lists the kinds. A new one is a folder and one line there.
"""

from __future__ import annotations

import pkgutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alert_refresh import engine

if TYPE_CHECKING:
    from collections.abc import Callable

    from alert_refresh.engine import Clock, Source
    from alert_refresh.env import Env


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind(engine.Kind):
    """What the engine needs of a kind, and what the rest of the program does.

    `read(env)` returns the kind's own frozen settings, with a `refresh: RefreshSettings` among them; faults are left in
    `env`. `build(settings, clock)` returns the source those settings name, or None when the kind is off;
    `enable_hint` completes the sentence "to switch them on, ...". A kind that `gates_readiness` must be loaded before
    `/readyz` answers 200.

    Six functions are named as `module:attribute`, so that only what is used is imported. `metrics(registry, workers)`
    registers the kind's own metrics. `keep(source)` returns the `keep.codec.Codec` by which the kind's snapshot
    survives a restart; without one it does not. `blueprint(daemon, auth, metrics)` returns its routes, given what
    `metrics` returned. `check(snapshots)` returns fields that `alert-refresh check` shows beside those of every kind,
    given the snapshots of all kinds by name; `warnings` among them are lines for people, and faults with `--strict`.
    `build_check` takes the place of `build` in that command, for a kind whose refresh changes something. `plan(item)`
    returns an item's fields as `alert-refresh plan` compares them, each as its value and as what may be shown of it; a
    kind without it is not planned. `fields(item)` returns an item's fields, by the names that answers have, for a kind
    without `plan`: the record of a refresh names those that it changed.
    """

    read: Callable[[Env], Any]
    build: Callable[[Any, Clock], Source[Any] | None]
    enable_hint: str
    blueprint: str
    metrics: str = ""
    gates_readiness: bool = False
    build_check: Callable[[Any, Clock], Source[Any] | None] | None = None
    check: str = ""
    plan: str = ""
    fields: str = ""
    keep: str = ""


def load(name: str) -> Any:
    """The attribute that `module:attribute` names.

    Raises:
        ImportError, AttributeError: there is none.
    """
    return pkgutil.resolve_name(name)
