"""Which notices are sent: one for each streak and its end, whatever the source and the webhook do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alert_refresh.engine import Publication, Result
from alert_refresh.observe.notify.bodies import LASTS, REPEAT
from alert_refresh.observe.notify.delivery import TIMEOUT
from tests.observe.notify.hooks import Hook, Notified, hang
from tests.observe.notify.test_notice import held
from tests.stage import eventually

if TYPE_CHECKING:
    from alert_refresh.engine import Hold
    from alert_refresh.observe.notify.notice import Notice

FIRING, RESOLVED = ("targets", "failing", "firing"), ("targets", "failing", "resolved")


def said(hold: Hold | None, kind: str = "targets", *, hold_change: str = "") -> Publication:
    """What says which removals are held."""
    return Publication(kind, 1, None, 0, 0, hold, hold_change)


def test_a_streak_is_told_once_and_its_end_once() -> None:
    with Hook() as hook, Notified(hook.url) as it:
        it.fail(1, 2, 3, 4, 5, 6)
        it.succeed(6)
        it.succeed()
        it.becomes(sent=2)
        it.fail(1, 2)
        it.succeed(2)
        it.becomes(sent=2)
    assert hook.told() == [FIRING, RESOLVED]
    since = "2023-11-14T22:13:20.000Z"
    assert [(one.body["attempts"], one.body["since"]) for one in hook.posts] == [(3, since), (6, since)]


def test_a_flapping_source_has_at_most_two_notices_for_a_streak() -> None:
    with Hook() as hook, Notified(hook.url) as it:
        for streak in range(1, 4):
            it.fail(1, 2, 3)
            it.becomes(sent=2 * streak - 1)
            it.succeed(3)
            it.becomes(sent=2 * streak)
    assert hook.told() == [FIRING, RESOLVED] * 3


def test_a_recovery_that_was_not_sent_before_the_next_streak_is_left_out() -> None:
    with Hook(hang, 200) as hook, Notified(hook.url) as it:
        it.fail(1, 2, 3, kind="rules")
        hook.wait_for(1)
        for _ in range(5):
            it.fail(1, 2, 3)
            it.succeed(3)
        it.after(TIMEOUT)
        it.becomes(sent=2, failed=1, dropped=8)
    assert hook.told()[1:] == [FIRING, RESOLVED], "the last streak alone"


def test_a_failure_is_told_before_its_recovery_although_both_wait() -> None:
    with Hook(hang, 200) as hook, Notified(hook.url) as it:
        it.fail(3, kind="rules")
        hook.wait_for(1)
        it.fail(1, 2, 3)
        it.succeed(3)
        it.fail(1, 2)
        it.after(TIMEOUT)
        it.becomes(sent=2, failed=1)
    assert hook.told()[1:] == [FIRING, RESOLVED]


def test_a_new_streak_ends_the_retries_of_the_old_one() -> None:
    with Hook(503, 200) as hook, Notified(hook.url) as it:
        it.fail(1, 2, 3)
        it.clock.wait_for_sleeper(4)
        it.succeed(3)
        it.fail(1, 2, 3, error="another")
        it.clock.advance(4)
        it.becomes(sent=1, dropped=2)
    assert [one.body["error"] for one in hook.posts] == ["connection refused", "another"]


def test_what_the_webhook_has_certainly_not_got_is_sent_with_the_next_failure() -> None:
    with Hook(503, 503, 503, 503, 200) as hook, Notified(hook.url) as it:
        it.fail(1, 2, 3)
        for seconds in (4, 8, 16):
            it.after(seconds)
        it.becomes(failed=1)
        it.fail(4)
        it.becomes(sent=1, failed=1)
        it.fail(5, 6)
        it.succeed(6)
        it.becomes(sent=2, failed=1)
    assert [(one.body["status"], one.body["attempts"]) for one in hook.posts[4:]] == [("firing", 4), ("resolved", 6)]


def test_a_recovery_that_the_webhook_has_certainly_not_got_is_sent_with_the_next_success() -> None:
    with Hook(200, 503, 503, 503, 503, 200) as hook, Notified(hook.url) as it:
        it.fail(1, 2, 3)
        it.becomes(sent=1)
        it.succeed(3)
        for seconds in (4, 8, 16):
            it.after(seconds)
        it.becomes(sent=1, failed=1)
        it.fail(1)
        it.succeed(1)
        it.becomes(sent=2, failed=1)
        it.succeed()
        it.fail(1, 2, 3)
        it.becomes(sent=3, failed=1)
    assert [(one.body["status"], one.body["attempts"]) for one in hook.posts[4:]] == [
        ("resolved", 3),
        ("resolved", 3),
        ("firing", 3),
    ]


def test_a_beginning_that_was_not_delivered_is_not_told_after_the_recovery() -> None:
    with Hook(503, 503, 503, 503, 200) as hook, Notified(hook.url) as it:
        it.fail(1, 2, 3)
        it.clock.wait_for_sleeper(4)
        it.succeed(3)
        for seconds in (4, 8, 16):
            it.after(seconds)
        it.becomes(sent=1, failed=1)
        it.succeed()
    assert hook.told()[4:] == [RESOLVED]


def test_a_recovery_that_was_not_delivered_is_forgotten_when_the_next_streak_is_told() -> None:
    with Hook(200, 503, 503, 503, 503, 200) as hook, Notified(hook.url) as it:
        it.fail(1, 2, 3)
        it.becomes(sent=1)
        it.succeed(3)
        for seconds in (4, 8, 16):
            it.after(seconds)
        it.becomes(sent=1, failed=1)
        it.fail(1, 2, 3)
        it.becomes(sent=2, failed=1)
        it.succeed(3)
        it.succeed()
        it.becomes(sent=3, failed=1)
    assert [one.body["status"] for one in hook.posts[5:]] == ["firing", "resolved"]


def test_what_found_no_room_in_the_queue_is_sent_with_the_next_failure() -> None:
    with Hook(hang, 200) as hook, Notified(hook.url, size=1) as it:
        it.fail(3, kind="rules")
        hook.wait_for(1)
        it.fail(3, kind="views")
        it.fail(1, 2, 3)
        it.after(TIMEOUT)
        it.becomes(sent=1, failed=1, dropped=1)
        it.fail(4)
        it.becomes(sent=2, failed=1, dropped=1)
        it.fail(5)
    assert hook.told()[2:] == [FIRING]


def test_a_hold_that_the_webhook_has_certainly_not_got_is_sent_with_the_next_refresh() -> None:
    with Hook(503, 503, 503, 503, 200) as hook, Notified(hook.url) as it:
        it.notifier.hold(said(held()))
        for seconds in (4, 8, 16):
            it.after(seconds)
        it.becomes(failed=1)
        it.notifier.hold(said(held()))
        it.becomes(sent=1, failed=1)
        it.notifier.hold(said(held()))
        hook.script = [503]
        it.notifier.hold(said(None, hold_change="approved"))
        for seconds in (4, 8, 16):
            it.after(seconds)
        it.becomes(sent=1, failed=2)
        hook.script = [200]
        it.notifier.hold(said(None))
        it.becomes(sent=2, failed=2)
        it.notifier.hold(said(None))
    told = [(one.body["status"], one.body["summary"]) for one in hook.posts]
    assert (
        told[4:]
        == [("firing", "The removal of 3 targets is held until a refresh confirms it")]
        + [("resolved", "The removal of 3 targets was approved")] * 5
    )


def test_after_a_restart_the_end_of_the_streak_is_told() -> None:
    with Hook() as hook, Notified(hook.url) as it:
        it.succeed(7)
        it.becomes(sent=1)
    assert hook.told() == [RESOLVED]
    assert (hook.posts[0].body["attempts"], hook.posts[0].body["since"]) == (7, None)


def test_after_a_restart_a_streak_is_not_told_a_second_time() -> None:
    with Hook() as hook, Notified(hook.url) as it:
        it.fail(8, 9)
        it.succeed(9)
        it.becomes(sent=1)
    assert hook.told() == [RESOLVED]
    assert hook.posts[0].body["since"] is None


def test_a_stop_is_no_failure_and_no_recovery() -> None:
    with Hook() as hook, Notified(hook.url) as it:
        it.fail(1, 2, 3)
        it.fail(3, result=Result.CANCELLED, streak_before=3)
        it.becomes(sent=1)
    assert hook.told() == [FIRING]


def test_a_hold_is_told_once_for_each_proposal_and_once_at_its_end() -> None:
    with Hook() as hook, Notified(hook.url) as it:
        other = held(("z",))
        steps = ((None, 0), (held(), 1), (held(), 1), (other, 2), (other, 2), (None, 3), (None, 3))
        for hold, sent in steps:
            it.notifier.hold(said(hold, hold_change="confirmed"))
            it.becomes(sent=sent)
        it.notifier.hold(said(held(), "rules"))
        it.becomes(sent=4)
    assert [(one.body["kind"], one.body["status"], one.body["names"]) for one in hook.posts] == [
        ("targets", "firing", ["a", "b", "c"]),
        ("targets", "firing", ["z"]),
        ("targets", "resolved", ["z"]),
        ("rules", "firing", ["a", "b", "c"]),
    ]
    assert hook.posts[2].body["summary"] == "The removal of 1 target was confirmed"


def test_a_failure_and_a_hold_of_a_kind_are_apart() -> None:
    with Hook() as hook, Notified(hook.url) as it:
        it.notifier.hold(said(held()))
        it.fail(1, 2, 3, hold=held())
        it.succeed(3, hold=held())
        it.notifier.hold(said(None))
        it.becomes(sent=4)
    assert [(reason, status) for _, reason, status in hook.told()] == [
        ("held", "firing"),
        ("failing", "firing"),
        ("failing", "resolved"),
        ("held", "resolved"),
    ]


class TestAlertmanager:
    """Alertmanager resolves an alert that it is not told of again."""

    def test_an_alert_that_fires_is_repeated_until_it_is_resolved(self) -> None:
        with Hook() as hook, Notified(hook.url, "alertmanager") as it:
            it.fail(1, 2, 3)
            for count in range(1, 4):
                it.becomes(sent=count)
                it.after(REPEAT)
            it.becomes(sent=4)
            it.succeed(3)
            it.becomes(sent=5)
            it.after(REPEAT)
            assert it.clock.wait_for_sleeper(float("inf")) == float("inf"), "then nothing wakes the thread"
        ends = [one.body[0]["endsAt"] for one in hook.posts]
        assert LASTS == 240
        assert ends[:4] == [f"2023-11-14T22:{minute}:20.000Z" for minute in (17, 18, 19, 20)]
        assert ends[4] == "2023-11-14T22:16:20.500Z", "when the attempt ended that succeeded"
        assert len({str(one.body[0]["labels"]) + one.body[0]["startsAt"] for one in hook.posts}) == 1

    def test_a_repetition_has_the_latest_error(self) -> None:
        with Hook() as hook, Notified(hook.url, "alertmanager") as it:
            it.fail(1, 2, 3)
            it.becomes(sent=1)
            it.fail(4, error="another")
            it.after(REPEAT)
            it.becomes(sent=2)
        assert [one.body[0]["annotations"]["error"] for one in hook.posts] == ["connection refused", "another"]

    def test_after_a_restart_it_is_told_at_once_what_it_would_forget(self) -> None:
        with Hook() as hook, Notified(hook.url, "alertmanager") as it:
            it.fail(8, 9)
            it.becomes(sent=1)
            it.after(REPEAT)
            it.becomes(sent=2)
        assert hook.posts[1].body[0]["annotations"]["summary"].endswith("9 times in a row")

    def test_a_repetition_that_fails_is_made_up_for_by_the_next(self) -> None:
        with Hook(200, 503, 200) as hook, Notified(hook.url, "alertmanager") as it:
            it.fail(1, 2, 3)
            it.becomes(sent=1)
            it.after(REPEAT)
            it.becomes(sent=1, failed=1)
            it.after(REPEAT)
            it.becomes(sent=2, failed=1)
            assert len(hook.posts) == 3

    def test_repetitions_do_not_pile_up_behind_a_server_that_asks_to_wait(self) -> None:
        later = (429, {"Retry-After": "60"})
        with Hook(200, later, later, 200) as hook, Notified(hook.url, "alertmanager") as it:
            it.fail(3)
            it.becomes(sent=1)
            it.fail(3, kind="rules")
            for _ in range(2):
                eventually(lambda: it.clock.sleeping().count(REPEAT) == 2)
                it.clock.advance(REPEAT)
            it.succeed(3)
            it.becomes(sent=4)
            kinds = [one.body[0]["labels"]["kind"] for one in hook.posts]
            assert kinds == ["targets", "rules", "rules", "rules", "rules", "targets"], "one repetition, and the end"

    def test_repetitions_do_not_pile_up_behind_one_that_hangs(self) -> None:
        with Hook(200, 200, hang, 200) as hook, Notified(hook.url, "alertmanager") as it:
            it.fail(3)
            it.fail(3, kind="rules")
            it.becomes(sent=2)
            it.after(REPEAT)
            hook.wait_for(3)
            it.clock.wait_for_sleeper(REPEAT)
            assert it.clock.wait_for_sleeper(TIMEOUT) == TIMEOUT
            it.clock.advance(TIMEOUT)
            it.becomes(sent=3, failed=1)
            it.after(REPEAT - TIMEOUT)
            it.becomes(sent=5, failed=1)

    def test_a_repetition_for_which_there_is_no_room_comes_later(self) -> None:
        with Hook(200, hang, 200) as hook, Notified(hook.url, "alertmanager", size=1) as it:
            it.fail(3)
            it.becomes(sent=1)
            it.clock.wait_for_sleeper(REPEAT)
            it.clock.advance(REPEAT - 1)
            it.fail(3, kind="rules")
            hook.wait_for(2)
            it.succeed(3, kind="rules")
            it.clock.wait_for_sleeper(TIMEOUT)
            it.after(1)
            it.becomes(sent=1, dropped=1)
            it.clock.advance(TIMEOUT - 1)
            it.becomes(sent=2, failed=1, dropped=1)
            it.after(REPEAT - TIMEOUT + 1)
            it.becomes(sent=3, failed=1, dropped=1)
            assert [one.body[0]["labels"]["kind"] for one in hook.posts] == ["targets", "rules", "rules", "targets"]

    def test_a_stop_gives_up_a_repetition_that_hangs(self) -> None:
        with Hook(200, hang) as hook, Notified(hook.url, "alertmanager") as it:
            it.fail(3)
            it.becomes(sent=1)
            it.after(REPEAT)
            hook.wait_for(2)
            it.notifier.stop()
            assert it.counts() == (1, 0, 1)
            hook.script = [200]
            it.notifier.start()
            it.after(REPEAT)
            it.becomes(sent=2, dropped=1)

    def test_the_other_formats_are_not_repeated(self) -> None:
        with Hook() as hook, Notified(hook.url, "slack") as it:
            it.fail(1, 2, 3)
            it.becomes(sent=1)
            assert it.clock.sleeping() == []


@given(st.lists(st.booleans(), max_size=60))
def test_whatever_a_source_does_each_streak_has_one_notice_and_one_end(steps: list[bool]) -> None:
    """With a webhook that takes everything at once: neither more nor less."""
    said: list[tuple[str, int | None]] = []
    it: Any = Notified("http://127.0.0.1:1/")
    it.notifier.delivery.put = lambda call: call() is None

    def deliver(notice: Notice, *_: object) -> None:
        said.append((notice.status, notice.attempts))

    it.notifier.delivery.deliver = deliver
    expected, streak = [], 0
    for good in steps:
        if good:
            it.succeed(streak)
            expected += [("resolved", streak)] if streak >= 3 else []
            streak = 0
        else:
            streak += 1
            it.fail(streak)
            expected += [("firing", 3)] if streak == 3 else []
    assert said == expected


@pytest.mark.parametrize("port", [0, 8080])
def test_programs_on_one_host_are_told_apart_by_their_port(port: int) -> None:
    with Hook() as hook, Notified(hook.url, port=port) as it:
        it.fail(3)
        host = hook.wait_for(1).body["host"]
    assert host.endswith(":8080") is (port == 8080)


def test_a_hold_from_before_a_restart_is_not_told_again_and_its_end_is() -> None:
    with Hook() as hook, Notified(hook.url) as it:
        it.notifier.restored("targets", held())
        it.notifier.hold(said(held()))
        it.notifier.hold(said(None, hold_change="returned"))
        it.becomes(sent=1)
    assert [one.body["status"] for one in hook.posts] == ["resolved"]
