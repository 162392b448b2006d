"""When publications of other kinds are taken over."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from alert_refresh.alertmanager.upstream import QUIET, REST, PublicationWatch, Upstream
from alert_refresh.engine import Outcome, Publication, Result, Trigger
from tests.alertmanager.examples import rule, target
from tests.alertmanager.world import Serving
from tests.fakes import START, FakeClock
from tests.stage import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator


def outcome(*, changed: bool, result: Result = Result.SUCCESS, seen_at: float = 0.0) -> Outcome:
    return Outcome("targets", Trigger.WATCH, "1", 1, result, START, 0.1, changed=changed, seen_at=seen_at)


def publication(seen_at: float | None) -> Publication:
    return Publication("targets", 1, None, 1, 0, seen_at=seen_at)


class Scene:
    """Two workers, a watch that runs, and a clock that the test advances. `triggers` are what it asked for."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.targets, self.rules = Serving(target()), Serving(rule("a"))
        workers: Any = {"targets": self.targets, "rules": self.rules}
        self.upstream = Upstream(workers, self.clock)
        self.triggers: list[float] = []
        sink: Any = SimpleNamespace(notify=lambda _: self.triggers.append(self.clock.monotonic()))
        self.watch = PublicationWatch(self.upstream, sink, self.clock)

    def publish(self, seen_at: float | None = None) -> None:
        """Publish something, and wait until the watch has taken notice."""
        self.targets.publish_listeners[0](publication(seen_at))
        eventually(lambda: not self.upstream.news.is_set(), "taking notice")

    def ended(self, one: Outcome) -> None:
        self.targets.listeners[0](one)


@pytest.fixture
def scene() -> Iterator[Scene]:
    import threading

    one = Scene()
    thread = threading.Thread(target=one.watch.run, name="publications")
    thread.start()
    yield one
    one.watch.stop()
    thread.join(10)


def test_s1_the_first_publication_after_a_rest_starts_at_once(scene: Scene) -> None:
    scene.publish()
    eventually(lambda: scene.triggers == [0.0], "the first one")
    scene.clock.advance(REST)
    scene.publish()
    eventually(lambda: scene.triggers == [0.0, REST], "another after a rest")


def test_s1_those_within_a_short_time_of_each_other_make_one_more(scene: Scene) -> None:
    scene.publish()
    eventually(lambda: scene.triggers == [0.0], "the first one")
    for _ in range(3):
        scene.clock.wait_for_sleeper()
        scene.clock.advance(QUIET / 2)
        scene.publish()
    scene.clock.wait_for_sleeper(QUIET)
    assert scene.triggers == [0.0]
    scene.clock.advance(QUIET)
    eventually(lambda: len(scene.triggers) == 2, "one more")


def test_those_that_never_end_are_taken_over_every_second(scene: Scene) -> None:
    scene.publish()
    eventually(lambda: scene.triggers == [0.0], "the first one")
    for _ in range(40):
        scene.publish()
        scene.clock.wait_for_sleeper()
        scene.clock.advance(QUIET / 2)
    scene.clock.wait_for_sleeper()
    scene.clock.advance(QUIET)
    eventually(lambda: len(scene.triggers) in (3, 4), "every second")


def test_it_stops_at_once_while_it_waits(scene: Scene) -> None:
    scene.publish()
    eventually(lambda: scene.triggers == [0.0], "the first one")
    scene.publish()
    scene.clock.wait_for_sleeper(QUIET)
    scene.watch.stop()
    eventually(lambda: not scene.clock.sleeping(), "stopping")
    assert scene.triggers == [0.0]


class TestWhatIsNews:
    @pytest.fixture
    def quiet(self) -> Scene:
        return Scene()

    def test_an_attempt_that_changed_nothing_is_none(self, quiet: Scene) -> None:
        quiet.ended(outcome(changed=True))
        quiet.upstream.news.clear()
        quiet.ended(outcome(changed=False))
        quiet.ended(outcome(changed=False, result=Result.FAILED))
        assert not quiet.upstream.news.is_set()

    def test_a_part_that_is_published_is(self, quiet: Scene) -> None:
        quiet.ended(outcome(changed=True, result=Result.FAILED))
        assert quiet.upstream.news.is_set()

    def test_the_first_success_confirms_what_was_restored(self, quiet: Scene) -> None:
        quiet.ended(outcome(changed=False, result=Result.FAILED))
        assert not quiet.upstream.news.is_set()
        quiet.ended(outcome(changed=False))
        assert quiet.upstream.news.is_set() and quiet.upstream.take() is None

    def test_the_oldest_change_counts_until_it_is_delivered(self, quiet: Scene) -> None:
        assert quiet.upstream.take() is None
        quiet.ended(outcome(changed=True, seen_at=7.0))
        quiet.targets.publish_listeners[0](publication(3.0))
        quiet.targets.publish_listeners[0](publication(9.0))
        assert quiet.upstream.take() == 3.0
        assert quiet.upstream.take() is None
        quiet.upstream.give_back(3.0)
        assert quiet.upstream.take() == 3.0

    def test_a_decision_of_a_user_is_seen_when_it_is_made(self, quiet: Scene) -> None:
        quiet.clock.advance(4)
        quiet.targets.publish_listeners[0](publication(None))
        assert quiet.upstream.take() == 4.0

    def test_what_is_served_is_known_once_all_of_it_is(self, quiet: Scene) -> None:
        served = quiet.upstream.served()
        assert served is not None and served.confirmed and served.rules is not None
        quiet.rules.serve(rule("a"), restored=True)
        served = quiet.upstream.served()
        assert served is not None and not served.confirmed
        quiet.rules.status = type(quiet.rules.status)()
        assert quiet.upstream.served() is None
