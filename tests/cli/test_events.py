"""`alert-refresh events`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from alert_refresh.cli.events import line_of
from tests.cli.stub import STREAM, Asked, Stub, event, refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

AT = "2026-11-26T01:02:03.123Z"
SYNC = {"generations": {"targets": 7, "rules": None}, "missed": False}
PUBLISHED: dict[str, Any] = {
    "kind": "targets", "generation": 7, "at": AT, "items": 12, "rejected": 0, "added": ["a", "b"],
    "removed": ["z"], "changed": [], "added_count": 2, "removed_count": 9, "changed_count": 0,
}  # fmt: skip
REFRESH = {
    "kind": "rules", "trigger": "watch", "result": "success", "attempts": 1, "duration_ms": 12, "error": None,
    "error_type": None, "next_attempt": None, "at": AT,
}  # fmt: skip
FIRST = "1764119223123.1"


def streams(*texts: bytes) -> Any:
    """Each connection gets the next of these streams, then the connection is refused for good."""
    left = iter([STREAM + text for text in texts])
    return lambda _: next(left, refusal(403, "forbidden", "The end"))


def endless(*texts: bytes) -> Any:
    left = iter(texts)

    def script(_: Asked) -> Iterator[bytes]:
        yield STREAM + next(left)
        while True:
            yield b": ping\n\n"

    return script


def test_following_prints_a_line_for_each_event_until_it_is_refused(monkeypatch: Any) -> None:
    monkeypatch.setattr("alert_refresh.cli.remote.event_stream.pause", lambda _: None)
    text = event(1, "sync", **SYNC) + event(2, "published", **PUBLISHED) + event(3, "refresh", **REFRESH)
    with Stub(streams(b"retry: 2000\n\n" + text)) as daemon:
        found = daemon.run("events", "--follow", "--kind", "targets", "--kind", "rules", "--after", "1.2")
    assert found.stdout.splitlines() == [
        "event 1764119223123.1; generations: targets 7, rules -",
        f"{AT}   targets        generation 7: 12 items: + a, + b, - z, - 8 more",
        f"{AT}   rules          refresh: success after 12 ms (watch)",
    ]
    assert found.exit_code == 4
    assert found.stderr.splitlines() == [
        "The stream has ended; connecting again in 2 s, after event 1764119223123.3",
        "Error: The end",
    ]
    assert daemon.asked[0].path == "/api/v2/events?kinds=targets%2Crules"
    assert [asked.headers["last-event-id"] for asked in daemon.asked] == ["1.2", "1764119223123.3"]


def test_without_follow_it_says_where_the_stream_is() -> None:
    with Stub(endless(event(1, "sync", **SYNC), event(1, "sync", **SYNC))) as daemon:
        found = daemon.run("events")
        as_json = daemon.run("events", "-o", "json")
    assert (found.output, found.exit_code) == ("event 1764119223123.1; generations: targets 7, rules -\n", 0)
    assert json.loads(as_json.output) == {"id": FIRST, "event": "sync", **SYNC}


def test_after_an_event_it_prints_those_that_came_since_and_filters_them() -> None:
    sync, new = event(3, "sync", **SYNC), event(2, "published", **PUBLISHED) + event(3, "refresh", **REFRESH)
    with Stub(endless(sync, new, sync, new)) as daemon:
        found = daemon.run("events", "--after", FIRST, "--json")
        other = daemon.run("events", "--after", FIRST, "--kind", "rules")
    assert [json.loads(line)["event"] for line in found.output.splitlines()] == ["published", "refresh"]
    assert other.output == f"{AT}   rules          refresh: success after 12 ms (watch)\n"
    assert found.exit_code == other.exit_code == 0
    assert [asked.path for asked in daemon.asked] == ["/api/v2/events"] * 4, "the last event may be of another kind"


def test_events_that_are_gone_are_told_and_are_a_1() -> None:
    gone = event(3, "sync", generations={"targets": 7}, missed=True)
    with Stub(endless(event(3, "sync", **SYNC), gone)) as daemon:
        found = daemon.run("events", "--after", "99.1")
    assert found.exit_code == 1
    said = "events are missing before this one; event 1764119223123.3; generations: targets 7\n"
    assert found.output == said


def test_a_refresh_that_failed_says_why_and_when_it_is_tried_again() -> None:
    failed = REFRESH | {"result": "retrying", "error": "refused", "error_type": "network", "next_attempt": AT}
    assert line_of("refresh", failed).endswith(
        f"refresh: retrying after 12 ms (watch): network: refused; next attempt at {AT}"
    )
    assert line_of("weather", {"at": AT, "kind": "sky"}) == f"{AT}   sky            weather"
    nothing = PUBLISHED | {"added": [], "removed": [], "added_count": 0, "removed_count": 0}
    assert line_of("published", nothing).endswith("generation 7: 12 items")


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("published", {}),
        ("published", PUBLISHED | {"added": [1]}),
        ("refresh", REFRESH | {"error": {}}),
        ("sync", {"generations": [], "missed": False}),
    ],
)
@pytest.mark.parametrize("more", [[], ["-o", "json"]])
def test_an_event_of_another_program_is_a_3(name: str, fields: dict[str, Any], more: list[str]) -> None:
    with Stub(streams(event(1, name, **fields))) as daemon:
        found = daemon.run("events", "--follow", *more)
    assert (found.exit_code, found.stdout) == (3, "")
    assert found.stderr == f"Error: {daemon.url} sent a malformed event, and is not alert-refresh\n"


def test_a_line_controls_no_terminal() -> None:
    hostile = event(2, "published", **PUBLISHED | {"added": ["a\x1b[2J\n"], "added_count": 1})
    with Stub(endless(event(2, "sync", **SYNC), hostile)) as daemon:
        found = daemon.run("events", "--after", FIRST)
    assert "+ a\\x1b[2J\\n, - z" in found.output and found.output.count("\n") == 1
