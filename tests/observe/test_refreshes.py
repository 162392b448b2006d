"""The record of refreshes: what became of each, and the difference that it made."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from alert_refresh.engine import Hold, Outcome, Partial, Permanent, Result, Snapshot, Transient, Trigger
from alert_refresh.observe import refreshes as module
from alert_refresh.observe.refreshes import Made, Record, Refreshes, result_of
from tests.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True)
class Item:
    """An item with two fields."""

    first: str = ""
    second: str = ""


OUTCOME = Outcome("fake", Trigger.PERIODIC, "id", 1, Result.SUCCESS, 1_700_000_000.0, 0.25)


@pytest.fixture
def stage() -> Iterator[Stage]:
    with Stage(rate_limit=0).start().idle() as stage:
        yield stage


def begun(stage: Stage, compared: Callable[[Any], Any] | None = None, *kept: Outcome) -> Refreshes:
    refreshes = Refreshes()
    refreshes.start({"fake": stage.worker}, {} if compared is None else {"fake": compared}, kept)
    return refreshes


def answering(stage: Stage, *answers: Snapshot[Any] | Exception) -> None:
    """Make the next attempts end so."""
    left = list(answers)

    def answer(_: int) -> Snapshot[Any]:
        one = left.pop(0)
        if isinstance(one, Exception):
            raise one
        return one

    stage.source.answer = answer


def of(**items: Any) -> Snapshot[Any]:
    return Snapshot(items=items, digest=repr(items))


def refresh(stage: Stage, *answers: Snapshot[Any] | Exception) -> str:
    """A manual refresh that ends so; returns its id."""
    answering(stage, *answers)
    request = stage.worker.refresh_now()
    assert request.done.wait(30)
    return request.request_id


def newest(refreshes: Refreshes) -> Record:
    return refreshes.newest()[0]


def test_a_refresh_is_recorded_with_the_names_and_fields_that_it_changed(stage: Stage) -> None:
    refreshes = begun(stage)
    refresh(stage, of(a=Item("1", "2"), b=Item(), c=Item()))
    identity = refresh(stage, of(a=Item("1", "3"), b=Item(), d=Item()))
    record = newest(refreshes)
    assert record.outcome.request_id == identity
    counts = {"added": 1, "removed": 1, "changed": 1}
    assert record.made == Made(added=("d",), removed=("c",), changed=(("a", ("second",)),), counts=counts)


def test_a_kind_says_how_its_items_are_compared(stage: Stage) -> None:
    refreshes = begun(stage, lambda item: {"both": (item.first + item.second, "***")})
    refresh(stage, of(a=Item("1", "2")))
    refresh(stage, of(a=Item("1", "3")))
    record = newest(refreshes)
    assert record.made is not None
    assert record.made.changed == (("a", ("both",)),)


def test_an_item_that_is_no_dataclass_has_one_field(stage: Stage) -> None:
    refreshes = begun(stage)
    refresh(stage, of(a="1"))
    refresh(stage, of(a="2"))
    made = newest(refreshes).made
    assert made is not None
    assert made.changed == (("a", ("value",)),)


def test_a_refresh_that_changed_nothing_or_failed_made_no_difference(stage: Stage) -> None:
    refreshes = begun(stage)
    refresh(stage, of(a="1"))
    refresh(stage, of(a="1"))
    assert newest(refreshes).made == Made()
    refresh(stage, Permanent("HTTP 403", "auth"))
    assert newest(refreshes).made == Made()
    assert newest(refreshes).outcome.error == "HTTP 403"


def test_what_a_watch_published_is_no_part_of_the_difference_of_a_refresh(stage: Stage) -> None:
    refreshes = begun(stage)
    refresh(stage, of(a="1"))
    assert stage.worker.publish(of(a="1", b="1"), stage.worker.current())
    refresh(stage, of(a="1", b="1", c="1"))
    made = newest(refreshes).made
    assert made is not None
    assert (made.added, made.removed, made.changed) == (("c",), (), ())


def test_the_attempts_of_a_cycle_are_one_record_with_all_that_they_changed(stage: Stage) -> None:
    refreshes = begun(stage)
    refresh(stage, of(a="1", b="1"))
    partial = Partial(of(a="2", b="1"), Transient("namespace b: HTTP 500", "k8s_api"))
    answering(stage, partial, of(a="2", b="2"))
    request = stage.worker.refresh_now()
    stage.fake.wait_for_sleeper(30)
    first = newest(refreshes)
    assert (first.outcome.attempt, first.outcome.retry_in) == (1, 30)
    stage.fake.advance(30)
    assert request.done.wait(30)
    record = newest(refreshes)
    assert (record.number, record.outcome.attempt, record.outcome.retry_in) == (first.number, 2, None)
    assert record.made is not None
    assert record.made.changed == (("a", ("value",)), ("b", ("value",)))
    assert not refreshes._swaps


def test_a_cycle_that_was_replaced_keeps_no_snapshot(stage: Stage) -> None:
    refreshes = begun(stage)
    answering(stage, Partial(of(a="2"), Transient("connection reset", "network")), of(a="3"))
    stage.worker.notify(Trigger.WATCH)
    stage.fake.wait_for_sleeper(30)
    assert stage.worker.refresh_now().done.wait(30)
    assert not refreshes._swaps


def test_the_time_of_a_refresh_is_that_of_its_attempts() -> None:
    refreshes = Refreshes()
    failed = replace(OUTCOME, result=Result.FAILED, retry_in=30.0)
    refreshes._heard(failed)
    refreshes._heard(replace(OUTCOME, attempt=2, started_at=OUTCOME.started_at + 30.25, duration=0.5))
    assert (newest(refreshes).started_at, newest(refreshes).seconds) == (OUTCOME.started_at, 0.75)


def test_an_id_that_a_client_uses_again_is_another_refresh() -> None:
    refreshes = Refreshes()
    refreshes._heard(replace(OUTCOME, request_id="other"))
    refreshes._heard(OUTCOME)
    refreshes._heard(replace(OUTCOME, duration=0.5))
    assert [record.outcome.request_id for record in refreshes.newest()] == ["id", "other"]
    assert (newest(refreshes).number, newest(refreshes).seconds) == (3, 0.5)


def test_two_kinds_may_have_refreshes_with_the_same_id() -> None:
    refreshes = Refreshes()
    refreshes._heard(OUTCOME)
    refreshes._heard(replace(OUTCOME, kind="other"))
    assert [record.outcome.kind for record in refreshes.newest()] == ["other", "fake"]


def test_what_was_kept_across_a_restart_is_recorded_without_a_difference(stage: Stage) -> None:
    kept = [replace(OUTCOME, request_id=str(number)) for number in range(3)]
    refreshes = begun(stage, None, *kept)
    assert [record.outcome.request_id for record in refreshes.newest()] == ["2", "1", "0"]
    assert all(record.made is None for record in refreshes.newest())
    refreshes.start({}, {}, kept)
    assert len(refreshes.newest()) == 3


def test_the_last_thousand_are_remembered() -> None:
    refreshes = Refreshes()
    for number in range(1005):
        refreshes._heard(replace(OUTCOME, request_id=str(number)))
    assert len(refreshes.newest()) == module.MOST
    assert [refreshes.newest()[at].outcome.request_id for at in (0, -1)] == ["1004", "5"]


def test_the_oldest_differences_are_forgotten_first(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_NAMES", 5)
    refreshes = begun(stage)
    for number in range(3):
        refresh(stage, of(**{f"{number}-{name}": "x" for name in "ab"}))
    sizes = [None if record.made is None else record.made.size for record in refreshes.newest()]
    assert sizes == [4, None, None]


def test_of_many_names_the_first_are_kept_and_all_are_counted(stage: Stage) -> None:
    refreshes = begun(stage)
    refresh(stage, of(**{f"n{number:04}": "1" for number in range(1100)}))
    refresh(stage, of(**{f"n{number:04}": "2" for number in range(1100)}))
    made = newest(refreshes).made
    assert made is not None
    assert (len(made.changed), made.counts["changed"], made.size) == (module.MAX_NAMES, 1100, module.MAX_NAMES)


@pytest.mark.parametrize(
    ("outcome", "word"),
    [
        (OUTCOME, "success"),
        (replace(OUTCOME, hold=Hold(("a",), 0.0), held=1), "held"),
        (replace(OUTCOME, hold=Hold(("a",), 0.0, rejected=True), held=0), "success"),
        (replace(OUTCOME, result=Result.FAILED, held=1), "failed"),
        (replace(OUTCOME, result=Result.CANCELLED), "cancelled"),
    ],
)
def test_a_success_that_holds_removals_is_held(outcome: Outcome, word: str) -> None:
    assert result_of(outcome) == word
