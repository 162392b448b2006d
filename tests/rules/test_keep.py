"""The rules' snapshot as bytes and back: they match at once, through the hot cache, or nothing is loaded."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alert_refresh.engine import Deadline, RefreshSettings, Request, Snapshot, SystemClock, Trigger
from alert_refresh.rules import Settings, protection
from alert_refresh.rules.forms import warm_file
from alert_refresh.rules.keep import RuleCodec
from alert_refresh.rules.rule_set import rule_set
from alert_refresh.rules.source import FileSource
from tests.rules.examples import packed, rule, rules

TEXT = b"""
rules:
- {id: one, family: a, match: ['severity="critical"', 'job=~"web-.*"'], targets: [slack], annotations: {a: b}}
- {id: two, family: b, enabled: false, priority: -3, description: "Two"}
"""


def source_of(file: Path) -> FileSource:
    return FileSource(file, Settings(RefreshSettings(), 300, file, 100, None), SystemClock())


def load(source: FileSource, previous: Snapshot[Any] | None = None, family: str | None = None) -> Snapshot[Any]:
    found = source.refresh(previous, Request(Trigger.MANUAL, scope=family), Deadline(SystemClock(), 30))
    return Snapshot(found.items, digest=found.digest, taken_at=found.taken_at, generation=41, memo=found.memo)


@pytest.mark.parametrize("content", [TEXT, packed(30), warm_file.pack([]), b"rules: []\n"])
def test_rules_come_back_and_match_at_once(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "rules"
    file.write_bytes(content)
    source = source_of(file)
    before = load(source)
    restarted = source_of(file)
    codec = RuleCodec(restarted)
    after = codec.load(RuleCodec(source).dump(before))
    assert dict(after.items) == dict(before.items) and list(after.items) == list(before.items)
    assert (after.digest, after.generation, after.taken_at) == (before.digest, 41, before.taken_at)
    assert codec.mark(after) == codec.mark(before)
    found, loaded = rule_set(after), rule_set(before)
    assert found is not None and loaded is not None
    assert found.families() == loaded.families() and found.by_target == loaded.by_target
    labels = {"severity": "critical", "job": "web-1", "service": "service-1"}
    assert [one.id for one in found.match(labels)] == [one.id for one in loaded.match(labels)]
    assert found.stats().size == min(100, len(before.items))


def test_a_file_that_is_the_same_is_not_parsed_again_after_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "rules"
    file.write_bytes(TEXT)
    source = source_of(file)
    after = RuleCodec(source).load(RuleCodec(source).dump(load(source)))
    assert load(source_of(file), after).memo is after.memo
    file.write_bytes(TEXT + b"- {id: three}\n")
    assert len(load(source_of(file), after).items) == 3


def test_one_family_of_a_file_is_no_whole_file_after_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "rules"
    file.write_bytes(TEXT)
    source = source_of(file)
    first = load(source)
    file.write_bytes(TEXT.replace(b"Two", b"Other").replace(b"slack", b"pager"))
    part = load(source, first, "a")
    after = RuleCodec(source).load(RuleCodec(source).dump(part))
    assert after.items["one"].targets == ("pager",) and after.items["two"].description == "Two"
    assert load(source, after).items["two"].description == "Other"


def test_a_warm_file_of_another_writer_keeps_its_own_digest(tmp_path: Path) -> None:
    """It may hold the defaults that ours leaves out: other bytes, the same rules."""
    file = tmp_path / "rules"
    body = msgspec.msgpack.encode([{"id": "one", "family": "default", "enabled": True}])
    ours = warm_file.pack([rule("one")])
    head = ours[:16] + len(body).to_bytes(8, "big")
    file.write_bytes(head + hashlib.sha256(head + body).digest() + body)
    source = source_of(file)
    before = load(source)
    assert before.digest != warm_file.digest(before.items.values())
    assert RuleCodec(source).load(RuleCodec(source).dump(before)).digest == before.digest


CODEC = RuleCodec(source_of(Path("none")))
GOOD = [7, warm_file.digest(rules(3)), 1.0, None, warm_file.pack(rules(3))]


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - which one does not matter
        CODEC.load(data)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, "7"),
        (1, warm_file.digest(rules(2))),
        (2, None),
        (3, 5),
        (4, warm_file.pack(rules(2))),
        (4, warm_file.pack(rules(3))[:-1]),
        (4, b""),
    ],
)
def test_rules_that_are_not_those_of_the_digest_are_refused(place: int, value: object) -> None:
    assert len(CODEC.load(msgspec.msgpack.encode(GOOD)).items) == 3
    with pytest.raises(ValueError):  # noqa: PT011 - which one does not matter
        CODEC.load(msgspec.msgpack.encode([*GOOD[:place], value, *GOOD[place + 1 :]]))


@pytest.mark.parametrize("bad", [[rule("not valid!")], [rule("twice"), rule("twice")]])
def test_rules_that_are_not_valid_are_refused(bad: list[Any]) -> None:
    with pytest.raises(ValueError, match="not valid"):
        CODEC.load(msgspec.msgpack.encode([7, warm_file.digest(bad), 1.0, None, warm_file.pack(bad)]))


def test_a_warm_file_with_something_else_in_it_is_refused() -> None:
    body = msgspec.msgpack.encode([{"id": 5}])
    head = warm_file.pack([rule("one")])[:16] + len(body).to_bytes(8, "big")
    data = head + hashlib.sha256(head + body).digest() + body
    with pytest.raises(ValueError, match="do not decode"):
        CODEC.load(msgspec.msgpack.encode([7, warm_file.verify(data), 1.0, None, data]))


def test_what_remains_when_held_rules_go_after_a_restart_is_kept_and_alone_matches(tmp_path: Path) -> None:
    file = tmp_path / "rules"
    file.write_bytes(packed(4))
    source = source_of(file)
    codec, served = RuleCodec(source), load(source)
    gone = next(iter(served.items))
    rest = codec.load(codec.dump(protection.drop(served, (gone,))))
    loaded = rule_set(protection.drop(served, (gone,)))
    assert loaded is not None
    assert list(rest.items) == [one for one in served.items if one != gone] == [one.id for one in loaded.all()]
    assert loaded.file is None
