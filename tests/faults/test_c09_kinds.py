"""One kind that is blocked forever delays no other, and no response."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from alert_refresh.daemon import KINDS, Daemon, read_config
from alert_refresh.web.app import create_app
from tests.fakes import FakeClock
from tests.postgres import hierarchy
from tests.stage import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.postgres import Database

TARGETS = Path(__file__).parents[2] / "config" / "examples" / "targets"
NAMES = [kind.name for kind in KINDS]
UPON = "alertmanager"
"""The kind that builds upon others."""
TICKS = 5


@pytest.fixture
def database() -> Iterator[Database]:
    database = hierarchy()
    yield database
    database.drop()


def all_kinds(database: Database, folder: Path) -> Daemon:
    """A daemon with every kind on, each due every minute, with a clock that the test advances."""
    rules = folder / "rules.yaml"
    rules.write_text("- id: one\n  match: ['severity=\"critical\"']\n")
    environ = {
        "TARGET_DIRECTORY": str(TARGETS),
        "TARGET_WATCH": "false",
        "VIEWS_DATABASE_URL": database.dsn(),
        "VIEWS_CACHE_LEASE": "0s",
    }
    (folder / "template.yml").write_text("route: {receiver: a}\nreceivers: [{name: a}]\n")
    environ |= {
        "RULES_FILE": str(rules),
        "ALERTMANAGER_CONFIG_TEMPLATE": str(folder / "template.yml"),
        "ALERTMANAGER_CONFIG_FILE": str(folder / "alertmanager.yml"),
    }
    for prefix in [kind.prefix for kind in KINDS]:
        environ |= {f"{prefix}INTERVAL": "1m", f"{prefix}WARMUP": "0s", f"{prefix}TIMEOUT": "30s"}
    return Daemon(read_config(environ), FakeClock())


def count_successes(daemon: Daemon) -> dict[str, int]:
    """The number of successful attempts by kind, counted from now on."""
    ended: dict[str, int] = dict.fromkeys(NAMES, 0)

    def count(name: str, outcome: Any) -> None:
        ended[name] += outcome.result.value == "success"

    for name, worker in daemon.workers.items():
        worker.listen(partial(count, name))
    return ended


def at_rest(daemon: Daemon, names: list[str]) -> bool:
    """Whether no attempt of these kinds runs or is due."""
    found = [daemon.workers[name].get_status() for name in names]
    return all(status.attempt is None and status.pending is None for status in found)


@pytest.mark.parametrize("blocked", NAMES)
def test_c09_the_other_kinds_keep_their_schedule_while_one_is_blocked_forever(
    blocked: str, database: Database, tmp_path: Path
) -> None:
    daemon = all_kinds(database, tmp_path)
    assert set(daemon.workers) == set(NAMES)
    clock: Any = daemon.clock
    client = create_app(daemon).test_client()
    hanging, release = threading.Event(), threading.Event()

    def hang(*_: Any) -> Any:
        hanging.set()
        release.wait(60)
        raise OSError

    ended = count_successes(daemon)
    others = [name for name in NAMES if name != blocked]
    try:
        daemon.start()
        eventually(lambda: all(ended.values()), "the first refresh of every kind")
        source: Any = daemon.workers[blocked].source
        source.refresh = hang
        for tick in range(1, TICKS + 1):
            # An attempt that runs while the clock is moved would be out of time.
            eventually(partial(at_rest, daemon, others), "everybody's being at rest")
            clock.wait_for_sleeper()
            clock.advance(60)
            for name in others:
                eventually(partial(lambda name, tick: ended[name] >= 1 + tick, name, tick), f"tick {tick} of {name}")
            assert client.get("/health").status_code in (200, 503)
        assert hanging.is_set(), "it did block"
        for name in others:
            # What the others publish at the start makes further refreshes of Alertmanager.
            assert ended[name] == 1 + TICKS or (name == UPON and ended[name] > TICKS), name
        assert ended[blocked] == 1 or (blocked == UPON and ended[blocked] <= 3)
    finally:
        release.set()
        daemon.stop(30)
