"""Alertmanager's configuration: rendering it. By itself: `python -m bench.alertmanager`."""

from __future__ import annotations

import gc
import random
import time
from typing import TYPE_CHECKING

from alert_refresh.alertmanager.inputs import Capabilities, Inputs, Mode
from alert_refresh.alertmanager.render import render
from alert_refresh.alertmanager.template import Template
from alert_refresh.credential import Credential, Credentials
from alert_refresh.rules.matcher import Matcher
from alert_refresh.rules.rule import Rule
from alert_refresh.server.server import COLLECTIONS
from alert_refresh.targets.secret.json_object import JsonObject
from alert_refresh.targets.target import Target
from bench.table import Table, median, seconds, spread

if TYPE_CHECKING:
    from alert_refresh.alertmanager.render import Rendering

TEMPLATE = b"""
global: {resolve_timeout: 5m}
route: {receiver: default, group_by: [alertname, namespace], routes: [{receiver: default, matchers: [team="none"]}]}
receivers: [{name: default}]
"""
ROUNDS = 25
PROMISED = 0.1
"""Seconds of a rendering."""


def targets(count: int) -> dict[str, Target]:
    """Targets of every type, half with an Authorization header, each with a filter."""
    found = {}
    for number in range(count):
        type_ = ("webhook", "slack", "rootly", "pagerduty")[number % 4]
        headers = {"X-Routing-Key": f"key-{number}"} if type_ == "pagerduty" else {}
        if number % 4 in (0, 2):
            headers["Authorization"] = f"Bearer token-{number}"
        name = f"team-{number}"
        found[name] = Target(
            name,
            type_,
            type_,
            Credential(f"https://hooks.example.com:8443/services/T{number}/secret"),
            headers=Credentials(headers),
            filter_config=JsonObject(b'{"severity": ["critical", "warning"], "labels": {"team": "t%d"}}' % number),
        )
    return found


def rules(count: int, of: int) -> list[Rule]:
    """Rules of which several name each target, so that they overlap; every fifth has a regular expression."""
    chance = random.Random(1)
    found = []
    for number in range(count):
        match = [Matcher("service", "=", f"service-{number % 2000}")]
        if number % 3:
            match.append(Matcher("severity", "=", ("critical", "warning", "info", "page")[number % 4]))
        if number % 5 == 0:
            match.append(Matcher("instance", "=~", rf"web-{number % 200}-[0-9]+\.prod"))
        if number % 7 == 0:
            match.append(Matcher("environment", "!=", "dev"))
        names = tuple(f"team-{chance.randrange(of)}" for _ in range(1 + number % 2))
        found.append(Rule(f"rule-{number:06d}", priority=number % 10, match=tuple(match), targets=names))
    return found


def measured(inputs: Inputs) -> tuple[Rendering, list[float]]:
    """The rendering, and the seconds of each round, with garbage collected as in the daemon: not what was loaded."""
    times = []
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*before[:2], COLLECTIONS)
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        rendering = render(inputs)
        times.append(time.perf_counter() - begun)
    gc.set_threshold(*before)
    gc.unfreeze()
    return rendering, times


def rendering() -> Table:
    """Rendering, by number of targets and rules; the first time, and once its caches are warm."""
    table = Table(
        "Alertmanager's configuration rendered",
        note="Time on the clock of one rendering, from targets and rules in memory to the bytes of the file. The ratio "
        "is to the promise; both the first time and the median have to keep it.",
    )
    template = Template.read(TEMPLATE, "alertmanager.yml")
    for many, of_rules in ((50, 200), (2000, 5000)):
        for mode in (Mode.RULES, Mode.FILTERS):
            given = rules(of_rules, many) if mode is Mode.RULES else []
            found, times = measured(Inputs(template, targets(many), given, mode, Capabilities()))
            what = f"{many:,} targets, {len(given):,} rules: {found.routes:,} routes, {len(found.text) // 1000:,} kB"
            first = f"the first time {seconds(times[0])}, then {spread(times[1:])}"
            slowest = max(times[0], median(times[1:]))
            table.promise(what, f"{first}, ratio {slowest / PROMISED:.2f}", "< 100 ms", kept=slowest < PROMISED)
    return table


if __name__ == "__main__":
    print(rendering())
