"""Server-sent events: lines to events, streams that are lost and resumed, and those read up to now."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alert_refresh.cli.remote import event_stream
from alert_refresh.cli.remote.client import Client, Failed
from alert_refresh.cli.remote.event_stream import Event, Lines, follow, until_now
from alert_refresh.cli.remote.server_url import parse
from tests.cli.stub import STREAM, Asked, Stub, answer, event, raw, refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

PING = b": ping\n\n"
POSITION = "1764119223123."
SYNC = {"generations": {"targets": 1, "rules": None}, "missed": False}


def events_of(text: bytes, lines: Lines | None = None) -> list[Event]:
    lines = lines or Lines()
    return [one for line in text.splitlines(keepends=True) if (one := lines.feed(line)) is not None]


def test_an_event_is_its_id_its_name_and_its_data() -> None:
    assert events_of(event(1, "published", kind="targets") + event(2, "refresh")) == [
        Event(f"{POSITION}1", "published", {"kind": "targets"}),
        Event(f"{POSITION}2", "refresh", {}),
    ]


def test_data_of_several_lines_is_joined_and_line_ends_may_be_two_bytes() -> None:
    assert events_of(b'data: {"a":\r\ndata:1}\r\n\r\n') == [Event("", "message", {"a": 1})]


def test_a_comment_and_an_id_alone_are_no_event_but_the_id_counts() -> None:
    lines = Lines("before.1")
    assert events_of(b": ping\nid: after.2\n\nunknown: x\nlonely\n\n", lines) == []
    assert lines.last_id == "after.2"
    events_of(b"id: a\0b\n\n" + "id: é\n\n".encode(), lines)
    assert lines.last_id == "after.2"


def test_the_server_says_when_to_connect_again_within_limits() -> None:
    lines = Lines()
    for text, seconds in ((b"500", 0.5), (b"x", 0.5), (b"99999999999999999999", 30.0), (b"-1", 30.0)):
        lines.feed(b"retry: " + text + b"\n")
        assert lines.retry == seconds


@pytest.mark.parametrize("data", [b"data: {\n\n", b"data: 1\n\n"])
def test_malformed_data_is_an_error(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of several types, all of them malformed
        events_of(data)


@given(st.lists(st.dictionaries(st.text(), st.text())), st.randoms())
def test_events_survive_any_comments_between_them(sent: list[dict[str, str]], random: Any) -> None:
    text = b"".join(
        event(number, "x", data=one) + random.choice([b"", PING, b":\n", b"retry: 1\n\n"])
        for number, one in enumerate(sent)
    )
    assert [one.data["data"] for one in events_of(text)] == sent


@given(st.binary())
def test_any_bytes_are_events_or_an_error(text: bytes) -> None:
    lines = Lines()
    for line in text.splitlines(keepends=True):
        try:
            lines.feed(line)
        except ValueError:
            return


class Told:
    """What was told, and the pauses that were asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.said: list[str] = []
        self.pauses: list[float] = []
        monkeypatch.setattr(event_stream, "pause", self.pauses.append)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    return Told(monkeypatch)


def in_turn(*scripts: Any) -> Any:
    """Each connection is answered by the next of these."""
    left: Iterator[Any] = iter(scripts)
    return lambda asked: next(left)(asked)


def scripted(*answers: bytes) -> Any:
    """Each connection gets the next of these answers."""
    return in_turn(*(lambda _, one=one: one for one in answers))


def test_a_stream_that_ends_is_resumed_after_the_last_event_and_that_is_told(told: Told) -> None:
    first = STREAM + b"retry: 100\n\n" + event(1, "sync", **SYNC) + event(2, "refresh", n=2) + b"id: half\ndata: {"
    script = scripted(first, refusal(503, "too_many_streams", "Too many", Retry_After="5"), b"", STREAM, STREAM +
                      event(3, "refresh", n=3), refusal(403, "forbidden"))  # fmt: skip
    with Stub(script) as stub:
        followed = follow(Client(parse(stub.url)), {"kinds": "rules"}, "", told.said.append)
        found = [next(followed).data.get("n") for _ in range(3)]
        with pytest.raises(Failed, match="No"):
            next(followed)
    assert found == [None, 2, 3]
    assert [asked.path for asked in stub.asked] == ["/api/v2/events?kinds=rules"] * 6
    sent = [asked.headers.get("last-event-id") for asked in stub.asked]
    assert sent == [None, *[f"{POSITION}2"] * 4, f"{POSITION}3"]
    assert told.pauses == [0.1, 5.0, 8.0, 16.0, 0.1]
    assert told.said[0] == "The stream has ended; connecting again in 0.1 s, after event 1764119223123.2"
    assert told.said[1] == "Too many; try again in 5 s; connecting again in 5 s, after event 1764119223123.2"
    assert "closed the connection without an answer" in told.said[2]


def test_without_a_first_connection_there_is_nothing_to_resume(told: Told) -> None:
    for answered, status in ((b"", 3), (refusal(503, "too_many_streams", Retry_After="5"), 6)):
        with Stub(scripted(answered)) as stub, pytest.raises(Failed) as failed:
            next(follow(Client(parse(stub.url)), {}, "", told.said.append))
        assert failed.value.exit_code == status and told.pauses == []


def test_a_daemon_that_falls_silent_counts_as_lost(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "SILENCE", 2.0)
    stopped = threading.Event()

    def silent(_: Asked) -> Iterator[bytes]:
        yield STREAM
        stopped.wait(20)

    with Stub(in_turn(silent, lambda _: STREAM + event(7, "refresh"))) as stub:
        found = next(follow(Client(parse(stub.url)), {}, "a.1", told.said.append))
        stopped.set()
    assert found.id == f"{POSITION}7"
    assert told.said == [f"The connection to {stub.url} was lost; connecting again in 2 s, after event a.1"]


def test_a_malformed_event_ends_it(told: Told) -> None:
    nested = b"data: " + b"[" * 200_000 + b"\n\n"
    for text in (b"data: [1]\n\n", event(1, "x") + nested):
        script = scripted(STREAM + text, refusal(403, "forbidden"))
        with Stub(script) as stub, pytest.raises(Failed, match="sent a malformed event") as failed:
            list(follow(Client(parse(stub.url)), {}, "", told.said.append))
        assert failed.value.exit_code == 3 and told.said == []


def test_what_is_no_stream_is_told(told: Told) -> None:
    page = raw(b"<html>", Content_Type="text/html")
    for answered, said in ((page, "which is not alert-refresh"), (answer({}), "answered no stream of events")):
        with Stub(scripted(answered)) as stub, pytest.raises(Failed, match=said):
            next(follow(Client(parse(stub.url)), {}, "", told.said.append))


def endless(text: bytes) -> Any:
    """A stream that goes on, until the client is gone."""

    def script(_: Asked) -> Iterator[bytes]:
        yield STREAM + text
        while True:
            yield PING

    return script


def test_up_to_now_is_up_to_the_position_of_a_new_stream() -> None:
    missed = endless(event(5, "refresh", n=5) + event(6, "refresh", n=6) + event(7, "refresh", n=7) + event(8, "x"))
    with Stub(in_turn(endless(event(7, "sync", **SYNC)), missed)) as stub:
        found = list(until_now(Client(parse(stub.url)), f"{POSITION}4"))
    assert [one.data["n"] for one in found] == [5, 6, 7]
    assert stub.asked[1].headers["last-event-id"] == f"{POSITION}4"


def test_up_to_now_there_may_be_nothing_and_without_a_position_it_is_told() -> None:
    with Stub(endless(event(7, "sync", **SYNC))) as stub:
        client = Client(parse(stub.url))
        assert list(until_now(client, f"{POSITION}7")) == []
        assert list(until_now(client, "")) == [Event(f"{POSITION}7", "sync", SYNC)]


def test_events_that_are_gone_end_with_a_sync() -> None:
    gone = endless(event(9, "sync", generations={}, missed=True))
    with Stub(in_turn(endless(event(9, "sync", **SYNC)), gone)) as stub:
        [found] = until_now(Client(parse(stub.url)), "99.1")
    assert found.data["missed"] is True


def test_a_stream_that_ends_too_early_is_an_error() -> None:
    with Stub(scripted(STREAM)) as stub, pytest.raises(Failed, match="sent no position"):
        list(until_now(Client(parse(stub.url)), ""))
    short = scripted(STREAM + event(9, "sync", **SYNC), STREAM + event(3, "x"))
    with Stub(short) as stub, pytest.raises(Failed, match="ended before it was read up to now"):
        list(until_now(Client(parse(stub.url)), "a.1"))
    assert event_stream._number("x") == -1 and event_stream._number("a." + "9" * 5000) == 10**18 - 1


def test_up_to_now_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "UP_TO_NOW", 2.0)
    with Stub(endless(b"")) as stub, pytest.raises(Failed, match="was lost"):
        list(until_now(Client(parse(stub.url)), ""))
