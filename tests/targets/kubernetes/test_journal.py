"""Events are queued in the order in which they were read, up to a limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alert_refresh.targets.kubernetes import journal
from alert_refresh.targets.kubernetes.encoding.json_list import Metadata, Secret
from alert_refresh.targets.kubernetes.events import WatchEvent
from alert_refresh.targets.kubernetes.journal import Journal

if TYPE_CHECKING:
    import pytest


def event(version: int) -> WatchEvent:
    return WatchEvent("default", 1, Secret(Metadata("n", "u", str(version))), False, 0.0)


def test_events_are_taken_in_order_and_once() -> None:
    waiting = Journal()
    for version in (3, 1, 2):
        waiting.put(event(version))
    assert waiting.wake.is_set()
    assert [one.version for one in waiting.take()] == ["3", "1", "2"]
    assert waiting.take() == [] and not waiting.wake.is_set()


def test_it_is_full_with_as_many_as_may_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "FULL", 2)
    waiting, seen = Journal(), []
    for version in (1, 2):
        waiting.put(event(version))
        seen.append(waiting.full)
    waiting.take()
    assert [*seen, waiting.full] == [False, True, False]
