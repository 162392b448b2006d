"""Many culprits at once: found in a handful of calls, or little by little; what is known is delivered, and kept."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from alert_refresh.alertmanager.inputs import Capabilities
from alert_refresh.engine import Deadline, Permanent, Stopping, Transient
from tests.alertmanager.examples import PLAIN, rule, target
from tests.alertmanager.world import Leaping, World

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from alert_refresh.alertmanager.delivery.round import Round
    from alert_refresh.alertmanager.running.instances import Instance
    from tests.alertmanager.server import Between

NAMES = [f"team-{number}" for number in range(120)]
BROKEN = NAMES[::3]
RULES = tuple(rule(f"rule-{name}", f'team="{name}"', targets=[name]) for name in NAMES)
OLD, NEW = "https://old.example.com/", "https://new.example.com/"


def make(between: Between, *, delivered: bool, **more: Any) -> World:
    """A third of the targets gets a header that Alertmanager does not know, all others another URL.

    `delivered`: what they were before was delivered.
    """
    before = [target(name, url=OLD) for name in NAMES]
    world = World(between.alertmanager.folder, between.url, targets=tuple(before), rules=RULES, **more)
    if delivered:
        world.good()
    world.source.instances.capabilities = lambda *_: Capabilities(http_headers=True)  # type: ignore[method-assign]
    world.targets.serve(
        *(target(name, url=NEW, headers={"X-Team": name} if name in BROKEN else None) for name in NAMES)
    )
    return world


def receivers(between: Between) -> set[str]:
    """The targets that Alertmanager delivers to."""
    names = between.alertmanager.receivers()
    return {name.removeprefix("alert-refresh/") for name in names if name.startswith("alert-refresh/")}


class Share(Deadline):
    """The part of an attempt's time that is for the search."""


class Reloads:
    """What a world's Alertmanager was told to load: `trials` of a search, and `accepted`, when that began.

    After `most` trials of a search its time is over; `then` is called with each trial's deadline and number.
    """

    def __init__(
        self,
        world: World,
        monkeypatch: pytest.MonkeyPatch,
        most: int | None = None,
        then: Callable[[Deadline, int], None] = lambda deadline, number: None,
    ) -> None:
        self.trials: list[bytes] = []
        self.accepted: list[float] = []
        self.most = most
        self._then = then
        self._world = world
        self._reload = world.source.instances.reload
        monkeypatch.setattr("alert_refresh.alertmanager.delivery.search.Deadline", Share)
        monkeypatch.setattr(world.source.instances, "reload", self.reload)

    def reload(self, names: Sequence[str], deadline: Deadline) -> tuple[Instance, ...]:
        """Stands for `Instances.reload`."""
        file = self._world.file.read_bytes()
        began = self._world.clock.monotonic()
        after = self._reload(names, deadline)
        if all(one.error is None for one in after):
            self.accepted.append(began)
        if isinstance(deadline, Share):
            self.trials.append(file)
            if self.most is not None and len(self.trials) % self.most == 0:
                deadline.at = 0.0
            self._then(deadline, len(self.trials))
        return after


@pytest.mark.parametrize("delivered", [True, False])
def test_with_amtool_a_handful_of_calls_finds_them_all(between: Between, delivered: bool) -> None:
    world = make(between, delivered=delivered)
    calls: list[int] = []
    run = world.source.amtool._run

    def counted(*told: Any) -> Any:
        calls.append(1)
        return run(*told)

    world.source.amtool._run = counted  # type: ignore[method-assign,assignment]
    known = world.good()
    assert sorted(known.undeliverable) == sorted(BROKEN) and known.undeliverable_rules == {}
    assert receivers(between) == set(NAMES) - set(BROKEN) and world.in_sync == [True]
    assert len(calls) < 10


@pytest.mark.parametrize("delivered", [True, False])
def test_without_amtool_what_passed_in_the_time_is_delivered_and_the_next_attempts_go_on(
    between: Between, delivered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make(between, delivered=delivered, tool=False)
    Reloads(world, monkeypatch, most=12)
    found: list[int] = []
    while not found or world.error is not None:
        found.append(len(world.refresh().culprits))
        assert between.alertmanager.metric("alertmanager_config_last_reload_successful") == "1"
        assert world.in_sync == [True], "what is known is delivered"
        assert world.error is None or (isinstance(world.error, Transient) and world.error.error_type == "timeout")
        assert len(found) < 40
    assert len(found) > 2 and found == sorted(found)
    assert set(world.known.undeliverable) == set(BROKEN)
    assert receivers(between) == set(NAMES) - set(BROKEN)


def test_what_there_was_no_time_to_try_stays_as_it_was_delivered(
    between: Between, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make(between, delivered=True, tool=False)
    Reloads(world, monkeypatch, most=12)
    known = world.refresh()
    assert "are not tried yet" in str(world.error)
    text = world.file.read_text()
    assert NEW in text and OLD in text, "some have passed, and the others have their address of before"
    assert receivers(between) == set(NAMES) - set(known.undeliverable)
    served: Any = world.targets.status.snapshot
    assert {known.state(served.items[name]) for name in BROKEN} == {"pending", "undeliverable"}
    assert {known.state(served.items[name]) for name in NAMES if name not in BROKEN} == {"ok"}


def test_a_changed_rule_that_was_not_tried_yet_stays_as_it_was(
    between: Between, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tuple(rule(f"rule-{name}", f'old="{name}"', targets=[name]) for name in NAMES[:8])
    after = [rule(one.id, r'x=~"\\p{Kawi}"', f'new="{one.id}"', targets=one.targets) for one in before]
    folder = between.alertmanager.folder
    world = World(folder, between.url, targets=tuple(map(target, NAMES[:8])), rules=before, tool=False)
    world.good()
    world.rules.serve(*after)
    Reloads(world, monkeypatch, most=5)
    known = world.refresh()
    assert "are not tried yet" in str(world.error) and world.in_sync == [True]
    assert known.undeliverable_rules and len(known.undeliverable_rules) < len(before)
    left = [one.id for one in before if one.id not in known.undeliverable_rules]
    assert all(f'old="{rule_id.removeprefix("rule-")}"' in world.file.read_text().replace("\\", "") for rule_id in left)


def test_after_a_start_nothing_that_is_delivered_is_taken_away_for_want_of_time(
    between: Between, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make(between, delivered=True, tool=False)
    ours = world.file.read_bytes()
    world.restart()
    world.source.instances.capabilities = lambda *_: Capabilities(http_headers=True)  # type: ignore[method-assign]
    Reloads(world, monkeypatch, most=20)
    attempts = 0
    while (attempts := attempts + 1) < 40:
        known = world.refresh()
        if world.error is None:
            break
        assert world.file.read_bytes() == ours and receivers(between) == set(NAMES)
        assert between.alertmanager.metric("alertmanager_config_last_reload_successful") == "1"
    assert world.error is None and set(known.undeliverable) == set(BROKEN)
    assert receivers(between) == set(NAMES) - set(BROKEN) and world.in_sync == [True]


def test_without_amtool_loads_that_succeed_keep_the_interval_and_refused_ones_need_not(
    between: Between, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make(between, delivered=True, tool=False, interval=100.0, clock=Leaping(monkeypatch))
    reloads = Reloads(world, monkeypatch)
    world.refresh(1e5)
    assert world.error is None and set(world.known.undeliverable) == set(BROKEN)
    # The first one is of what was put back: it makes the metric of the last reload a success again.
    gaps = [after - before for before, after in pairwise(reloads.accepted)]
    assert gaps and min(gaps) > 50, "the times are taken a moment after those that the interval is between"
    assert len(reloads.trials) > 3 * len(reloads.accepted)


def test_the_good_file_is_in_place_before_every_trial_and_kept_during_it(
    between: Between, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make(between, delivered=True, tool=False)
    good = world.file.read_bytes()
    seen: list[bytes] = []
    kept: list[bytes] = []
    reloads = Reloads(
        world, monkeypatch, 12, lambda *_: kept.append(world.file.with_name("alertmanager.yml.previous").read_bytes())
    )
    write = world.source.delivery.written.write

    def watched(*told: Any) -> None:
        seen.append(world.file.read_bytes())
        write(*told)

    monkeypatch.setattr(world.source.delivery.written, "write", watched)
    world.refresh()
    assert len(reloads.trials) == 12 and good not in reloads.trials
    assert set(seen) == {good} and set(kept) == {good}


def test_a_time_that_is_too_short_for_the_interval_is_over(between: Between, monkeypatch: pytest.MonkeyPatch) -> None:
    world = make(between, delivered=True, tool=False, interval=0.5)

    def shorten(deadline: Deadline, number: int) -> None:
        if len(reloads.accepted) > 1:
            deadline.at = min(deadline.at, world.clock.monotonic() + 0.3)

    reloads = Reloads(world, monkeypatch, then=shorten)
    world.refresh(60.0)
    assert "are not tried yet" in str(world.error) and world.in_sync == [True]
    assert NEW in world.file.read_text(), "what passed is delivered"


def test_what_is_refused_only_together_is_found_too(between: Between) -> None:
    world = make(between, delivered=False, tool=True)
    world.targets.serve(*(target(name) for name in NAMES[:12]))
    program = world.folder / "amtool"
    both = "grep -q 'refresh/team-3\"' $2 && grep -q 'refresh/team-7\"' $2 && exit 1; exit 0"
    program.write_text(f"#!/bin/sh\n[ $1 != --version ] || exec echo amtool, version 0.25.0\n{both}\n")
    program.chmod(0o755)
    world.source.amtool.path = str(program)
    known = world.good()
    assert list(known.undeliverable) == ["team-7"] and world.in_sync == [True]


def test_an_interval_for_which_there_is_no_time_left_ends_the_attempt_and_not_after_a_wait(between: Between) -> None:
    world = make(between, delivered=True, tool=False, interval=3600.0)
    ours = world.file.read_bytes()
    world.refresh()
    assert isinstance(world.error, Transient) and world.error.error_type == "timeout"
    assert world.file.read_bytes() == ours


def test_stopping_ends_the_search_and_alertmanager_runs_what_is_in_the_file(
    between: Between, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make(between, delivered=True, tool=False, interval=0.05)
    ours = world.file.read_bytes()

    def stop(deadline: Deadline, number: int) -> None:
        if number == 6:
            deadline.stopping.set()

    Reloads(world, monkeypatch, then=stop)
    with pytest.raises(Stopping):
        world.refresh()
    assert world.file.read_bytes() == ours
    assert between.alertmanager.metric("alertmanager_config_last_reload_successful") == "1"


def test_a_template_at_fault_among_many_parts_is_named_after_a_few_trials(
    between: Between, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make(between, delivered=True, tool=False)
    world.template.write_text(PLAIN + "global: {smtp_smarthost: no}\n")
    reloads = Reloads(world, monkeypatch)
    world.refresh()
    assert isinstance(world.error, Permanent) and "refuses the template" in str(world.error)
    assert len(reloads.trials) < 40


def test_what_is_refused_also_without_what_was_not_tried_gives_way_to_the_good_one(
    between: Between, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make(between, delivered=True, tool=False)
    ours = world.file.read_bytes()
    Reloads(world, monkeypatch, most=12)
    load = world.source.delivery._reloads.load

    def refuse(work: Round, names: Sequence[str], deadline: Deadline) -> Round:
        after = load(work, names, deadline)
        return after.with_seen([replace(one, error=Permanent("no"), refused=True) for one in after.seen])

    monkeypatch.setattr(world.source.delivery._reloads, "load", refuse)
    world.refresh()
    assert world.error is not None and world.file.read_bytes() == ours
    assert between.alertmanager.metric("alertmanager_config_last_reload_successful") == "1"
