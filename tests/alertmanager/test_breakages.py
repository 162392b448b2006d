from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from alert_refresh.alertmanager.receivers import parts, write
from alert_refresh.alertmanager.tree import quoted
from alert_refresh.rules.rule import Rule
from tests.alertmanager.amtool import Written, accepted
from tests.alertmanager.breakages import BREAKAGES, KEYS_AND_HEADERS, LABELS, ONLY_ALERTMANAGER, Breakage
from tests.alertmanager.examples import ALL, PLAIN, configuration, rule, target
from tests.alertmanager.server import NEWER

if TYPE_CHECKING:
    from pathlib import Path

    from alert_refresh.alertmanager.inputs import Capabilities
    from alert_refresh.alertmanager.render import Rendering

every_breakage = pytest.mark.parametrize("breakage", BREAKAGES, ids=lambda one: one.why)
TAKEN_BY_0_28 = [*LABELS, *ONLY_ALERTMANAGER] + [
    one
    for one in KEYS_AND_HEADERS
    if one.why in ("a header before Alertmanager knows http_headers", "a header with a line feed")
]
"""What 0.25 refuses and 0.28 takes; it would never send a header with a line feed."""
GOOD = [target("team-a"), target("team-b", "slack")]
GOOD_RULES = [rule("good", 'severity="critical"', targets=("team-a", "team-b", "broken"))]


def rendered(breakage: Breakage, capabilities: Capabilities) -> Rendering:
    """The rendering of good targets and rules and the broken one."""
    broken = breakage.broken
    if isinstance(broken, Rule):
        return configuration(GOOD, [*GOOD_RULES, broken], capabilities=capabilities)
    return configuration([*GOOD, broken], GOOD_RULES, capabilities=capabilities)


def test_there_are_more_than_fifty() -> None:
    assert len({one.why for one in BREAKAGES}) == len(BREAKAGES) > 50


@every_breakage
def test_the_model_refuses_it_names_the_field_and_the_others_go_on(breakage: Breakage, tmp_path: Path) -> None:
    rendering = rendered(breakage, breakage.capabilities)
    found = {**rendering.undeliverable, **rendering.undeliverable_rules}
    if breakage in ONLY_ALERTMANAGER:
        assert found == {}
        assert not Written(tmp_path, rendering.text).accepted()
        return
    [(name, faults)] = found.items()
    assert name == "broken"
    assert {one.field for one in faults} == {breakage.field}
    assert all(one.message.startswith("undeliverable: ") for one in faults)
    assert rendering.receivers == 2
    assert accepted(tmp_path, rendering)


@pytest.mark.parametrize("breakage", [one for one in BREAKAGES if one.written], ids=lambda one: one.why)
def test_alertmanager_would_refuse_the_file_for_it(breakage: Breakage, tmp_path: Path) -> None:
    assert Written(tmp_path, PLAIN.encode()).accepted()
    assert not Written(tmp_path, as_written(breakage)).accepted()


def as_written(breakage: Breakage) -> bytes:
    """The broken part alone, as it would be written without our model."""
    broken = breakage.broken
    if isinstance(broken, Rule):
        matchers = ", ".join(quoted(str(one)) for one in broken.match)
        text = f"route: {{receiver: default, routes: [{{matchers: [{matchers}]}}]}}\nreceivers: [{{name: default}}]\n"
    else:
        text = "route: {receiver: default}\nreceivers:\n- name: default\n" + write(broken, parts(broken))
    return text.encode()


@every_breakage
def test_a_later_alertmanager_takes_all_that_the_model_leaves(breakage: Breakage, tmp_path: Path) -> None:
    rendering = rendered(breakage, ALL)
    found = {**rendering.undeliverable, **rendering.undeliverable_rules}
    assert {fault.field for faults in found.values() for fault in faults} <= {breakage.field}
    assert accepted(tmp_path, rendering, NEWER)


@pytest.mark.parametrize("breakage", [one for one in BREAKAGES if one.written], ids=lambda one: one.why)
def test_a_later_alertmanager_would_refuse_it_too_but_for_what_it_knows(breakage: Breakage, tmp_path: Path) -> None:
    assert Written(tmp_path, as_written(breakage), NEWER).accepted() is (breakage in TAKEN_BY_0_28)


def test_no_fault_shows_a_value() -> None:
    for breakage in BREAKAGES:
        if not isinstance(breakage.broken, Rule):
            said = str(rendered(breakage, breakage.capabilities).undeliverable)
            assert "example.com" not in said
            assert "dXNlc" not in said
            assert "password:" not in said.replace("username:password", "")
