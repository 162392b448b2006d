"""What a real Alertmanager makes of our alerts."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from alert_refresh.engine import Hold
from alert_refresh.observe.notify.bodies import LASTS, REPEAT
from tests.alertmanager.server import Alertmanager
from tests.observe.notify.hooks import Notified
from tests.observe.notify.test_notifier import said
from tests.process.program import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Alertmanager]:
    with Alertmanager(tmp_path) as one:
        yield one


def notified(server: Alertmanager, ago: float = 0.0) -> Notified:
    """A notifier whose wall clock is late by so many seconds."""
    it = Notified(server.url, "alertmanager")
    it.clock.wall_offset = time.time() - ago
    return it


def names(server: Alertmanager) -> list[tuple[str, str]]:
    return sorted((one["labels"]["alertname"], one["labels"]["kind"]) for one in server.alerts())


def test_an_alert_fires_and_is_resolved(server: Alertmanager) -> None:
    with notified(server, ago=10) as it:
        it.fail(1, 2, 3, started_at=it.clock.time())
        it.becomes(sent=1)
        (alert,) = server.alerts()
        assert alert["labels"] | {"instance": ""} == {
            "alertname": "AlertRefreshFailing",
            "kind": "targets",
            "severity": "warning",
            "instance": "",
        }
        assert alert["annotations"]["error"] == "connection refused"
        assert alert["status"]["state"] in ("active", "unprocessed")
        it.succeed(3, started_at=it.clock.time())
        it.becomes(sent=2)
        assert eventually(lambda: server.alerts() == [])


def test_a_hold_is_an_alert_of_its_own(server: Alertmanager) -> None:
    with notified(server) as it:
        hold = Hold(("a", "b"), it.clock.time())
        it.notifier.hold(said(hold))
        it.fail(1, 2, 3, kind="rules", started_at=it.clock.time())
        it.becomes(sent=2)
        assert names(server) == [("AlertRefreshFailing", "rules"), ("AlertRefreshHeld", "targets")]
        it.notifier.hold(said(replace(hold, rejected=True)))
        it.becomes(sent=3)
        assert eventually(lambda: names(server) == [("AlertRefreshFailing", "rules")])


def test_an_alert_that_is_not_repeated_is_resolved_and_one_that_is_goes_on(server: Alertmanager) -> None:
    left = 3.0
    with notified(server, ago=LASTS - left) as it:
        for kind in ("targets", "rules"):
            it.fail(1, 2, 3, kind=kind, started_at=it.clock.time())
        it.becomes(sent=2)
        assert len(server.alerts()) == 2
        it.notifier._firing.pop(("rules", "failing"))
        it.after(REPEAT)
        it.becomes(sent=3)
        assert eventually(lambda: names(server) == [("AlertRefreshFailing", "targets")])


def test_a_recovery_is_accepted_although_the_clock_was_set_back(server: Alertmanager) -> None:
    with notified(server, ago=10) as it:
        it.fail(1, 2, 3, started_at=it.clock.time() + 5)
        it.succeed(3, started_at=it.clock.time())
        it.becomes(sent=2)
        assert server.alerts() == []


def test_a_recovery_of_which_nobody_knew_is_accepted_and_fires_nothing(server: Alertmanager) -> None:
    with notified(server, ago=10) as it:
        it.succeed(5, started_at=it.clock.time())
        it.becomes(sent=1)
        assert server.alerts() == []
