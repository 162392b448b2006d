"""Which nameless object is which Secret that the file held."""

from __future__ import annotations

import json
from typing import Any

from alert_refresh.engine import Fault
from alert_refresh.targets.assemble import Candidate
from alert_refresh.targets.folder.recognise import Nameless, recognise
from alert_refresh.targets.secret.parse import parse
from alert_refresh.targets.target import Target
from tests.targets.folder.folders import CANARY, config

FAULTS = (Fault("metadata.name", "schema: is required"),)


def target(name: str, **changes: Any) -> Target:
    found = parse({"config": json.dumps(config(name, **changes)).encode()}, namespace="default", secret=name)
    assert isinstance(found, Target)
    return found


def lost(name: str, number: int) -> Candidate:
    return Candidate("default", name, f"f#{number}", "", target(name))


def nameless(number: int, name: str | None = None, result: Any = ()) -> Nameless:
    return Nameless(f"f#{number}", number, FAULTS, name, result)


def pairs(objects: list[Nameless], secrets: list[Candidate]) -> dict[int, str | None]:
    return {one.number: secret.secret if secret else None for one, secret in recognise(objects, secrets)}


def test_without_missing_secrets_or_nameless_objects_there_is_no_pair() -> None:
    assert pairs([], [lost("a", 1)]) == {}
    assert pairs([nameless(1), nameless(2)], []) == {1: None, 2: None}


def test_a_name_counts_before_content_and_content_before_the_place() -> None:
    secrets = [lost("a", 1), lost("b", 2), lost("c", 3)]
    objects = [nameless(1, None, target("c")), nameless(2, "a", target("b")), nameless(3)]
    assert pairs(objects, secrets) == {1: "c", 2: "a", 3: "b"}


def test_the_place_counts_before_what_is_left_over() -> None:
    assert pairs([nameless(2), nameless(7)], [lost("a", 1), lost("b", 2)]) == {2: "b", 7: "a"}
    assert pairs([nameless(5), nameless(7)], [lost("a", 1)]) == {5: "a", 7: None}


def test_two_of_the_same_content_are_two() -> None:
    same = [Candidate("default", name, f"f#{name}", "", target("x")) for name in ("a", "b")]
    found = pairs([nameless(8, None, target("y")), nameless(9, None, target("x"))], same)
    assert sorted(map(str, found.values())) == ["a", "b"]


def test_the_same_object_has_the_same_key_at_any_position_and_the_key_reveals_nothing() -> None:
    one = nameless(1, None, target("a"))
    assert one.key == nameless(2, None, target("a")).key
    assert one.key != nameless(1, None, target("a", enabled=False)).key
    assert one.key != nameless(1, "a", target("a")).key
    assert CANARY not in repr(one.key)


def test_content_is_compared_without_the_name_of_a_target() -> None:
    url = "https://one.example.com"
    secrets = [lost("a", 1), Candidate("default", "b", "f#2", "", target("b", url=url))]
    assert pairs([nameless(9, None, target("unknown", url=url))], secrets) == {9: "b"}
