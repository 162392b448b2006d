"""Faults of the watch: each ends with the state of the cluster being served, and without overloading the server."""

from __future__ import annotations

import json
import logging
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from kubernetes.client.rest import RESTClientObject

from alert_refresh.engine import Backoff, RefreshSettings, Result, Trigger
from alert_refresh.targets.kubernetes import list as kube_list
from alert_refresh.targets.kubernetes import store as listed
from alert_refresh.targets.kubernetes.applier import SETTLED
from alert_refresh.targets.kubernetes.errors import HINTS
from alert_refresh.targets.kubernetes.reflector import Reflector
from alert_refresh.targets.kubernetes.snapshot import Memo
from alert_refresh.targets.kubernetes.timings import REFUSED, WatchTimings
from alert_refresh.targets.secret import parse as parsing
from tests.fakes import FakeClock
from tests.faults.kubernetes import TOKEN, World, at_page, refresh_settings, watches_are_gone, world
from tests.kube import KubeServer, faults, fill, kubeconfig, secret
from tests.kube.api import is_watch
from tests.kube.proxy import Proxy
from tests.kube.samples import raw_secret
from tests.kube.watching import bookmark
from tests.stage import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.kube import Exchange, Request

TIMINGS = WatchTimings(
    lifetimes=(30.0, 30.0), margin=5.0, broken=Backoff(0.02, 0.2), refused=Backoff(0.2, 1.0), reset_after=1.0
)
SHORT = WatchTimings(
    lifetimes=(0.2, 0.3), margin=0.1, broken=Backoff(0.02, 0.2), refused=Backoff(0.2, 1.0), reset_after=0.2
)
"""A watch that is silent for so long is taken for dead."""


@pytest.fixture
def kube() -> Iterator[KubeServer]:
    with KubeServer(bookmark_interval=0.1) as server:
        yield server


def watches(kube: KubeServer) -> list[Request]:
    return [one for one in kube.requests if is_watch(one)]


def nothing_was_heard_of_the_first(it: World) -> None:
    """Assert that nothing was yet taken for a proof of life, unless another watch has begun already."""
    proof = it.health.last_proof_of_life
    assert proof is None or len(watches(it.kube)) > 1


def line(kind: str, document: Any) -> bytes:
    return json.dumps({"type": kind, "object": document}).encode()


def watch_of(tmp_path: Path, kube: KubeServer, timings: WatchTimings = TIMINGS, **how: Any) -> Any:
    return world(tmp_path, kube, watch=True, timings=timings, **how)


class TestEvents:
    def test_a8_changes_are_served_without_an_attempt(self, kube: KubeServer, tmp_path: Path) -> None:
        with watch_of(tmp_path, kube) as it:
            it.connected()
            before = it.worker.get_status()
            it.serves(it.change())
            kube.store.replace(secret("target-00003", format="webhook"))
            kube.store.delete("default", "target-00004")
            eventually(lambda: it.served.items["target-00003"].format == "webhook")
            it.serves_what_the_cluster_has()
            after = it.worker.get_status()
            assert after.snapshot is not None and before.snapshot is not None
            assert after.snapshot.generation > before.snapshot.generation
            assert (after.succeeded, after.failed, after.last, after.last_success_at) == (
                before.succeeded, before.failed, before.last, before.last_success_at
            )  # fmt: skip
            assert len(kube.lists()) == 1

    def test_it_watches_from_exactly_the_version_that_was_listed(self, kube: KubeServer, tmp_path: Path) -> None:
        fill(kube.store, 10)
        version = kube.store.version
        with watch_of(tmp_path, kube) as it:
            it.connected()
            (request,) = watches(kube)
            assert request.query == {
                "watch": "true",
                "allowWatchBookmarks": "true",
                "labelSelector": "publishing-target=true",
                "resourceVersion": str(version),
                "timeoutSeconds": "30",
            }

    def test_a_bad_secret_is_stale_and_back_again(self, kube: KubeServer, tmp_path: Path) -> None:
        with watch_of(tmp_path, kube) as it:
            it.connected()
            kube.store.replace(secret("target-00003", type="nonsense"))
            eventually(lambda: it.served.items["target-00003"].stale_since is not None)
            kube.store.replace(secret("target-00003"))
            eventually(lambda: it.served.items["target-00003"].stale_since is None)

    def test_the_same_content_is_no_new_generation(self, kube: KubeServer, tmp_path: Path) -> None:
        with watch_of(tmp_path, kube) as it:
            it.connected()
            generation = it.served.generation
            kube.store.replace(secret("target-00003"))
            it.serves_what_the_cluster_has()
            assert it.served.generation == generation

    def test_several_namespaces_have_a_watch_each(self, kube: KubeServer, tmp_path: Path) -> None:
        fill(kube.store, 5, namespace="a", prefix="a")
        fill(kube.store, 5, namespace="b", prefix="b")
        with watch_of(tmp_path, kube, namespaces=("a", "b")) as it:
            it.connected()
            names = {thread.name for thread in threading.enumerate()}
            assert {"targets-watch-a", "targets-watch-b", "targets-apply"} <= names
            kube.store.create(secret("one", "a"))
            kube.store.create(secret("two", "b"))
            it.serves("one", "two")
            assert len(watches(kube)) == 2

    def test_everywhere_is_one_watch(self, kube: KubeServer, tmp_path: Path) -> None:
        fill(kube.store, 10)
        with watch_of(tmp_path, kube, namespaces=("*", "a")) as it:
            it.connected()
            kube.store.create(secret("one", "elsewhere"))
            it.serves("one")
            assert [one.path for one in watches(kube)] == ["/api/v1/secrets"]

    def test_a_list_that_hangs_does_not_hold_up_the_watch_and_does_not_undo_it(
        self, kube: KubeServer, tmp_path: Path
    ) -> None:
        made, go = threading.Event(), threading.Event()

        def late(exchange: Exchange) -> bool:
            response = exchange.compute()
            response.body()
            made.set()
            assert go.wait(60)
            return exchange.wire.respond(response)

        with watch_of(tmp_path, kube, refresh=refresh_settings(timeout=60.0)) as it:
            it.connected()
            kube.fault(late, when=lambda request: not is_watch(request), times=1)
            refresh = it.worker.refresh_now()
            assert made.wait(20), "the list is made before the change"
            kube.store.delete("default", "target-00004")
            it.serves(it.change())
            assert it.worker.get_status().in_progress
            go.set()
            assert refresh.done.wait(20) and refresh.outcome is not None
            assert refresh.outcome.result is Result.SUCCESS
            it.serves_what_the_cluster_has()
            assert it.health.counts["drift_corrected"] == 0

    def test_a_namespace_that_fails_stays_stale_while_the_other_is_watched(
        self, kube: KubeServer, tmp_path: Path
    ) -> None:
        fill(kube.store, 5, namespace="a", prefix="a")
        fill(kube.store, 5, namespace="b", prefix="b")
        with watch_of(tmp_path, kube, namespaces=("a", "b"), refresh=refresh_settings(max_retries=0)) as it:
            it.connected()
            rule = kube.fault(
                faults.status(403), "/api/v1/namespaces/a/", when=lambda request: not is_watch(request), times=1
            )
            it.refresh()
            assert rule.fired == 1
            kube.store.create(secret("more", "b"))
            it.serves("more")
            assert it.served.items["a-00001"].stale_since is not None
            it.refresh()
            assert it.served.items["a-00001"].stale_since is None
            it.serves("more")


class TestDoubts:
    @pytest.mark.parametrize(
        "action",
        [
            faults.events(line("ERROR", {"kind": "Status", "code": 410, "message": "too old"})),
            faults.events(line("ERROR", {"kind": "Status", "code": 999})),
            faults.events(json.dumps({"object": {}}).encode()),
            faults.status(410),
            faults.events(line("RENAMED", secret("x"))),
            faults.events(b"garbage"),
            faults.events(b"\xef\xbb\xbf" + line("BOOKMARK", {"metadata": {"resourceVersion": "5"}})),
            faults.events(b'"' + b"x" * (2 << 20) + b'"'),
            faults.events(line("BOOKMARK", {"metadata": {"resourceVersion": "no-number"}})),
        ],
        ids=["410-event", "999-event", "no-type", "410", "unknown", "garbage", "bom", "2-mib", "no-number"],
    )
    def test_a11_a33_possibly_lost_events_cause_one_list_and_a_new_watch(
        self, kube: KubeServer, tmp_path: Path, action: Callable[[Any], bool]
    ) -> None:
        rule = kube.fault(action, when=is_watch, times=1)
        with watch_of(tmp_path, kube) as it:
            it.wait_for_outcomes(2)
            it.connected()
            assert rule.fired == 1
            assert [outcome.trigger for outcome in it.outcomes] == [Trigger.STARTUP, Trigger.WATCH]
            it.serves(it.change())
            assert len(kube.lists()) == 2 and it.health.counts["relists"] == 1

    def test_a11_endless_relists_are_delayed_by_the_backoff(self, kube: KubeServer, tmp_path: Path) -> None:
        gone = faults.events(line("ERROR", {"kind": "Status", "code": 410}))
        rule, clock = kube.fault(gone, when=is_watch), FakeClock()
        with watch_of(tmp_path, kube, WatchTimings(), clock=clock) as it:
            for times in (2, 3, 4):
                eventually(partial(lambda times: rule.fired == times and it.at_rest(), times), "the wait")
                assert len(kube.lists()) == times
                assert len([one for one in it.messages() if "watch is lost" in one]) <= times
                assert not it.health.connected
                assert it.health.error == "namespace default: the API server ended the watch with code 410"
                backoff = REFUSED.seconds(times - 1)
                (wait,) = [one for one in clock.sleeping() if backoff <= one <= 1.25 * backoff]
                clock.advance(wait)

    def test_a33_bookmarks_alone_are_proof_of_life_and_nothing_else(self, kube: KubeServer, tmp_path: Path) -> None:
        with watch_of(tmp_path, kube) as it:
            it.connected()
            fill(kube.store, 1, namespace="elsewhere")
            eventually(lambda: it.health.last_proof_of_life is not None)
            first = it.health.last_proof_of_life
            assert first is not None
            eventually(lambda: (it.health.last_proof_of_life or 0) > first)
            assert len(it.outcomes) == 1 and len(watches(kube)) == 1

    def test_a29_old_events_of_a_recreated_secret_change_nothing(self, kube: KubeServer, tmp_path: Path) -> None:
        fill(kube.store, 10)
        old = kube.store.objects["default", "target-00001"]
        gone = kube.store.delete("default", "target-00001").at(kube.store.version)
        kube.store.create(secret("target-00001", format="webhook"))
        replay = [
            b'{"type":"%b","object":%b}' % (kind, one.whole())
            for kind, one in ((b"ADDED", old), (b"MODIFIED", old), (b"DELETED", gone))
        ]
        rule = kube.fault(faults.events(*replay), when=is_watch, times=1)
        with watch_of(tmp_path, kube) as it:
            eventually(lambda: len(watches(kube)) == 2)
            it.connected().serves(it.change())
            assert rule.fired == 1 and it.served.items["target-00001"].format == "webhook"
            it.serves_what_the_cluster_has()
            assert len(kube.lists()) == 1


class TestConnection:
    def test_a20_a_half_open_watch_is_found_and_replaced(self, kube: KubeServer, tmp_path: Path) -> None:
        rule = kube.fault(faults.half_open, when=is_watch, times=1)
        with watch_of(tmp_path, kube, SHORT) as it:
            assert rule.happened.wait(20)
            name = it.change()
            nothing_was_heard_of_the_first(it)
            it.serves(name)
            eventually(lambda: len(watches(kube)) >= 2)
            assert rule.fired == 1
            assert "The watch is lost; until it is back the periodic refresh finds changes" in it.messages()
            assert it.worker.health() is None

    def test_a20_one_behind_a_proxy_that_keeps_its_side_open_is_too(self, kube: KubeServer, tmp_path: Path) -> None:
        with Proxy(kube.port) as proxy:
            file = kubeconfig(tmp_path / "through", f"http://127.0.0.1:{proxy.port}", user={"token": TOKEN})
            timings = WatchTimings(
                lifetimes=(1.0, 1.0), margin=0.5, broken=Backoff(0.02, 0.2), refused=Backoff(0.2, 1.0), reset_after=0.2
            )
            # The list that comes next gets no answer on its dead connection either.
            with watch_of(tmp_path, kube, timings, file=file) as it, it.soon_out_of_time():
                it.connected()
                before = len(watches(kube))
                proxy.go_dead()
                it.serves(it.change())
                eventually(lambda: proxy.dropped)
                eventually(lambda: len(watches(kube)) > before)
                assert it.worker.health() is None

    def test_a20_empty_lines_are_no_proof_of_life(self, kube: KubeServer, tmp_path: Path) -> None:
        def blanks(exchange: Exchange) -> bool:
            exchange.wire.head(200, {"Content-Type": "application/json", "Transfer-Encoding": "chunked"})
            while not exchange.wire.wait(0.02):
                exchange.wire.send(b"1\r\n\n\r\n")
            return False

        rule = kube.fault(blanks, when=is_watch, times=1)
        with watch_of(tmp_path, kube, SHORT) as it:
            assert rule.happened.wait(20)
            nothing_was_heard_of_the_first(it)
            it.serves(it.change())

    def test_a20_earlier_events_do_not_extend_the_timeout_of_a_watch(self, kube: KubeServer, tmp_path: Path) -> None:
        clock, go = FakeClock(), threading.Event()

        def once(exchange: Exchange) -> bool:
            exchange.wire.head(200, {"Content-Type": "application/json", "Transfer-Encoding": "chunked"})
            assert go.wait(60)
            line = bookmark(kube.store.version)
            exchange.wire.send(b"%x\r\n%b\r\n" % (len(line), line))
            exchange.wire.wait()
            return False

        rule = kube.fault(once, when=is_watch, times=1)
        timings = WatchTimings(lifetimes=(600.0, 600.0), margin=10.0)
        refresh = refresh_settings(warmup=100_000.0, interval=100_000.0)
        with watch_of(tmp_path, kube, timings, clock=clock, refresh=refresh) as it:
            it.connected()
            clock.advance(609.9)
            go.set()
            eventually(lambda: len(kube.lists()) == 2)
            assert rule.fired == 1
            it.wait_for_outcomes(2)
            it.worker.stop(30)

    @pytest.mark.parametrize("count", [10, pytest.param(100, marks=pytest.mark.soak)])
    def test_a20_every_half_open_watch_is_replaced(self, kube: KubeServer, tmp_path: Path, count: int) -> None:
        timings = WatchTimings(
            lifetimes=(0.05, 0.05),
            margin=0.02,
            broken=Backoff(0.01, 0.01),
            refused=Backoff(0.01, 0.01),
            reset_after=0.0,
        )
        rule = kube.fault(faults.half_open, when=is_watch, times=count)
        with watch_of(tmp_path, kube, timings) as it:
            for number in range(1, count + 1):
                eventually(partial(lambda number: rule.fired >= number, number), "the next watch")
            it.serves(it.change())
            assert rule.fired == count

    def test_a28_what_was_deleted_while_the_watch_was_disconnected_is_removed(
        self, kube: KubeServer, tmp_path: Path
    ) -> None:
        go = threading.Event()

        def when_told(exchange: Exchange) -> bool:
            assert go.wait(60)
            return exchange.answer()

        with watch_of(tmp_path, kube) as it:
            it.connected()
            # The server is not away: then it would be listed.
            again = kube.fault(when_told, when=is_watch, times=1)
            kube.cut()
            assert again.happened.wait(20)
            kube.store.delete("default", "target-00001")
            assert "target-00001" in it.served.items and not it.health.connected
            go.set()
            it.connected().serves_what_the_cluster_has()
            assert len(kube.lists()) == 1

    def test_a_watch_that_ends_in_its_time_continues_from_where_it_was(self, kube: KubeServer, tmp_path: Path) -> None:
        timings = WatchTimings(lifetimes=(0.6, 0.6), margin=30.0)
        with watch_of(tmp_path, kube, timings) as it:
            it.connected()
            it.serves(it.change())
            before = len(watches(kube))
            eventually(lambda: len(watches(kube)) > before)
            assert int(watches(kube)[before].query["resourceVersion"]) >= kube.store.version
            it.connected().serves(it.change())
            assert len(kube.lists()) == 1 and not it.messages()
            assert it.health.counts["reconnects"] == 0

    def test_watches_that_end_immediately_are_delayed_by_the_backoff(self, kube: KubeServer, tmp_path: Path) -> None:
        rule, clock = kube.fault(faults.events(), when=is_watch), FakeClock()
        with watch_of(tmp_path, kube, WatchTimings(broken=Backoff(0.2, 30.0)), clock=clock) as it:
            for times, backoff in enumerate((0.2, 0.4, 0.8, 1.6), 1):
                eventually(partial(lambda times: rule.fired == times and it.at_rest(), times), "the wait")
                (wait,) = [one for one in clock.sleeping() if backoff <= one <= 1.25 * backoff]
                if times == 4:
                    kube.faults.clear()
                clock.advance(wait)
            it.change()
            it.connected().told_everything()

    def test_the_event_of_a_truncated_line_is_received_again(self, kube: KubeServer, tmp_path: Path) -> None:
        def torn(exchange: Exchange) -> bool:
            exchange.wire.head(200, {"Content-Type": "application/json", "Transfer-Encoding": "chunked"})
            exchange.wire.send(b"8\r\n" + bookmark(5)[:8] + b"\r\n0\r\n\r\n")
            return True

        rule = kube.fault(torn, when=is_watch, times=1)
        with watch_of(tmp_path, kube) as it:
            eventually(lambda: len(watches(kube)) >= 2)
            it.connected().serves(it.change())
            assert rule.fired == 1 and len(kube.lists()) == 1

    def test_a_watch_wakes_a_refresh_that_waits_for_the_server_to_come_back(
        self, kube: KubeServer, tmp_path: Path
    ) -> None:
        settings = refresh_settings(base_backoff=600.0, max_backoff=600.0)
        with watch_of(tmp_path, kube, refresh=settings) as it:
            it.connected()
            kube.close()
            it.worker.refresh_now()
            it.wait_for_outcomes(2)
            eventually(lambda: "cannot connect" in (it.health.error or ""), "that the watch finds the server away")
            kube.open()
            assert it.wait_for_outcomes(3)[-1].result is Result.SUCCESS

    def test_l05_a_thousand_watches_share_one_client(
        self, kube: KubeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made: list[RESTClientObject] = []
        real = RESTClientObject.__init__

        def counted(self: RESTClientObject, *args: Any, **more: Any) -> None:
            made.append(self)
            real(self, *args, **more)

        monkeypatch.setattr(RESTClientObject, "__init__", counted)
        rule = kube.fault(faults.events(bookmark(2000).strip()), when=is_watch, times=1000)
        with watch_of(tmp_path, kube, WatchTimings(broken=Backoff(0.001, 0.001))) as it:
            eventually(lambda: rule.fired >= 10)
            threads = threading.active_count()
            eventually(lambda: rule.fired == 1000)
            it.connected()
            assert len(made) == 1
            eventually(lambda: threading.active_count() <= threads + 1, "that there are no more threads than before")
            assert kube.connections <= 4


class TestRefusals:
    def test_without_the_right_it_says_so_once_and_polls(self, kube: KubeServer, tmp_path: Path) -> None:
        kube.denied = {("watch", "default")}
        clock = FakeClock()
        with watch_of(tmp_path, kube, WatchTimings(), clock=clock) as it:
            eventually(lambda: it.health.error == "namespace default: the API server answered 403" + HINTS[403])
            for number in (1, 2, 3, 4):
                eventually(partial(lambda number: len(watches(kube)) == number and it.at_rest(), number), "a refusal")
                name = it.change()
                it.refresh()
                assert name in it.served.items
            assert len(it.messages()) == 1
            kube.denied = set()
            it.refresh()
            it.change()
            it.connected().told_everything()
            clock.advance(SETTLED)
            it.change()
            it.told_everything()
            assert it.health.counts["drift_corrected"] == 0, "what was listed before there was a watch is no drift"

    def test_a_right_that_comes_back_is_used_without_a_list(self, kube: KubeServer, tmp_path: Path) -> None:
        """An API server that has just started answers 403 until it has read the roles."""
        with watch_of(tmp_path, kube) as it:
            it.connected()
            kube.denied = {("watch", "default")}
            kube.cut()
            eventually(lambda: it.health.error == "namespace default: the API server answered 403" + HINTS[403])
            lists = len(kube.requests) - len(watches(kube))
            kube.denied = set()
            it.connected().serves(it.change())
            assert len(kube.requests) - len(watches(kube)) == lists

    def test_a_token_of_a_kubeconfig_is_read_again(self, kube: KubeServer, tmp_path: Path) -> None:
        (tmp_path / "token").write_text("old")
        file = kubeconfig(tmp_path / "k", kube.url, user={"tokenFile": str(tmp_path / "token")})
        timings = WatchTimings(lifetimes=(0.6, 0.6), broken=Backoff(0.02, 0.2), refused=Backoff(0.1, 1.0))
        fill(kube.store, 10)
        kube.tokens = {"old", TOKEN}
        (tmp_path / "token").write_text(TOKEN)
        with watch_of(tmp_path, kube, timings, file=file) as it:
            it.connected()
            kube.tokens = {"new"}
            (tmp_path / "token").write_text("new")
            eventually(lambda: any(one.headers["authorization"] == "Bearer new" for one in watches(kube)))
            it.connected().serves(it.change())

    @pytest.mark.parametrize("what", ["watch", "everything"])
    @pytest.mark.parametrize("code", [429, 500])
    def test_ten_minutes_of_refusals_are_twelve_requests_at_most(
        self, kube: KubeServer, tmp_path: Path, code: int, what: str
    ) -> None:
        clock = FakeClock()
        with watch_of(tmp_path, kube, WatchTimings(), clock=clock, refresh=RefreshSettings(rate_limit=0)) as it:
            it.connected()
            when = is_watch if what == "watch" else None
            rule = kube.fault(faults.status(code), when=when)
            before, end = len(kube.requests), clock.monotonic() + 600
            kube.cut()
            while clock.monotonic() < end:
                eventually(it.at_rest, "everybody's being asleep")
                step = min([one for one in clock.sleeping() if one < 1e9], default=600.0)
                clock.advance(min(step, end - clock.monotonic()) + 1e-6)
            assert rule.fired >= 3
            assert len(kube.requests) - before <= 12
            kube.faults.clear()
            name = it.change()

            def healed() -> bool:
                if name in it.served.items and it.health.connected:
                    return True
                if it.at_rest():
                    clock.advance(min(one for one in clock.sleeping() if one < 1e9))
                elif it.health.connected and it.worker.get_status().attempt is None:
                    clock.advance(0.01)  # the applier gathers events for a moment
                return False

            end = clock.monotonic() + 600
            eventually(healed)
            assert clock.monotonic() < end
            it.worker.stop(30)

    def test_a_refusal_waits_as_long_as_the_server_asks(self, kube: KubeServer, tmp_path: Path) -> None:
        clock = FakeClock()
        kube.fault(faults.status(429, {"Retry-After": "100"}), when=is_watch, times=1)
        with watch_of(tmp_path, kube, WatchTimings(), clock=clock) as it:
            clock.wait_for_sleeper(100)
            clock.advance(100)
            it.connected()
            it.worker.stop(30)


def no_drift(it: World) -> None:
    """Assert that every correction by a list had its event, so that none was and none will be counted as drift."""
    it.told_everything()

    def confirmed() -> bool:
        memo = it.served.memo
        assert isinstance(memo, Memo)
        return not any(one.unconfirmed for one in memo.known.values())

    eventually(confirmed, "the event of every correction")
    assert it.health.counts["drift_corrected"] == 0


class TestDrift:
    def test_a_change_without_an_event_is_corrected_and_counted(self, kube: KubeServer, tmp_path: Path) -> None:
        rule = kube.fault(faults.half_open, when=is_watch, times=1)
        with watch_of(tmp_path, kube) as it:
            assert rule.happened.wait(20)
            it.connected()
            kube.store.delete("default", "target-00001")
            kube.store.replace(secret("target-00002", format="webhook"))
            name = it.change()
            it.refresh()
            assert it.served.items.keys() == {key[1] for key in kube.store.objects} and name in it.served.items
            eventually(lambda: it.health.counts["drift_corrected"] == 3)

    def test_a_change_with_an_event_is_not_counted(self, kube: KubeServer, tmp_path: Path) -> None:
        clock = FakeClock()
        with watch_of(tmp_path, kube, clock=clock) as it:
            it.connected()
            for _ in range(20):
                it.change()
                it.refresh()
            no_drift(it)


class TestStorm:
    @pytest.mark.parametrize("seconds", [1, pytest.param(5, marks=pytest.mark.soak)])
    def test_a32_a_storm_is_a_few_batches_and_no_list(self, kube: KubeServer, tmp_path: Path, seconds: int) -> None:
        published: list[Any] = []
        with watch_of(tmp_path, kube) as it:
            it.worker.listen_publish(published.append)
            it.connected()
            began, at = time.thread_time(), time.monotonic()
            for number in range(1000 * seconds):
                name = f"target-{number % 10:05d}"
                kube.store.replace(secret(name, url=f"https://hooks.example.com/{number}"))
                if number % 50 == 0:
                    time.sleep(max(0.0, 0.05 - (time.thread_time() - began) / 1000))
            it.serves_what_the_cluster_has()
            assert it.served.items["target-00009"].url.reveal() == f"https://hooks.example.com/{1000 * seconds - 1}"
            assert len(kube.lists()) == 1
            # It takes a second and a bit; on a busy machine the changes come slower, each in a batch of its own.
            assert len(published) < 100 * max(seconds, time.monotonic() - at)

    def test_a_storm_with_refreshes_back_to_back_ends_with_what_the_cluster_has(
        self, kube: KubeServer, tmp_path: Path
    ) -> None:
        clock = FakeClock()
        with watch_of(tmp_path, kube, clock=clock) as it:
            it.connected()
            over = threading.Event()

            def storm() -> None:
                for number in range(600):
                    name = f"target-{number % 10:05d}"
                    match number % 4:
                        case 0 if ("default", name) in kube.store.objects:
                            kube.store.delete("default", name)
                        case _ if ("default", name) in kube.store.objects:
                            kube.store.replace(secret(name, url=f"https://hooks.example.com/{number}"))
                        case _:
                            kube.store.create(secret(name))
                    time.sleep(0.002)
                over.set()

            thread = threading.Thread(target=storm)
            thread.start()
            while not over.is_set():
                it.refresh()
                if clock.monotonic() < SETTLED / 3:
                    clock.advance(0.0005)  # an event is not late, however slow the machine is
            thread.join()
            no_drift(it)
            it.refresh()
            it.serves_what_the_cluster_has()
            no_drift(it)


def test_stop_is_quick_while_a_watch_reads_and_while_it_connects(kube: KubeServer, tmp_path: Path) -> None:
    with watch_of(tmp_path, kube) as it:
        it.connected()
        it.worker.stop(30)
        eventually(watches_are_gone)
        it.worker.start()
        it.connected().serves(it.change())
        kube.fault(faults.silence, when=is_watch)
        kube.cut()
        eventually(lambda: len(watches(kube)) >= 3)
        began = time.monotonic()
        it.worker.stop(30)
        assert time.monotonic() - began < 20, "a thread that waits for a response is leaked"
    assert not [name for name in it.messages(logging.ERROR) if "died" in name]


def refuse(monkeypatch: pytest.MonkeyPatch, *bad: str) -> list[str]:
    """Make the parser raise an unexpected exception for these Secrets; returns those for which it did."""
    fired: list[str] = []

    def parse(data: Any, **options: Any) -> Any:
        if options["secret"] in bad:
            fired.append(options["secret"])
            raise ZeroDivisionError(TOKEN)
        return parsing.parse(data, **options)

    monkeypatch.setattr("alert_refresh.targets.kubernetes.list.parse", parse)
    return fired


NAMES = [f"target-{number:05}" for number in range(10)]
PLACES = pytest.mark.parametrize("place", [0, 5, 9], ids=["first", "middle", "last"])


class TestUnforeseenItems:
    """A39: whatever the parsing of an item raises is that item's fault."""

    def unexpected(self, it: Any) -> list[logging.LogRecord]:
        return [line for line in it.lines if line.getMessage().startswith("Parsing ")]

    @PLACES
    def test_a39_in_a_list_it_is_that_item_s_fault(
        self, kube: KubeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: int
    ) -> None:
        fired = refuse(monkeypatch, NAMES[place])
        with world(tmp_path, kube, served=9) as it:
            assert it.outcomes[-1].result is Result.SUCCESS and fired
            assert it.served.items.keys() == set(NAMES) - {NAMES[place]}
            (rejected,) = it.served.rejected
            assert rejected.origin["secret"] == NAMES[place]
            assert [(one.field, one.message) for one in rejected.faults] == [
                ("secret", "unreadable: parsing it raised ZeroDivisionError")
            ]
            it.refresh()
            (line,) = self.unexpected(it)
            assert "parse" in vars(line)["stack"]

    def test_a39_a_single_unparsable_secret_does_not_fail_the_attempt(
        self, kube: KubeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        kube.store.create(secret("alone"))
        refuse(monkeypatch, "alone")
        with world(tmp_path, kube, served=0) as it:
            assert it.outcomes[-1].result is Result.SUCCESS
            assert [one.origin["secret"] for one in it.served.rejected] == ["alone"]

    def test_a39_it_is_logged_once_while_attempts_fail(
        self, kube: KubeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fill(kube.store, 10)
        monkeypatch.setattr(kube_list, "PAGE", 3)
        kube.protobuf = False
        with world(tmp_path, kube) as it:
            fired = refuse(monkeypatch, NAMES[0])
            kube.store.replace(secret(NAMES[0], format="webhook"))
            rule = kube.fault(faults.status(500), when=at_page(NAMES[6]))
            it.refresh()
            assert rule.fired > 1 and len(fired) > 1
            assert len(self.unexpected(it)) == 1
            kube.faults.clear()
            it.refresh()
            assert it.served.items[NAMES[0]].stale_since is not None

    @PLACES
    def test_a39_in_a_batch_of_the_watch_every_other_event_is_served(
        self, kube: KubeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: int
    ) -> None:
        with watch_of(tmp_path, kube) as it:
            it.connected()
            fired = refuse(monkeypatch, NAMES[place])
            for name in NAMES:
                kube.store.replace(secret(name, format="webhook"))
            others = set(NAMES) - {NAMES[place]}
            eventually(lambda: all(it.served.items[name].format == "webhook" for name in others))
            eventually(lambda: it.served.items[NAMES[place]].stale_since is not None)
            assert fired == [NAMES[place]]
            assert it.served.items[NAMES[place]].format == "alertmanager"
            assert len(kube.lists()) == 1 and len(self.unexpected(it)) == 1
            kube.store.create(secret("later"))
            it.serves("later")

    def test_a39_alone_in_a_batch_it_is_stale(
        self, kube: KubeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with watch_of(tmp_path, kube) as it:
            it.connected()
            refuse(monkeypatch, NAMES[3])
            kube.store.replace(secret(NAMES[3], format="webhook"))
            eventually(lambda: it.served.items[NAMES[3]].stale_since is not None)
            assert [one.field for one in it.served.items[NAMES[3]].faults] == ["secret"]
            it.serves(it.change())

    def test_a_date_for_a_number_is_a_fault_of_its_secret(self, kube: KubeServer, tmp_path: Path) -> None:
        config = b'{"url":"https://hooks.slack.com/services/T0/B4e","expires":2025-11-25}'
        with watch_of(tmp_path, kube) as it:
            it.connected()
            kube.store.create(raw_secret("dated", "default", {"config": config}))
            it.serves(it.change())
            (rejected,) = it.served.rejected
            assert rejected.faults[0].message.startswith(
                "schema: is not valid JSON: line 1, column 64: expected a comma"
            )


class TestBatchesThatFail:
    """A batch that could not be applied is not lost: its namespaces are listed again."""

    @pytest.mark.parametrize("error", [RuntimeError, MemoryError, SystemExit])
    def test_every_event_of_it_is_served_after_a_list(
        self, kube: KubeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
    ) -> None:
        heard: list[threading.ExceptHookArgs] = []
        monkeypatch.setattr(threading, "excepthook", heard.append)
        with watch_of(tmp_path, kube) as it:
            it.connected()
            fired: list[int] = []

            def apply(*args: Any) -> Any:
                if not fired:
                    fired.append(1)
                    raise error
                return listed.apply(*args)

            monkeypatch.setattr("alert_refresh.targets.kubernetes.applier.apply", apply)
            kube.store.delete("default", NAMES[4])
            kube.store.replace(secret(NAMES[3], format="webhook"))
            it.serves_what_the_cluster_has()
            assert fired and it.served.items[NAMES[3]].format == "webhook"
            eventually(lambda: heard, "the death of the thread")
            assert [one.exc_type for one in heard] == [error]
            assert it.health.error is None or "could not be applied" in it.health.error
            it.connected().serves(it.change())
            assert len(kube.lists()) == 2 and it.health.counts["relists"] == 1
            assert it.worker.health() is None

    def test_only_its_namespaces_get_a_new_watch(
        self, kube: KubeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(threading, "excepthook", lambda args: None)
        fill(kube.store, 5, namespace="a", prefix="a")
        fill(kube.store, 5, namespace="b", prefix="b")
        with watch_of(tmp_path, kube, namespaces=("a", "b")) as it:
            it.connected()
            fired: list[int] = []

            def apply(*args: Any) -> Any:
                if not fired:
                    fired.append(1)
                    raise RuntimeError
                return listed.apply(*args)

            monkeypatch.setattr("alert_refresh.targets.kubernetes.applier.apply", apply)
            kube.store.create(secret("one", "a"))
            it.serves("one")
            kube.store.create(secret("two", "a"))
            kube.store.create(secret("three", "b"))
            it.serves("two", "three")
            assert fired and it.health.counts["relists"] == 1

    def test_a_watch_that_is_not_reading_at_that_moment_relists_when_it_does(
        self, kube: KubeServer, tmp_path: Path
    ) -> None:
        with watch_of(tmp_path, kube) as it:
            it.connected()
            kube.close()
            eventually(lambda: not it.health.connected)
            (reflector,) = [one for one in it.worker._run.watches if isinstance(one, Reflector)]
            reflector.relist("elsewhere")
            reflector.relist("default")
            kube.open()
            it.wait_for_outcomes(2)
            it.connected().serves(it.change())
            assert it.health.counts["relists"] == 1
