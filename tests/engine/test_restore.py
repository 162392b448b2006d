"""What was kept across a restart is served from the start, and is replaced by the first refresh."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from alert_refresh.engine import Hold, Outcome, Permanent, Result, Snapshot, Trigger
from tests.engine.guard.test_ruling import ALL, GUARDED, things
from tests.fakes import START, FakeSource, snapshot
from tests.stage import GatedSource, Stage

KEPT = replace(snapshot("kept"), generation=7)
FAILED = Outcome("fake", Trigger.PERIODIC, "id", 3, Result.FAILED, START - 60, 1.0, "down", "network", None, 3, 4)


def restored(source: Any, kept: Snapshot[str] | None = KEPT, **more: Any) -> Stage:
    stage = Stage(source, kind=GUARDED)
    given: dict[str, Any] = {"last": FAILED, "last_success_at": START - 100} | more
    stage.worker.restore(kept, **given)
    return stage


def test_it_is_served_before_the_start_with_its_age_and_what_failed() -> None:
    stage = restored(FakeSource())
    status = stage.status
    assert status.snapshot is KEPT and status.restored and not status.running
    assert (status.last_success_at, status.last_success) == (START - 100, -100)
    assert (status.last, status.consecutive_failures, status.cycle_failed) == (FAILED, 4, True)


def test_a_refresh_replaces_it_with_a_generation_that_nobody_can_have_seen() -> None:
    with restored(FakeSource()).start().idle() as stage:
        assert stage.source.previous == [KEPT]
        assert not stage.status.restored and stage.outcomes[0].streak_before == 4
        assert stage.outcomes[0].generation == int(START * 1000)


def test_equal_content_keeps_the_generation() -> None:
    with restored(FakeSource(lambda _: snapshot("kept"))).start().idle() as stage:
        assert stage.outcomes[0].generation == 7 and not stage.outcomes[0].changed and not stage.status.restored


def test_a_generation_in_the_future_still_counts_up() -> None:
    late = replace(KEPT, generation=int(START * 1000) + 5)
    with restored(FakeSource(), late).start().idle() as stage:
        assert stage.outcomes[0].generation == int(START * 1000) + 6


def test_a_failed_refresh_leaves_it_restored_and_the_streak_goes_on() -> None:
    with restored(GatedSource()).start() as stage:
        stage.source.wait_for_call(1).answer(Permanent("down", "network"))
        stage.idle()
        assert stage.status.restored and stage.status.snapshot is KEPT
        assert stage.outcomes[0].consecutive_failures == 5


def test_the_guard_holds_what_a_list_lacks_of_it() -> None:
    with restored(FakeSource(lambda _: things()), things(*ALL)).start().idle() as stage:
        assert stage.status.hold is not None and stage.status.hold.names == ALL


def test_a_rejection_survives() -> None:
    source = FakeSource(lambda _: things())
    with restored(source, things(*ALL), hold=Hold(ALL, START - 50, rejected=True)).start().idle() as stage:
        assert stage.status.hold == Hold(ALL, START - 50, rejected=True) and stage.outcomes[0].hold_change == ""
        stage.fake.advance(1000)
        stage.idle()
        assert stage.status.hold.rejected and stage.status.confirm_due is None


def test_a_hold_goes_on_and_is_confirmed_one_backoff_after_the_restart() -> None:
    source = FakeSource(lambda _: things())
    with restored(source, things(*ALL), hold=Hold(ALL, START - 50)).start().idle() as stage:
        assert stage.status.hold == Hold(ALL, START - 50) and stage.outcomes[0].hold_change == ""
        stage.fake.advance(30)
        stage.idle()
        assert stage.outcomes[-1].hold_change == "confirmed" and stage.outcomes[-1].items == 0


def test_the_source_is_told_only_what_it_said_without_what_was_held() -> None:
    source = FakeSource(lambda _: things("a"))
    with restored(source, things(*ALL), hold=Hold(("b", "c"), START - 50, rejected=True)).start().idle() as stage:
        assert list(source.previous[0].items) == ["a"]  # type: ignore[union-attr]
        assert stage.status.hold is not None and stage.status.hold.rejected and stage.outcomes[0].items == 3


def test_a_hold_whose_items_are_there_again_ends_with_the_first_refresh() -> None:
    source = FakeSource(lambda _: things(*ALL))
    with restored(source, things(*ALL), hold=Hold(ALL, START - 50)).start().idle() as stage:
        assert stage.status.hold is None and stage.outcomes[0].hold_change == "returned"


def test_without_a_snapshot_the_last_failure_is_known_still() -> None:
    stage = restored(FakeSource(), None, last_success_at=None)
    assert not stage.status.restored and stage.status.last_success is None
    assert stage.status.consecutive_failures == 4


def test_a_success_in_the_future_is_now() -> None:
    assert restored(FakeSource(), last_success_at=START + 50).status.last_success == 0
