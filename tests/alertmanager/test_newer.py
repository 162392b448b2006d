"""A later Alertmanager, Debian 13's 0.28: other fields, other label names, and both versions side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from alert_refresh.alertmanager.inputs import Capabilities
from alert_refresh.engine import Deadline, SystemClock
from tests.alertmanager.amtool import amtool
from tests.alertmanager.examples import ALL, OLD, rule, target
from tests.alertmanager.server import NEWER, Alertmanager, Webhook
from tests.alertmanager.world import World
from tests.process.program import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TEMPLATE = """
route: {receiver: nobody, group_by: ['...'], group_wait: 0s, group_interval: 1s}
receivers: [{name: nobody}]
"""
EVERY = rule("every", targets=["team-a"])


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alertmanager]:
    with Alertmanager(tmp_path_factory.mktemp("newer"), NEWER) as one:
        yield one


@pytest.fixture
def alertmanager(newer: Alertmanager) -> Alertmanager:
    newer.reset()
    return newer


def world(alertmanager: Alertmanager, *urls: str, tool: bool = True, **more: object) -> World:
    """The source before a later Alertmanager, with or without the tool of its version."""
    return World(
        alertmanager.folder,
        alertmanager.url,
        *urls,
        template=TEMPLATE,
        tool=tool,
        unpacked=NEWER,
        **more,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("tool", [True, False], ids=["by its tool", "by what it shows"])
def test_s3_what_it_knows_is_found(alertmanager: Alertmanager, tool: bool) -> None:
    source = world(alertmanager, tool=tool).source
    deadline = Deadline(SystemClock(), 60)
    [seen] = source.instances.look(deadline)
    assert seen.error is None
    assert source.instances.capabilities([seen], deadline) == ALL
    assert source.instances.versions() == (seen.version,)
    if tool:
        assert source.amtool.version(deadline) == seen.version


def test_s3_a_header_of_a_target_arrives_at_its_webhook(alertmanager: Alertmanager) -> None:
    with Webhook() as webhook:
        headers = {"X-Team": "a: 'b' \"c\" \\ é", "Authorization": "Bearer one", "X-Other": "{{ x }}"}
        found = world(
            alertmanager, targets=(target("team-a", url=f"{webhook.url}/a", headers=headers),), rules=(EVERY,)
        )
        assert found.good().undeliverable == {} and found.in_sync == [True]
        alertmanager.send(alertname="one")
        assert eventually(lambda: bool(webhook.headers))
        got = {name: webhook.headers[0].get(name) for name in headers}
        assert got == {**headers, "X-Team": headers["X-Team"].encode().decode("latin-1")}


def test_matchers_of_any_label_name_route(alertmanager: Alertmanager) -> None:
    odd = ["a.b", "größe", 'x"y', "a b", "a,b", "{c}", "1st", "back\\slash"]
    with Webhook() as webhook:
        targets = [target(f"team-{number}", url=f"{webhook.url}/{number}") for number in range(len(odd))]
        rules = [
            rule(f"r{number}", f'{_quoted(name)}=~"x.\\\\.y"', targets=[f"team-{number}"])
            for number, name in enumerate(odd)
        ]
        found = world(alertmanager, targets=tuple(targets), rules=tuple(rules))
        assert found.good().undeliverable_rules == {} and found.known.routes == len(odd)
        for name in odd:
            alertmanager.send(**{"alertname": "one", name: "xx.y"})
        assert eventually(lambda: len(set(webhook.paths())) == len(odd)), webhook.paths()


def _quoted(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


@pytest.mark.parametrize("tool", [True, False], ids=["by its tool", "by reloads"])
def test_s5_a_refusal_brings_the_file_before_back_and_costs_the_culprit_alone(
    alertmanager: Alertmanager, tool: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alert_refresh.alertmanager.receivers.header_problem", lambda *_: None)
    found = world(alertmanager, tool=tool, targets=(target("team-a"), target("team-b")), rules=(EVERY,))
    found.good()
    found.targets.serve(target("team-a", headers={"X-Team": "a"}), target("team-b", headers={"Host": "b"}))
    known = found.good()
    assert known.undeliverable.keys() == {"team-b"}, "a header that it sets itself; our model was told to let it pass"
    assert found.in_sync == [True] and "X-Team" in found.file.read_text()


def test_s3_of_two_versions_the_least_able_counts(alertmanager: Alertmanager, tmp_path: Path) -> None:
    headed, odd = target("team-a", headers={"X-Team": "a"}), rule("odd", '"a.b"="x"', targets=["team-b"])
    with Alertmanager(tmp_path) as older:
        older.stop()
        alertmanager_file, older.file = older.file, alertmanager.file
        assert alertmanager_file != older.file
        older.start()
        found = world(alertmanager, older.url, targets=(headed, target("team-b")), rules=(EVERY, odd))
        known = found.good()
        assert set(known.undeliverable) == {"team-a"} and set(known.undeliverable_rules) == {"odd"}
        assert found.in_sync == [True, True]
        assert [one.version for one in known.instances][1] == "0.25.0"
        older.stop()
        known = found.refresh()
        assert set(known.undeliverable) == {"team-a"}, "one that is away counts as it last answered"
    alone = world(alertmanager, targets=(headed, target("team-b")), rules=(EVERY, odd))
    assert alone.good().undeliverable == {} and alone.known.undeliverable_rules == {}


def test_the_tools_know_what_their_versions_do(tmp_path: Path) -> None:
    for unpacked, known in ((NEWER, ALL), (None, OLD)):
        source = World(tmp_path).source
        source.amtool.path = amtool(unpacked) if unpacked else amtool()
        assert source.amtool.capabilities(Deadline(SystemClock(), 60)) == known == Capabilities(*[known.utf8] * 2)
