"""What the folder of a kind exports as `KIND`: all that the daemon, the web app and the command line know of it.

`daemon.KINDS` lists the kinds. A new one is a folder and one line there.
"""

from __future__ import annotations

import pkgutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alert_refresh import engine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeAlias

    from alert_refresh.engine import Clock, Source, Worker
    from alert_refresh.env import Env

    Before: TypeAlias = Mapping[str, Worker[Any]]
    Remark: TypeAlias = tuple[str, tuple[str, ...]]
    Build: TypeAlias = Callable[[Any, Clock, Before], Source[Any] | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind(engine.Kind):
    """What the engine needs of a kind, and what the rest of the program does.

    `read(env)` returns the kind's own frozen settings, with a `refresh: RefreshSettings` among them; faults are left in
    `env`. `build(settings, clock, before)` returns the source those settings name, or None when the kind is off;
    `before` are the workers of the kinds before it in `daemon.KINDS`, by name, as far as they are on: a kind that
    builds upon others reads what they serve and listens to them. `enable_hint` completes the sentence "to switch them
    on, ...". A kind that `gates_readiness` must be loaded before `/readyz` answers 200.

    Eight functions are named as `module:attribute`, so that only what is used is imported. `metrics(registry, workers)`
    registers the kind's own metrics. `keep(source)` returns the `keep.codec.Codec` by which the kind's snapshot
    survives a restart; without one it does not. `blueprint(daemon, auth, metrics)` returns its routes, given what
    `metrics` returned. `check(snapshots)` returns fields that `alert-refresh check` shows beside those of every kind,
    given the snapshots of all kinds by name; `warnings` among them are lines for people, and faults with `--strict`.
    `build_check` takes the place of `build` in `alert-refresh check` and `plan`, for a kind whose refresh changes
    something. `plan(item)` returns an item's fields as `alert-refresh plan` compares them, each as its value and as
    what may be shown of it; `difference(source)`, for a kind that makes one whole, the lines that would change in it,
    as `diff -u` writes them, after a refresh of the source that `build_check` returned. A kind with neither is not
    planned. `fields(item)` returns an item's fields, by the names that answers have, for a kind without `plan`: the
    record of a refresh names those that it changed. `remarks(snapshots)` returns what is wrong with a kind that only
    such a kind can have, given the snapshots of all kinds by name, as pairs of a phrase and the names it is about, such
    as `("1 missing target", ("team-a",))`: the sentence of `/health` has them in place of how many items are rejected.
    """

    read: Callable[[Env], Any]
    build: Build
    enable_hint: str
    blueprint: str
    metrics: str = ""
    gates_readiness: bool = False
    build_check: Build | None = None
    check: str = ""
    plan: str = ""
    difference: str = ""
    fields: str = ""
    keep: str = ""
    remarks: str = ""


def is_off(name: str) -> str:
    """That a kind is off: `Targets are off`, `Alertmanager is off`."""
    return f"{name.capitalize()} {'are' if name.endswith('s') else 'is'} off"


def it(name: str) -> str:
    """What stands for a kind's name in a sentence: `them` or `it`."""
    return "them" if name.endswith("s") else "it"


def load(name: str) -> Any:
    """The attribute that `module:attribute` names.

    Raises:
        ImportError, AttributeError: there is none.
    """
    return pkgutil.resolve_name(name)
