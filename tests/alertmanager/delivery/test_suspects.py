"""What may be the cause of a refusal, and configurations with some parts only."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from alert_refresh.alertmanager.delivered import Delivered, Tried
from alert_refresh.alertmanager.delivery.round import Round, excluding
from alert_refresh.alertmanager.delivery.suspects import Alone, bare, suspects, with_only
from alert_refresh.alertmanager.inputs import Inputs
from alert_refresh.alertmanager.render import render
from tests.alertmanager.amtool import accepted
from tests.alertmanager.examples import ALL, plain_template, rule, target

if TYPE_CHECKING:
    from pathlib import Path

    from alert_refresh.rules.rule import Rule
    from alert_refresh.targets.target import Target

VERSIONS = ("0.25.0",)
A, B = target("a"), target("b")
RULE_A, RULE_B = rule("a", 'x="1"', targets=["a"]), rule("b", 'x="2"', targets=["b"])


def work(targets: tuple[Target, ...], rules: tuple[Rule, ...] = (), **more: Any) -> Round:
    inputs = Inputs(plain_template(), {one.name: one for one in targets}, rules, capabilities=ALL)
    before = more.pop("before", Delivered())
    return Round(before, inputs, render(inputs), None, (), VERSIONS, {}, **more)


def verified(one: Round) -> Delivered:
    """What is known once this was delivered."""
    contents = {name: target.digest for name, target in one.inputs.targets.items()}
    return Delivered(verified=one.rendering, versions=VERSIONS, inputs=one.inputs, contents=contents)


@pytest.mark.parametrize(
    ("versions", "said"),
    [
        (("0.25.0", None, "0.25.0"), "Alertmanager 0.25.0 refuses"),
        (("0.25.0", "0.28.1"), "an Alertmanager (one of 0.25.0, 0.28.1) refuses"),
        ((None,), "Alertmanager of an unknown version refuses"),
    ],
)
def test_a_fault_does_not_say_of_every_version_that_it_refuses_a_culprit(
    versions: tuple[str | None, ...], said: str
) -> None:
    left_out = excluding(work((A, B)).inputs, {"target:a": Tried("a", versions)}, versions)
    [fault] = left_out.excluded_targets["a"]
    assert fault.message == f"undeliverable: {said} the configuration with it"


def test_first_what_changed_and_then_everything() -> None:
    before = verified(work((A, B), (RULE_A,)))
    changed = work((A, target("b", url="https://new.example.com/")), (RULE_A, RULE_B), before=before)
    assert suspects(changed) == [["target:b", "rule:b"], ["target:a", "target:b", "rule:a", "rule:b"]]


def test_everything_after_a_start_with_another_version_or_if_nothing_changed() -> None:
    before = verified(work((A, B)))
    every = [["target:a", "target:b"]]
    assert suspects(work((A, B))) == every
    assert suspects(replace(work((A, B), before=before), versions=("0.26.0",))) == every
    assert suspects(work((A, B), before=before)) == every


def test_what_passed_in_a_search_before_is_suspected_last() -> None:
    known = work((A, B))
    passed = {"target:a": Tried(known.rendering.parts["target:a"], VERSIONS), "target:b": Tried("other", VERSIONS)}
    assert suspects(replace(known, passed=passed)) == [["target:b"], ["target:a", "target:b"]]


def test_parts_of_the_same_shape_stand_together() -> None:
    odd = [target(f"t{number}", headers={"X-A": "1"} if number % 2 else {}) for number in range(6)]
    rules = tuple(rule(f"r{number}", f'{"xy"[number % 2]}="1"', targets=["t0"]) for number in range(4))
    rules += (rule("r4", r'x=~"\\p{Kawi}a"', targets=["t0"]), rule("r5", r'a=~"\\p{Toto}"', targets=["t0"]))
    [every] = suspects(work(tuple(odd), rules))
    assert every == [f"target:t{n}" for n in (0, 2, 4, 1, 3, 5)] + [f"rule:r{n}" for n in (0, 2, 1, 3, 5, 4)]


def test_what_is_not_accepted_is_as_it_was_delivered_or_not_there() -> None:
    old = work((target("a", url="https://old.example.com/"), B), (RULE_A,))
    new = work(
        (target("a", url="https://new.example.com/"), B, target("c")),
        (rule("a", 'x="3"', targets=["a"]), RULE_B),
        before=verified(old),
    )
    parts = ["target:a", "target:c", "rule:a", "rule:b"]
    assert with_only(new, parts, ()) == old.rendering.text
    assert with_only(new, parts, parts) == new.rendering.text
    some = with_only(new, parts, ("target:c", "rule:b"))
    assert b"old.example" in some and b"new.example" not in some
    assert b'refresh/c"' in some and b'x="1"' in some and b'x="2"' in some
    assert b'refresh/b"' not in with_only(new, ["target:b"], ()), "the same as it was delivered is what is suspected"


def test_holding_something_that_is_delivered_as_it_is_would_take_it_away() -> None:
    new = work((A, target("b", url="https://new.example.com/")), before=verified(work((A, B))))
    assert new.loses(["target:a"]) and not new.loses(["target:b"])
    start = work((A, B))
    assert not start.loses(["target:a"]) and not replace(start, good=b"route: {}").loses(["target:a"])
    assert replace(start, good=start.rendering.text).loses(["target:a"])


def test_a_part_alone_is_a_whole_configuration(tmp_path: Path) -> None:
    one = work((A, B), (RULE_A, RULE_B))
    alone = Alone(one)
    for part, there in (("target:a", b"hooks.example.com"), ("rule:b", b"http://127.0.0.1/")):
        text = alone.with_parts([part])
        assert text.count(b'name: "alert-refresh/') == 1 and there in text
        assert accepted(tmp_path, replace(one.rendering, text=text))
    assert b"routes" in alone.with_parts(["rule:a"]) and b"routes" not in alone.with_parts(["target:a"])
    assert b"alert-refresh/" not in bare(one) and accepted(tmp_path, replace(one.rendering, text=bare(one)))
