"""The sentence of `/health`, of the status page and of `systemctl status`."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from alert_refresh import alertmanager, rules, views
from alert_refresh.alertmanager.delivered import Delivered
from alert_refresh.alertmanager.running.instances import Instance
from alert_refresh.engine import Fault, Permanent, RefreshSettings, Snapshot, Transient, WatchHealth, Worker
from alert_refresh.views.view import Mode, ViewState
from alert_refresh.web.summary import Summary
from tests.fakes import START, FakeSource
from tests.rules.examples import rule, rule_set
from tests.stage import eventually
from tests.web.world import ADMIN, TARGETS, World, target, targets

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from alert_refresh.kind import Kind
    from alert_refresh.targets.target import Target

BEGAN = "2023-11-14 22:13:20 UTC"
LATER = "2023-11-14 22:18:20 UTC"
ONCE = RefreshSettings(max_retries=0, rate_limit=0)


def said(world: World) -> str:
    return Summary(world.daemon)()


@contextmanager
def beside(kind: Kind, snapshot: Snapshot[Any], *names: str) -> Iterator[World]:
    """A world with targets of these names, in which another kind serves this snapshot."""
    with World(answer=lambda n: targets(*map(target, names or ("one",)))) as world:
        worker = Worker(kind, FakeSource(lambda n: snapshot), RefreshSettings(), clock=world.clock)
        world.daemon.workers[kind.name] = worker
        world.start()
        eventually(lambda: worker.get_status().last_success_at is not None, f"a refresh of {kind.name}")
        yield world


def test_with_everything_fresh_it_counts_what_is_served() -> None:
    with World(answer=lambda n: targets(target("one"), target("two"))).start() as world:
        assert said(world) == "Everything is fresh: 2 targets."
        world.source.answer = lambda n: targets(target("one"), digest="two")
        world.change()
        world.attempt_ends()
        assert said(world) == "Everything is fresh: 1 target."


def test_a_kind_whose_name_is_no_plural_has_no_count() -> None:
    with World(answer=lambda n: targets(target("one"))).start() as world:
        world.daemon.workers["mail"] = world.daemon.workers.pop("targets")
        assert said(world) == "Everything is fresh: mail."
        world.daemon.workers["targets"] = world.daemon.workers.pop("mail")


def test_with_nothing_configured_it_says_so() -> None:
    with World(off=True) as world:
        assert said(world) == "Nothing is configured."


def test_before_the_first_refresh_nothing_is_loaded() -> None:
    with World() as world:
        assert said(world) == "Not fresh: targets (not loaded yet)."


def test_a_kind_that_fails_is_named_with_the_cause_and_since_when_until_it_succeeds() -> None:
    with World(answer=lambda n: targets(target("one")), settings=ONCE).start() as world:
        good = world.source.answer
        world.clock.advance(300)
        world.attempt_ends()
        world.fail(Transient("10.0.0.1:6443: refused", "network"))
        for _ in range(2):
            world.clock.advance(300)
            world.attempt_ends()
            assert said(world) == f"Not fresh: targets (not refreshed since {LATER}: 10.0.0.1:6443: refused)."
        world.source.answer = good
        world.clock.advance(300)
        world.attempt_ends()
        assert said(world) == "Everything is fresh: 1 target."


def test_a_kind_that_never_succeeded_says_why() -> None:
    with World(settings=ONCE) as world:
        world.fail(Permanent("403 Forbidden" + " and more" * 100, "auth"))
        world.start()
        eventually(lambda: world.worker.get_status().cycle_failed, "a cycle that fails")
        found = said(world)
        assert found.startswith("Not fresh: targets (never refreshed: 403 Forbidden and more")
        assert found.endswith("...).") and len(found) < 220 and "\n" not in found


def test_a_kind_that_is_overdue_without_failing_says_since_when() -> None:
    with World(answer=lambda n: targets(target("one"))).start() as world:
        begun, _ = world.hang()
        world.post()
        assert begun.wait(30)
        object.__setattr__(world.worker.get_status(), "last_success", world.clock.monotonic() - 600)
        assert said(world) == f"Not fresh: targets (not refreshed since {BEGAN})."


def test_stale_and_rejected_items_are_counted_and_the_first_are_named() -> None:
    stale = [target(name, stale_since=START + number) for number, name in enumerate("abcd")]
    with World(answer=lambda n: targets(target("fresh"), *stale, rejected=2)).start() as world:
        assert said(world) == f"Not fresh: targets (4 stale since {BEGAN}: a, b and 2 more; 2 rejected)."
        world.source.answer = lambda n: targets(stale[0], digest="two")
        world.change()
        world.attempt_ends()
        assert said(world) == f"Not fresh: targets (1 stale since {BEGAN}: a)."


def test_held_removals_are_counted_with_since_when() -> None:
    with World(answer=lambda n: targets(*(target(f"t{number}") for number in range(12)))).start() as world:
        world.source.answer = lambda n: targets(target("t0"), digest="two")
        world.change()
        world.attempt_ends()
        assert said(world) == f"Not fresh: targets (the removal of 11 is held since {BEGAN}: t1, t10 and 9 more)."


def test_held_removals_are_not_told_as_stale_again_but_other_stale_items_are() -> None:
    with World(answer=lambda n: targets(*(target(f"t{number}") for number in range(12)))).start() as world:
        world.source.answer = lambda n: targets(target("t0", stale_since=START), digest="two")
        world.change()
        world.attempt_ends()
        held = f"the removal of 11 is held since {BEGAN}: t1, t10 and 9 more"
        assert said(world) == f"Not fresh: targets ({held}; 1 stale since {BEGAN}: t0)."


def test_removals_that_are_kept_as_was_decided_are_no_fault() -> None:
    token = {"ALERT_REFRESH_ADMIN_TOKEN": ADMIN}
    with World(
        environ=token, answer=lambda n: targets(*(target(f"t{number}") for number in range(12)))
    ).start() as world:
        world.source.answer = lambda n: targets(target("t0"), digest="two")
        world.change()
        world.attempt_ends()
        hold = world.worker.get_status().hold
        assert hold is not None
        answer = world.client.post(
            f"{TARGETS}/reject?proposal={hold.proposal}", headers={"Authorization": f"Bearer {ADMIN}"}
        )
        assert answer.status_code == 200
        assert said(world) == f"Not fresh: targets (11 stale since {BEGAN}: t1, t10 and 9 more)."


def test_a_watch_that_is_not_connected_is_told_unless_a_failure_is(monkeypatch: pytest.MonkeyPatch) -> None:
    with World(answer=lambda n: targets(target("one")), settings=ONCE).start() as world:
        monkeypatch.setattr(world.worker, "watch_health", lambda: WatchHealth(connected=False))
        assert said(world) == "Not fresh: targets (not watched)."
        world.fail(Transient("refused", "network"))
        world.clock.advance(300)
        world.attempt_ends()
        assert said(world) == f"Not fresh: targets (not refreshed since {BEGAN}: refused)."
        monkeypatch.setattr(world.worker, "watch_health", lambda: WatchHealth(connected=True))


def test_a_schedule_that_is_stopped_is_told() -> None:
    with World(answer=lambda n: targets(target("one"))).start() as world:
        world.worker.pause(10)
        assert said(world) == "Not fresh: targets (the schedule is stopped)."


def test_targets_that_rules_name_and_do_not_exist_are_named() -> None:
    read = rule_set([rule("r", targets=("one", "b", "a"))])
    found: Snapshot[Any] = Snapshot(items=read.rules, memo=read, digest="d")
    with beside(rules.KIND, found) as world:
        assert said(world) == "Not fresh: rules (2 missing targets: a, b)."
        world.source.answer = lambda n: targets(target("one"), target("a"), digest="two")
        world.change()
        world.attempt_ends()
        assert said(world) == "Not fresh: rules (1 missing target: b)."
    with beside(rules.KIND, found, "one", "a", "b") as world:
        assert said(world) == "Everything is fresh: 3 targets, 1 rule."


def test_views_that_were_not_refreshed_are_named() -> None:
    found = {"mv_a": ViewState("mv_a", Mode.CONCURRENT), "mv_b": ViewState("mv_b", Mode.FAILED, error_type="timeout")}
    with beside(views.KIND, Snapshot(items=found, digest="d")) as world:
        assert said(world) == "Not fresh: views (1 not refreshed: mv_b)."
    with beside(views.KIND, Snapshot(items={"mv_a": found["mv_a"]}, digest="d")) as world:
        assert said(world) == "Everything is fresh: 1 target, 1 view."


def test_what_alertmanager_does_not_deliver_to_or_run_is_named() -> None:
    faults = (Fault("headers", "no version knows them"),)
    lost = Delivered(
        undeliverable={"team-a": (b"", faults)},
        undeliverable_rules={"r": faults, "s": faults},
        instances=(Instance("am-1:9093"), Instance("am-2:9093")),
        in_sync=frozenset({"am-1:9093"}),
    )
    with beside(alertmanager.KIND, Snapshot(items={}, rejected=lost.rejected(), memo=lost, digest="d")) as world:
        assert said(world) == (
            "Not fresh: alertmanager (1 target undeliverable: team-a; 2 rules undeliverable: r, s; "
            "1 of 2 instances out of sync: am-2:9093)."
        )
    alone = Delivered(instances=(Instance("am-2:9093"),))
    with beside(alertmanager.KIND, Snapshot(items={}, memo=alone, digest="d")) as world:
        assert said(world) == "Not fresh: alertmanager (out of sync: am-2:9093)."
    waits = Delivered(waits_for="targets are not loaded yet")
    with beside(alertmanager.KIND, Snapshot(items={}, memo=waits, digest="d")) as world:
        assert said(world) == "Not fresh: alertmanager (nothing is written yet: targets are not loaded yet)."
    with beside(alertmanager.KIND, Snapshot(items={}, memo=Delivered(), digest="d")) as world:
        assert said(world) == "Everything is fresh: 1 target, alertmanager."


def test_what_was_restored_is_called_so() -> None:
    with World(answer=lambda n: targets(target("one"))).start() as world:
        object.__setattr__(world.worker.get_status(), "restored", True)
        assert said(world) == "Not fresh: targets (restored after a restart)."


def test_stuck_threads_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    with World(answer=lambda n: targets(target("one"))).start() as world:
        monkeypatch.setattr(world.worker, "health", lambda: "targets-worker")
        assert said(world) == "Not fresh: stuck threads (targets-worker)."


def test_stale_items_are_looked_up_once_for_each_snapshot() -> None:
    asked = []

    def stale_since(item: Target) -> float | None:
        asked.append(item.name)
        return item.stale_since

    with World(answer=lambda n: targets(target("one", stale_since=START))).start() as world:
        world.worker.kind = replace(world.worker.kind, stale_since=stale_since)
        summary = Summary(world.daemon)
        assert summary() == summary() == f"Not fresh: targets (1 stale since {BEGAN}: one)."
        assert asked == ["one"]


def test_health_has_the_sentence() -> None:
    with World(answer=lambda n: targets(target("one"))).start() as world:
        assert world.client.get("/health").json["summary"] == "Everything is fresh: 1 target."
