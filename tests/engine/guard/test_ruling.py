"""Held removals of a worker: what is served, the confirming attempt, decisions, and everything that listens."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from alert_refresh.engine import (
    Hold,
    Kind,
    NotHeld,
    NotStarted,
    Outcome,
    Permanent,
    Protection,
    Publication,
    Result,
    Snapshot,
    Transient,
    Trigger,
)
from tests.fakes import START, FakeSource
from tests.stage import GatedSource, Stage

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


def retain(found: Snapshot[Any], kept: Mapping[str, Any], since: float) -> Snapshot[Any]:
    items = dict(found.items) | dict.fromkeys(kept, f"held since {since:.0f}")
    return replace(found, items=items, digest=f"{found.digest} and {' '.join(kept)}")


def drop(served: Snapshot[Any], names: Collection[str]) -> Snapshot[Any]:
    items = {name: item for name, item in served.items.items() if name not in names}
    return replace(served, items=items, digest=f"{served.digest} without {' '.join(names)}")


GUARDED = Kind(
    "things",
    "THINGS_",
    ("network", "unknown"),
    protection=Protection(lambda item: item.partition("@")[2], retain, drop),
)
"""An item is written `content@origin`."""


def things(*names: str, version: int = 1) -> Snapshot[str]:
    return Snapshot(
        items={name: f"{version}@{name}" for name in names}, digest=f"{version} {' '.join(names)}", memo=("memo", names)
    )


ALL = ("a", "b", "c")


class Guarded(Stage):
    """A started stage whose source says what `says` is."""

    def __init__(self, *names: str, **settings: Any) -> None:
        self.says: Snapshot[str] | Exception = things(*(names or ALL))
        self.published: list[Publication] = []

        def answer(_: int) -> Snapshot[str]:
            if isinstance(self.says, Exception):
                raise self.says
            return self.says

        super().__init__(FakeSource(answer), kind=GUARDED, **settings)
        self.worker.listen_publish(self.published.append)
        self.start().idle()

    def refresh(self, says: Snapshot[str] | Exception) -> Outcome:
        """A refresh at this moment finds this."""
        self.says = says
        before = len(self.outcomes)
        self.worker.notify(Trigger.FILE)
        self.idle()
        assert len(self.outcomes) > before
        return self.outcomes[-1]

    @property
    def served(self) -> dict[str, str]:
        assert self.status.snapshot is not None
        return dict(self.status.snapshot.items)

    @property
    def proposal(self) -> str:
        assert self.status.hold is not None
        return self.status.hold.proposal


def test_held_items_are_served_and_the_source_is_told_only_what_it_said() -> None:
    with Guarded() as stage:
        first = stage.outcomes[-1]
        outcome = stage.refresh(things())
        assert stage.served == dict.fromkeys(ALL, f"held since {START:.0f}")
        assert (outcome.result, outcome.items, outcome.changed) == (Result.SUCCESS, 3, True)
        assert outcome.generation == first.generation + 1
        assert outcome.hold is not None and outcome.hold.names == ALL and outcome.hold_change == "held"
        stage.refresh(things())
        previous = stage.source.previous[-1]
        assert previous is not None and dict(previous.items) == {} and previous.memo == ("memo", ())
        assert previous.generation == outcome.generation


def test_a_hold_that_goes_on_is_no_new_generation() -> None:
    with Guarded() as stage:
        held = stage.refresh(things())
        again = stage.refresh(things())
        assert (again.generation, again.changed, again.hold_change) == (held.generation, False, "")


def test_a_hold_makes_its_own_confirming_attempt_one_base_backoff_later() -> None:
    with Guarded(base_backoff=20, interval=3600, warmup=3600) as stage:
        stage.fake.advance(5)
        stage.refresh(things())
        assert stage.status.confirm_due == 25
        stage.fake.wait_for_sleeper(20)
        stage.fake.advance(20)
        after = stage.idle().status
        assert stage.outcomes[-1].trigger is Trigger.PERIODIC
        assert stage.outcomes[-1].hold_change == "confirmed" and stage.outcomes[-1].changed
        assert stage.served == {} and after.hold is None and after.confirm_due is None
        calls = stage.source.calls
        stage.fake.advance(1000)
        stage.idle()
        assert stage.source.calls == calls, "nothing is left to confirm"


def test_the_schedule_goes_on_as_before() -> None:
    with Guarded(base_backoff=20, interval=100, warmup=50) as stage:
        stage.refresh(things())
        assert stage.status.next_due == 50
        stage.fake.advance(20)
        stage.idle()
        assert stage.status.next_due == 50


def test_additions_and_changes_are_served_while_removals_are_held() -> None:
    with Guarded(*"abcdefghij") as stage:
        stage.refresh(things("j", "k", version=2))
        assert {name: item for name, item in stage.served.items() if not item.startswith("held")} == {
            "j": "2@j",
            "k": "2@k",
        }
        assert len(stage.served) == 11


def test_an_item_of_the_same_origin_with_another_name_is_not_removed() -> None:
    with Guarded("a") as stage:
        renamed = Snapshot(items={"z": "1@a"}, digest="renamed")
        assert stage.refresh(renamed).hold is None
        assert stage.served == {"z": "1@a"}


def test_a_failing_confirming_attempt_is_followed_by_the_next_refresh_only() -> None:
    with Guarded(base_backoff=20, interval=100, warmup=100, max_retries=0) as stage:
        stage.refresh(things())
        stage.says = Permanent("down", "network")
        stage.fake.advance(20)
        stage.idle()
        assert stage.outcomes[-1].result is Result.FAILED and stage.status.confirm_due is None
        assert len(stage.served) == 3
        stage.says = things()
        stage.fake.advance(80)
        stage.idle()
        assert stage.served == {} and stage.outcomes[-1].hold_change == "confirmed"


def test_a_failed_refresh_before_it_does_not_lose_the_confirming_attempt() -> None:
    with Guarded(base_backoff=20, interval=3600, warmup=3600, max_retries=0) as stage:
        stage.refresh(things())
        stage.fake.advance(5)
        stage.refresh(Permanent("down", "network"))
        assert stage.status.confirm_due == 20
        stage.says = things()
        stage.fake.advance(15)
        stage.idle()
        assert stage.served == {}


def test_approve_removes_at_once_and_tells_listeners() -> None:
    with Guarded() as stage:
        held = stage.refresh(things())
        hold = stage.worker.decisions.approve(stage.proposal)
        assert hold.names == ALL and stage.served == {} and stage.status.hold is None
        assert stage.status.snapshot is not None and stage.status.snapshot.generation == held.generation + 1
        [said] = stage.published
        assert (said.seconds, said.items, said.hold, said.hold_change) == (None, 0, None, "approved")
        assert stage.status.confirm_due is None and stage.status.succeeded == 2, "it is no attempt"
        assert stage.refresh(things()).hold_change == ""


def test_reject_keeps_them_until_the_source_changes_again() -> None:
    with Guarded(base_backoff=20) as stage:
        stage.refresh(things())
        hold = stage.worker.decisions.reject(stage.proposal)
        assert hold.names == ALL and stage.status.hold is not None and stage.status.hold.rejected
        assert [one.hold_change for one in stage.published] == ["rejected"]
        assert stage.status.confirm_due is None
        stage.fake.advance(1000)
        stage.idle()
        assert len(stage.served) == 3
        stage.refresh(things("a"))
        assert not stage.status.hold or not stage.status.hold.rejected


@pytest.mark.parametrize("proposal", ["", "0" * 16])
def test_another_proposal_decides_nothing(proposal: str) -> None:
    with Guarded() as stage:
        with pytest.raises(NotHeld) as nothing:
            stage.worker.decisions.approve(proposal)
        assert nothing.value.hold is None
        stage.refresh(things())
        for decide in (stage.worker.decisions.approve, stage.worker.decisions.reject):
            with pytest.raises(NotHeld) as other:
                decide(proposal)
            assert other.value.hold == stage.status.hold
        assert len(stage.served) == 3


def test_a_stopped_worker_decides_nothing() -> None:
    with Guarded() as stage:
        stage.refresh(things())
        proposal = stage.proposal
        stage.worker.stop()
        with pytest.raises(NotStarted):
            stage.worker.decisions.approve(proposal)


def test_a_watch_cannot_remove_all_and_its_additions_are_served() -> None:
    with Guarded(interval=3600, warmup=3600) as stage:
        assert stage.worker.publish(things("new"), stage.worker.current(), 0.0)
        assert stage.served["new"] == "1@new" and len(stage.served) == 1
        assert stage.worker.publish(things(), stage.worker.current(), 0.0)
        assert list(stage.served) == ["new"] and stage.status.hold is not None
        assert stage.published[-1].hold_change == "held" and stage.status.confirm_due is not None


def test_a_confirming_attempt_is_made_after_events_too() -> None:
    with Guarded(interval=3600, warmup=3600, base_backoff=20) as stage:
        assert stage.worker.publish(things(), stage.worker.current(), 0.0)
        stage.says = things()
        stage.idle()
        stage.fake.advance(20)
        stage.idle()
        assert stage.served == {}


def test_a_decision_during_an_attempt_is_not_undone_by_it() -> None:
    source = GatedSource()
    with Stage(source, kind=GUARDED).start() as stage:
        source.wait_for_call(1).answer(things(*ALL))
        stage.idle().worker.notify(Trigger.FILE)
        source.wait_for_call(2).answer(things())
        stage.idle().worker.notify(Trigger.FILE)
        call = source.wait_for_call(3)
        assert stage.status.hold is not None
        stage.worker.decisions.approve(stage.status.hold.proposal)
        call.answer(things())
        stage.idle()
        assert stage.status.snapshot is not None and not stage.status.snapshot.items


def test_a_decision_between_judging_and_taking_makes_the_attempt_judge_again() -> None:
    with Guarded() as stage:
        stage.refresh(things())
        decided = threading.Event()
        judged = stage.worker._guard.ruling

        def meanwhile(*args: Any) -> Any:
            ruling = judged(*args)
            if not decided.is_set():
                decided.set()
                stage.worker.decisions.reject(stage.proposal)
            return ruling

        stage.worker._guard.ruling = meanwhile  # type: ignore[method-assign, assignment]
        stage.refresh(things())
        assert stage.status.hold is not None and stage.status.hold.rejected


def test_without_a_protection_everything_may_go_at_once() -> None:
    with Stage(FakeSource(lambda n: things() if n > 1 else things(*ALL))).start().idle() as stage:
        stage.worker.refresh_now()
        stage.idle()
        assert stage.status.snapshot is not None and not stage.status.snapshot.items and stage.status.hold is None


def test_a_protection_that_raises_fails_the_attempt_and_loses_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with Guarded(max_retries=0) as stage:

        def broken(*_: Any) -> Any:
            raise ValueError("canary")

        stage.worker._guard._ruled = broken  # type: ignore[method-assign, assignment]
        outcome = stage.refresh(things())
        assert (outcome.result, outcome.error) == (Result.FAILED, "unexpected ValueError")
        assert len(stage.served) == 3 and "canary" not in caplog.messages[-1]


def test_a_partial_refresh_holds_too() -> None:
    from alert_refresh.engine import Partial

    with Guarded(max_retries=0) as stage:
        outcome = stage.refresh(Partial(things(), Transient("a part", "network")))
        assert outcome.result is Result.FAILED and outcome.hold is not None and len(stage.served) == 3


def test_a_decision_between_judging_and_publishing_makes_the_watch_judge_again() -> None:
    with Guarded(interval=3600, warmup=3600) as stage:
        stage.refresh(things())
        judged = stage.worker._guard.ruling

        def meanwhile(*args: Any) -> Any:
            ruling = judged(*args)
            stage.worker._guard.ruling = judged  # type: ignore[method-assign]
            stage.worker.decisions.approve(stage.proposal)
            return ruling

        stage.worker._guard.ruling = meanwhile  # type: ignore[method-assign, assignment]
        assert stage.worker.publish(things("new"), stage.worker.current(), 0.0) is False, "approving made it obsolete"
        assert stage.served == {}


def test_an_approval_that_a_watch_overtakes_is_made_of_what_the_watch_published() -> None:
    with Guarded(interval=3600, warmup=3600) as stage:
        stage.refresh(things())
        approve = stage.worker._guard.approve

        def meanwhile(status: Any) -> Any:
            ruling = approve(status)
            if "new" not in stage.served:
                assert stage.worker.publish(things("new"), stage.worker.current(), 0.0)
            return ruling

        stage.worker._guard.approve = meanwhile  # type: ignore[method-assign]
        stage.worker.decisions.approve(stage.proposal)
        assert list(stage.served) == ["new"]


def test_a_pause_ends_the_wait_for_a_confirmation_until_somebody_asks() -> None:
    with Guarded(base_backoff=20, interval=3600, warmup=3600) as stage:
        stage.refresh(things())
        stage.worker.pause()
        assert stage.status.confirm_due is None
        stage.fake.advance(100)
        calls = stage.idle().source.calls
        stage.worker.refresh_now()
        stage.idle()
        assert stage.source.calls == calls + 1 and stage.served == {}


def test_rejecting_what_is_left_of_a_hold_that_was_confirmed_in_part_is_a_rejection() -> None:
    with Guarded(*"abcdefghij", base_backoff=20, interval=3600, warmup=3600) as stage:
        stage.refresh(things("a", "b"))
        stage.fake.advance(10)
        stage.refresh(things())
        stage.fake.advance(10)
        assert stage.idle().outcomes[-1].hold_change == "confirmed"
        stage.worker.decisions.reject(stage.proposal)
        assert stage.published[-1].hold_change == "rejected"


def test_a_watch_that_tells_what_is_lost_is_held_as_one_that_does_not() -> None:
    with Guarded(*"abcdefghij", interval=3600, warmup=3600) as stage:
        some = replace(things(*"cdefghij"), lost=frozenset("ab"))
        assert stage.worker.publish(some, stage.worker.current(), 0.0)
        assert set(stage.served) == set("cdefghij")
        most = replace(things("j"), lost=frozenset("cdefghi"))
        assert stage.worker.publish(most, stage.worker.current(), 0.0)
        assert stage.published[-1].hold == Hold(tuple("cdefghi"), START)
        current: Any = stage.worker.current()
        assert current.lost is None
        last = replace(things("k"), lost=frozenset("j"))
        assert stage.worker.publish(last, stage.worker.current(), 0.0)
        assert stage.published[-1].hold == Hold(tuple("cdefghij"), START), "what was held before counts too"
