"""Retries, the queue and the stop, against webhooks that fail in every way."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from alert_refresh.observe.notify import delivery
from alert_refresh.observe.notify.delivery import MOST_HANGING, TIMEOUT
from alert_refresh.observe.notify.exchange import Exchange
from tests.observe.notify.hooks import CANARY, Hook, Notified, drip, hang, leave
from tests.proxy import Proxy, tcp
from tests.stage import HANG_GUARD, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]


def test_a_server_error_is_tried_again_until_it_is_delivered(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with Hook(500, 503, 200) as hook, Notified(hook.url) as it:
        it.fail(3)
        it.after(4)
        it.after(8)
        it.becomes(sent=1)
        assert len(hook.posts) == 3
    assert [(one.levelname, one.getMessage()) for one in caplog.records] == [("INFO", "Notification sent")]
    fields = ("kind", "reason", "status", "notify_host")
    assert [getattr(caplog.records[0], name) for name in fields] == ["targets", "failing", "firing", "127.0.0.1"]


def test_a_webhook_that_is_down_gets_three_retries_and_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with Hook() as hook, Proxy(tcp(hook.port)) as proxy:
        proxy.refuse()
        with Notified(hook.url.replace(str(hook.port), str(proxy.port))) as it:
            it.fail(3)
            for seconds in (4, 8, 16):
                it.after(seconds)
            it.becomes(failed=1)
            it.succeed(3)
            for seconds in (4, 8, 16):
                it.after(seconds)
            it.becomes(failed=2)
            assert warnings(caplog) == ["Notification could not be delivered"]
            proxy.open()
            it.fail(1, 2, 3)
            it.becomes(sent=1, failed=2)
            it.succeed(3)
            it.becomes(sent=2, failed=2)
        assert hook.told() == [("targets", "failing", "firing"), ("targets", "failing", "resolved")]
    (warning, again, sent, _) = caplog.records
    assert (warning.error, warning.error_type) == ("it refused the connection", "network")  # type: ignore[attr-defined]
    assert again.getMessage() == "Notifications are delivered again after 2 failures"
    assert sent.getMessage() == "Notification sent"


@pytest.mark.parametrize(("asked", "waited"), [("17", 17), ("3600", 60), ("1", 4)])
def test_a_server_may_ask_for_a_longer_wait_up_to_a_minute(asked: str, waited: float) -> None:
    with Hook((429, {"Retry-After": asked}), 200) as hook, Notified(hook.url) as it:
        it.fail(3)
        it.after(waited)
        it.becomes(sent=1)


@pytest.mark.parametrize("action", [400, 404, (302, {"Location": "http://127.0.0.1:1/"}), leave])
def test_what_is_refused_is_not_tried_again(action: Any) -> None:
    with Hook(action) as hook, Notified(hook.url) as it:
        it.fail(3)
        it.becomes(failed=1)
        it.fail(4, 5)
        it.succeed(5)
        it.becomes(failed=2)
        assert hook.told() == [("targets", "failing", "firing"), ("targets", "failing", "resolved")]


@pytest.mark.parametrize("action", [hang, drip])
def test_an_answer_that_does_not_come_in_ten_seconds_is_given_up(action: Any, caplog: pytest.LogCaptureFixture) -> None:
    with Hook(action, 200) as hook, Notified(hook.url) as it:
        it.fail(3)
        hook.wait_for(1)
        it.after(TIMEOUT)
        it.becomes(failed=1)
        eventually(lambda: "notify-request" not in {one.name for one in threading.enumerate()}, "the end of it")
        it.succeed(3)
        it.becomes(sent=1, failed=1)
    assert caplog.records[0].error == "no answer within 10 s"  # type: ignore[attr-defined]


def test_a_listener_never_waits_for_a_webhook_that_hangs() -> None:
    with Hook(hang) as hook, Notified(hook.url) as it:
        it.fail(3)
        hook.wait_for(1)
        began = time.monotonic()
        for _ in range(1000):
            it.fail(1, 2, 3)
            it.succeed(3)
        assert time.monotonic() - began < HANG_GUARD / 2


def test_what_does_not_fit_into_the_queue_is_dropped_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    with Hook(hang, 200) as hook, Notified(hook.url, size=2) as it:
        it.fail(3, kind="a")
        hook.wait_for(1)
        for kind in "bcde":
            it.fail(3, kind=kind)
        assert it.counts() == (0, 0, 2)
        assert warnings(caplog) == ["A notification was dropped: too many wait"] * 2
        it.after(TIMEOUT)
        it.becomes(sent=2, failed=1, dropped=2)
        assert [kind for kind, _, _ in hook.told()] == ["a", "b", "c"]
        it.notifier.stop()
        assert it.counts() == (2, 1, 2)


def test_before_the_start_and_after_the_stop_everything_is_dropped() -> None:
    with Hook() as hook:
        it = Notified(hook.url)
        it.fail(3)
        assert it.counts() == (0, 0, 1)
        with it:
            it.fail(3)
            it.becomes(sent=1, dropped=1)
        it.fail(3)
        assert it.counts() == (1, 0, 2)
        with it:
            it.fail(3)
            it.becomes(sent=2, dropped=2)


def test_a_stop_sends_what_is_queued_while_the_webhook_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alert_refresh.observe.notify.delivery.STOP_SECONDS", HANG_GUARD)
    with Hook() as hook:
        with Notified(hook.url) as it:
            for kind in ("targets", "rules", "views"):
                it.fail(3, kind=kind)
        assert sorted(kind for kind, _, _ in hook.told()) == ["rules", "targets", "views"]
        assert it.delivery.sent == 3


@pytest.mark.parametrize("action", [hang, drip])
def test_a_stop_does_not_wait_for_a_delivery_that_hangs(action: Any, caplog: pytest.LogCaptureFixture) -> None:
    with Hook(action) as hook:
        with Notified(hook.url) as it:
            it.fail(3)
            it.fail(3, kind="rules")
            hook.wait_for(1)
            began = time.monotonic()
            it.notifier.stop()
            assert time.monotonic() - began < HANG_GUARD / 2
        eventually(lambda: not [one for one in threading.enumerate() if one.name.startswith("notify")], "the end")
        assert len(hook.posts) == 1, "the second was not begun"
    assert "A notification was abandoned: the program stops" in warnings(caplog)


def test_a_stop_ends_the_wait_for_a_retry(caplog: pytest.LogCaptureFixture) -> None:
    with Hook((429, {"Retry-After": "60"})) as hook, Notified(hook.url) as it:
        it.fail(3)
        it.clock.wait_for_sleeper(60)
        began = time.monotonic()
        it.notifier.stop()
        assert time.monotonic() - began < HANG_GUARD / 2
        assert it.counts() == (0, 0, 1)
    assert warnings(caplog) == ["A notification was abandoned: the program stops"]


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Semaphore]:
    """Requests that hang where they cannot be cut, as in the resolver; released once for each that has begun."""
    let_go, begun = threading.Event(), threading.Semaphore(0)

    def resolve_for_ever(_: Exchange) -> None:
        begun.release()
        let_go.wait(30)

    monkeypatch.setattr(Exchange, "run", resolve_for_ever)
    yield begun
    let_go.set()


@pytest.mark.usefixtures("endless")
def test_requests_that_cannot_even_be_cut_do_not_pile_up() -> None:
    with Notified("http://127.0.0.1:1/") as it:
        it.fail(3)
        for wait in (TIMEOUT, 4, TIMEOUT, 8, 16):
            it.after(wait)
        it.becomes(failed=1)
        hanging = [one for one in threading.enumerate() if one.name == "notify-request"]
        assert len(hanging) == MOST_HANGING


def test_a_stop_does_not_wait_for_a_request_that_cannot_be_cut(endless: threading.Semaphore) -> None:
    with Notified("http://127.0.0.1:1/") as it:
        it.fail(3)
        assert endless.acquire(timeout=30)
        began = time.monotonic()
        it.notifier.stop()
        assert time.monotonic() - began < HANG_GUARD / 2
        assert "notify" not in {one.name for one in threading.enumerate()}


def test_a_thread_that_cannot_be_started_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    with Hook() as hook, Notified(hook.url) as it:
        with monkeypatch.context() as patch:
            patch.setattr(delivery, "spawn", lambda *_: (_ for _ in ()).throw(MemoryError))
            it.fail(3)
            it.after(4)
            it.clock.wait_for_sleeper(8)
        it.clock.advance(8)
        it.becomes(sent=1)


def test_no_line_shows_more_than_the_host(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    script = (500, (429, {"Retry-After": CANARY}), (302, {"Location": f"http://{CANARY}/"}), 404, leave, 200)
    with Hook(*script) as hook, Notified(hook.url) as it:
        it.fail(3)
        it.after(4)
        it.after(8)
        it.becomes(failed=1)
        for failed in (2, 3):
            it.fail(3)
            it.becomes(failed=failed)
        it.fail(3)
        it.becomes(sent=1, failed=3)
        shown = repr((vars(it.notifier), vars(it.delivery)))
    assert len(hook.posts) == 6 and CANARY in hook.posts[0].path
    assert len(caplog.records) >= 4
    assert CANARY not in shown + "".join(str(vars(one)) for one in caplog.records)
