"""Lines of a watch are events, or require a relist."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alert_refresh.targets.kubernetes import events as watch_events
from alert_refresh.targets.kubernetes.events import Lines, RelistNeeded, decode

SECRET = {"metadata": {"name": "a", "namespace": "n", "uid": "u", "resourceVersion": "7"}, "data": {"k": "YQ=="}}


def line(kind: Any, document: Any) -> bytes:
    return json.dumps({"type": kind, "object": document}).encode()


@pytest.mark.parametrize("kind", ["ADDED", "MODIFIED", "DELETED"])
def test_a_change_has_its_secret_and_version(kind: str) -> None:
    found, version, secret = decode(line(kind, SECRET))
    assert (found, version) == (kind, "7")
    assert secret is not None and secret.metadata.uid == "u"


def test_a_bookmark_has_a_version_and_no_secret() -> None:
    bookmark = line("BOOKMARK", {"kind": "Secret", "metadata": {"resourceVersion": "9", "creationTimestamp": None}})
    assert decode(bookmark) == ("BOOKMARK", "9", None)


@pytest.mark.parametrize(
    "text",
    [
        b"null", b"[]", b"garbage", b"{", b'\xef\xbb\xbf{"type":"BOOKMARK"}', b"{}", b'{"object":{}}',
        line("CHANGED", SECRET), line("added", SECRET), line(None, SECRET), line("ADDED", None), line("ADDED", {}),
        line("ADDED", {"metadata": {}}), line("ADDED", SECRET | {"metadata": SECRET["metadata"] | {"uid": ""}}),
        line("ADDED", SECRET | {"metadata": SECRET["metadata"] | {"resourceVersion": ""}}),
        line("BOOKMARK", {}), line("BOOKMARK", {"metadata": {}}), b'{"type":"ADDED"}', b'{"type":"BOOKMARK"}',
        line("ERROR", {"kind": "Status", "code": 410}), line("ERROR", {"code": 999}), line("ERROR", "odd"),
        b"[" * 100_000, line("ADDED", SECRET).replace(b'"uid"', b'"namespace":"\xff","uid"'),
    ],
)  # fmt: skip
def test_anything_else_requires_a_relist(text: bytes) -> None:
    with pytest.raises(RelistNeeded):
        decode(text)


def test_the_reason_of_a_relist_has_the_servers_code_and_none_of_its_text() -> None:
    with pytest.raises(RelistNeeded, match=r"^the API server ended the watch with code 410$"):
        decode(line("ERROR", {"code": 410, "message": "canary"}))


@given(st.binary(max_size=200))
def test_any_bytes_are_an_event_or_require_a_relist(text: bytes) -> None:
    with contextlib.suppress(RelistNeeded):
        decode(text)


@given(st.lists(st.binary(max_size=20).filter(lambda one: b"\n" not in one), max_size=6), st.data())
def test_lines_are_the_same_however_they_come(texts: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(text + b"\n" for text in texts) + b"rest"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    lines = Lines()
    pieces = [stream[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    found = [bytes(one) for piece in pieces for one in lines.feed(piece)]
    assert found == [text for text in texts if text.strip()]
    assert lines.torn


def test_a_line_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_events, "MAX_LINE", 10)
    assert list(Lines().feed(b"0123456789\n")) == [b"0123456789"]
    with pytest.raises(RelistNeeded):
        list(Lines().feed(b"01234567890\n"))
    with pytest.raises(RelistNeeded):
        list(Lines().feed(b"01234567890"))


def test_blank_lines_are_nothing_and_leave_nothing_torn() -> None:
    lines = Lines()
    assert not list(lines.feed(b"\n \r\n  "))
    assert not lines.torn
