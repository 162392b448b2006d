"""What Alertmanager refuses: the culprit is found and named within one refresh, and everything else is delivered."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from alert_refresh.alertmanager.delivery.reloads import Reloads
from alert_refresh.engine import Deadline, Permanent, SystemClock, Transient
from alert_refresh.targets.target import Target
from tests.alertmanager.breakages import BREAKAGES
from tests.alertmanager.examples import rule, target
from tests.alertmanager.server import CONFIG, Alertmanager, Between
from tests.alertmanager.world import World

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alert_refresh.alertmanager.delivery.round import Round
    from alert_refresh.alertmanager.inputs import Capabilities
    from tests.alertmanager.breakages import Breakage

GOOD = ["team-a", *(f"team-{number}" for number in range(48))]
RULES = tuple(rule(f"rule-{name}", 'team="ops"', targets=[name]) for name in GOOD)
NATURAL = [one for one in BREAKAGES if one.field is None]
"""Those that our own model leaves to Alertmanager."""


def make(between: Between, **more: Any) -> World:
    """Fifty targets, of which one may be broken later, and a rule for each."""
    targets = tuple(map(target, GOOD))
    return World(between.alertmanager.folder, between.url, targets=targets, rules=RULES, **more)


def believe(world: World, capabilities: Capabilities) -> None:
    """Let the source believe that Alertmanager knows more than it does."""
    world.source.instances.capabilities = lambda *_: capabilities  # type: ignore[method-assign]


def break_one(world: World, breakage: Breakage, name: str = "broken") -> str:
    """Add a broken target, or a broken rule; returns the part."""
    broken = breakage.broken
    if isinstance(broken, Target):
        one = replace_name(broken, name)
        world.targets.serve(*map(target, GOOD), one)
        world.rules.serve(*RULES, rule(f"rule-{name}", 'team="ops"', targets=[name]))
        return f"target:{name}"
    world.rules.serve(*RULES, broken)
    return f"rule:{broken.id}"


def replace_name(one: Target, name: str) -> Target:
    import msgspec

    return msgspec.structs.replace(one, name=name, digest=b"")


def delivers(world: World, alertmanager: Alertmanager) -> list[str]:
    """The good targets that Alertmanager does not deliver to."""
    running = set(alertmanager.receivers())
    return [name for name in GOOD if f"alert-refresh/{name}" not in running]


@pytest.mark.parametrize("breakage", BREAKAGES, ids=lambda one: one.why)
def test_a_broken_one_leaves_the_other_49_delivering_and_is_named_within_one_refresh(
    between: Between, breakage: Breakage
) -> None:
    world = make(between)
    world.good()
    if breakage.field is None:
        believe(world, breakage.capabilities)
    part = break_one(world, breakage)
    known = world.good()
    kind, _, name = part.partition(":")
    faults = known.undeliverable[name][1] if kind == "target" else known.undeliverable_rules[name]
    assert {fault.field for fault in faults} == {breakage.field or "alertmanager"}
    assert delivers(world, between.alertmanager) == [] and world.in_sync == [True]
    assert between.alertmanager.metric("alertmanager_config_last_reload_successful") == "1"
    assert len(known.undeliverable) + len(known.undeliverable_rules) == 1


@pytest.mark.parametrize("tool", [True, False])
@pytest.mark.parametrize("breakage", NATURAL[:2] + NATURAL[-1:], ids=lambda one: one.why)
def test_s5_a_culprit_stays_out_until_its_own_content_changes(between: Between, breakage: Breakage, tool: bool) -> None:
    world = make(between, tool=tool)
    world.good()
    believe(world, breakage.capabilities)
    part = break_one(world, breakage)
    world.good()
    reloads = between.count("POST", "/-/reload")
    world.good()
    assert list(world.known.culprits) == [part]
    assert between.count("POST", "/-/reload") == reloads, "it is not tried again"
    world.targets.serve(*map(target, GOOD))
    world.rules.serve(*RULES, rule("broken", targets=[GOOD[0]]))
    world.good()
    assert not world.known.undeliverable and not world.known.undeliverable_rules and world.in_sync == [True]


def test_s5_a_culprit_is_tried_again_with_another_version_of_alertmanager(between: Between) -> None:
    world = make(between)
    world.good()
    believe(world, NATURAL[-1].capabilities)
    part = break_one(world, NATURAL[-1])
    world.good()
    assert list(world.known.culprits) == [part]
    instances = world.source.instances
    instances._capabilities = {name: ("0.99.0", known) for name, (_, known) in instances._capabilities.items()}
    refused = instances.reloads[instances.names[0], "refused"]
    world.good()
    assert list(world.known.culprits) == [part], "still, by the other version"
    assert instances.reloads[instances.names[0], "refused"] > refused


@pytest.mark.parametrize("tool", [True, False])
def test_several_culprits_at_once_are_all_found(between: Between, tool: bool) -> None:
    world = make(between, tool=tool)
    world.good()
    believe(world, replace(NATURAL[-1].capabilities, http_headers=True))
    bad = [target(f"bad-{number}", headers={"X-Team": "a"}) for number in range(3)]
    world.targets.serve(*map(target, GOOD), *bad, target("new"))
    known = world.good()
    assert sorted(known.undeliverable) == ["bad-0", "bad-1", "bad-2"]
    assert delivers(world, between.alertmanager) == []
    assert "alert-refresh/new" in between.alertmanager.receivers()


@pytest.mark.parametrize("tool", [True, False])
def test_after_a_start_the_culprit_is_found_among_everything(between: Between, tool: bool) -> None:
    world = make(between, tool=tool)
    believe(world, replace(NATURAL[-1].capabilities, http_headers=True))
    world.targets.serve(*map(target, GOOD), target("broken", headers={"X-Team": "a"}))
    known = world.good()
    assert list(known.undeliverable) == ["broken"] and delivers(world, between.alertmanager) == []


def test_what_is_refused_is_taken_back_before_the_culprit_is_looked_for(
    between: Between, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make(between)
    world.good()
    ours = world.file.read_bytes()
    believe(world, replace(NATURAL[-1].capabilities, http_headers=True))
    world.targets.serve(*map(target, GOOD), target("broken", headers={"X-Team": "a"}))
    seen: list[tuple[bytes, str | None]] = []
    refuses = world.source.amtool.refuses

    def watched(text: bytes, deadline: Deadline) -> bool:
        successful = between.alertmanager.metric("alertmanager_config_last_reload_successful")
        seen.append((world.file.read_bytes(), successful))
        return refuses(text, deadline)

    monkeypatch.setattr(world.source.amtool, "refuses", watched)
    world.good()
    assert seen and set(seen) == {(ours, "1")}


def test_while_none_answers_the_tool_finds_the_culprit_and_the_file_is_never_a_bad_one(between: Between) -> None:
    world = make(between)
    world.good()
    between.answers["*"] = (503, b"")
    believe(world, replace(NATURAL[-1].capabilities, http_headers=True))
    world.targets.serve(*map(target, GOOD), target("broken", headers={"X-Team": "a"}), target("new"))
    world.refresh()
    assert isinstance(world.error, Transient)
    assert list(world.known.undeliverable) == ["broken"]
    assert "alert-refresh/new" in world.file.read_text() and "X-Team" not in world.file.read_text()
    between.answers.clear()
    world.good()
    assert world.in_sync == [True]


def test_a_file_that_was_not_there_is_removed_if_the_template_is_refused(between: Between) -> None:
    world = make(between, template=CONFIG + "global: {smtp_smarthost: nonsense}\n", tool=False)
    world.file.unlink()
    world.refresh()
    assert isinstance(world.error, Permanent) and not world.file.exists()


def test_a_restart_after_a_kill_with_a_refused_file_in_place_goes_back_to_the_one_before(between: Between) -> None:
    world = make(between)
    world.good()
    good = world.file.read_bytes()
    world.source.file.write(good.replace(b"send_resolved", b"no_such_field", 1))
    world.restart()
    world.good()
    assert world.file.read_bytes() == good and world.in_sync == [True]


def test_the_search_ends_with_the_time_of_the_attempt_and_the_good_file_is_in_place(
    between: Between, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make(between, tool=False)
    world.good()
    ours = world.file.read_bytes()
    believe(world, replace(NATURAL[-1].capabilities, http_headers=True))
    world.targets.serve(*map(target, GOOD), *[target(f"bad-{n}", headers={"X-A": "a"}) for n in range(400)])
    deadline = Deadline(SystemClock(), 2.0)
    monkeypatch.setattr("tests.alertmanager.world.Deadline", lambda *_: deadline)
    world.refresh()
    assert isinstance(world.error, Transient) and world.error.error_type == "timeout"
    assert world.file.read_bytes() == ours
    assert between.alertmanager.metric("alertmanager_config_last_reload_successful") == "1"


def test_an_alertmanager_that_is_away_at_the_end_of_a_search_is_told_to_load_the_good_file_again(
    between: Between, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: Reloads, work: Round, names: Sequence[str], __: Deadline) -> Round:
        gone = Transient("it does not answer")
        return work.with_seen([replace(one, error=gone, refused=False) for one in work.seen if one.name in names])

    world = make(between, tool=False)
    world.good()
    believe(world, replace(NATURAL[-1].capabilities, http_headers=True))
    world.targets.serve(*map(target, GOOD), *[target(f"bad-{n}", headers={"X-A": "a"}) for n in range(400)])
    monkeypatch.setattr(Reloads, "look", away)
    world.refresh(timeout=2)
    assert isinstance(world.error, Transient)
    assert between.alertmanager.metric("alertmanager_config_last_reload_successful") == "1"


def other_tool(world: World, text: str, version: str = "0.25.0") -> None:
    """A program that stands for the tool."""
    (world.folder / "bin").mkdir(exist_ok=True)
    program = world.folder / "bin" / "amtool"
    program.write_text(f"#!/bin/sh\n[ $1 != --version ] || exec echo amtool, version {version}\n{text}\n")
    program.chmod(0o755)
    world.source.amtool.path = str(program)


def test_a_tool_that_hangs_leaves_it_to_alertmanager(between: Between) -> None:
    world = make(between)
    world.rules.serve(*RULES[:2])
    world.good()
    other_tool(world, "exec sleep 60")
    world.rules.serve(*RULES)
    world.refresh(timeout=9)
    assert world.error is None and world.in_sync == [True]


def test_a_tool_that_refuses_what_alertmanager_runs_is_not_believed(between: Between) -> None:
    world = make(between)
    other_tool(world, "exit 1")
    world.good()
    world.rules.serve(*RULES[:-1])
    assert world.good().undeliverable == {} and world.in_sync == [True]


@pytest.mark.parametrize("away", [False, True])
def test_a_tool_that_large_configurations_have_killed_makes_no_culprits(between: Between, away: bool) -> None:
    world = make(between)
    world.rules.serve(*RULES[:2])
    world.good()
    size = world.file.stat().st_size + 100
    other_tool(world, f'for one; do [ ! -f "$one" ] || [ $(wc -c < "$one") -lt {size} ] || kill -9 $$; done')
    world.rules.serve(*RULES)
    if away:
        between.answers["*"] = (503, b"")
    world.refresh()
    assert (world.undeliverable, world.known.undeliverable_rules) == ({}, {})
    if away:
        assert "ended by signal 9" in str(world.error)
    else:
        assert world.error is None and world.in_sync == [True]


def test_a_tool_of_another_version_is_not_asked(between: Between) -> None:
    world = make(between)
    other_tool(world, "touch asked; exit 1", version="0.24.0")
    world.good()
    assert world.known.undeliverable == {} and world.in_sync == [True]
    between.answers["*"] = (503, b"")
    ours = world.file.read_bytes()
    world.targets.serve(*map(target, GOOD[:3]))
    world.refresh()
    assert world.file.read_bytes() == ours, "nothing checks it while Alertmanager is away"


def test_a_refusal_that_is_none_the_next_time_is_tried_again(between: Between) -> None:
    world = make(between, tool=False)
    world.good()
    ours = world.file.read_bytes()
    reload = world.source.instances.reload
    refused: list[int] = []

    def refuse_once(names: Any, deadline: Deadline) -> Any:
        found = reload(names, deadline)
        if refused:
            return found
        refused.append(1)
        return tuple(replace(one, error=Permanent("no"), refused=True) for one in found)

    world.source.instances.reload = refuse_once  # type: ignore[method-assign]
    world.targets.serve(*map(target, GOOD[:3]))
    world.refresh()
    assert isinstance(world.error, Transient) and "accepts every part" in str(world.error)
    assert world.file.read_bytes() != ours or world.known.undeliverable == {}
    world.good()
    assert world.in_sync == [True]


def test_an_alertmanager_that_goes_away_during_the_search_leaves_the_good_file(
    between: Between, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make(between, tool=False)
    world.good()
    ours = world.file.read_bytes()
    believe(world, replace(NATURAL[-1].capabilities, http_headers=True))
    world.targets.serve(*map(target, GOOD), target("broken", headers={"X-Team": "a"}), target("new"))
    reload = world.source.instances.reload
    asked: list[int] = []

    def goes_away(names: Any, deadline: Deadline) -> Any:
        asked.append(1)
        if len(asked) == 3:
            between.answers["*"] = (503, b"")
        return reload(names, deadline)

    world.source.instances.reload = goes_away  # type: ignore[method-assign]
    world.refresh()
    assert isinstance(world.error, Transient) and world.file.read_bytes() == ours
    between.answers.clear()
    known = world.good()
    assert list(known.undeliverable) == ["broken"] and world.in_sync == [True]


def test_a_culprit_that_did_not_change_is_found_among_everything(between: Between) -> None:
    world = make(between, tool=False)
    world.good()
    reload = world.source.instances.reload

    def refuses_one(names: Any, deadline: Deadline) -> Any:
        found = reload(names, deadline)
        if b'alert-refresh/team-3"' not in world.file.read_bytes():
            return found
        return tuple(replace(one, error=Permanent("no"), refused=True) for one in found)

    world.source.instances.reload = refuses_one  # type: ignore[method-assign]
    world.targets.serve(*map(target, GOOD), target("new"))
    known = world.good()
    assert list(known.undeliverable) == ["team-3"] and world.in_sync == [True]
    assert "alert-refresh/new" in between.alertmanager.receivers()


def test_what_comes_back_after_a_restart_is_what_alertmanager_runs_though_it_is_the_file_before(
    between: Between,
) -> None:
    world = make(between, tool=False)
    world.good()
    good = world.file.read_bytes()
    world.source.file.write(good.replace(b"send_resolved", b"no_such_field", 1))
    world.restart()
    world.template.write_text(CONFIG + "global: {smtp_smarthost: nonsense}\n")
    world.refresh()
    assert isinstance(world.error, Permanent) and world.file.read_bytes() == good
