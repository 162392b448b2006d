"""`revise` returns the result of `assemble`, or leaves the changes to it."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alert_refresh.credential import Credential
from alert_refresh.engine import Fault, Rejected, Snapshot
from alert_refresh.targets.assemble import Candidate, assemble
from alert_refresh.targets.revise import Change, revise
from alert_refresh.targets.target import Target


def target(name: str, secret: str, path: str = "x") -> Target:
    return Target(
        name, "webhook", "webhook", Credential(f"https://example.com/{path}"), True, {}, {}, "default", secret
    )


def candidate(secret: str, name: str | None, path: str = "x", created: str = "") -> Candidate:
    result = (Fault("name", "schema: is bad"),) if name is None else target(name, secret, path)
    return Candidate("default", secret, f"uid-{secret}", created, result)


def snapshot(candidates: Any, previous: Snapshot[Target] | None = None, now: float = 1.0) -> Snapshot[Target]:
    items, rejected, digest = assemble(candidates, previous, now)
    return Snapshot(items, rejected, digest)


def changes(before: dict[str, Candidate], after: dict[str, Candidate]) -> list[Change]:
    return [
        Change(before.get(key), after.get(key))
        for key in sorted(before.keys() | after.keys())
        if before.get(key) is not after.get(key)
    ]


secrets = st.sampled_from(["s1", "s2", "s3", "s4"])
names = st.none() | st.sampled_from(["a", "b", "c"])
paths = st.sampled_from(["x", "y"])
worlds = st.dictionaries(secrets, st.tuples(names, paths), max_size=4)


def build(world: dict[str, tuple[str | None, str]], old: dict[str, Candidate]) -> dict[str, Candidate]:
    """Candidates of a world; those that did not change are the same objects, as after a list."""
    built = {}
    for secret, (name, path) in world.items():
        new = candidate(secret, name, path)
        built[secret] = old[secret] if old.get(secret) == new else new
    return built


@given(worlds, worlds, worlds)
def test_it_is_what_assemble_makes_of_all_or_left_to_it(first: Any, second: Any, third: Any) -> None:
    known = build(first, {})
    served = snapshot(known.values())
    for world in (second, third):
        after = build(world, known)
        whole = assemble(after.values(), served, 2.0)
        revised = revise(served, changes(known, after))
        if revised is not None:
            assert dict(revised.items) == dict(whole.items)
            assert list(revised.items) == sorted(revised.items)
            assert revised.rejected == whole.rejected
            assert revised.digest == whole.digest
        served, known = Snapshot(whole.items, whole.rejected, whole.digest), after


def test_a_change_an_arrival_and_a_departure_are_revised() -> None:
    known = {key: candidate(key, name) for key, name in (("s1", "a"), ("s2", "c"), ("s3", "d"))}
    served = snapshot(known.values())
    after = {"s1": candidate("s1", "a", "y"), "s2": known["s2"], "s4": candidate("s4", "b")}
    revised = revise(served, changes(known, after))
    assert revised is not None
    assert list(revised.items) == ["a", "b", "c"]
    assert revised.items["a"].url.reveal() == "https://example.com/y"
    assert revised.digest == assemble(after.values(), served, 2.0).digest
    assert list(served.items) == ["a", "c", "d"]


def test_a_name_may_move_from_one_secret_to_another() -> None:
    known = {"s1": candidate("s1", "a")}
    revised = revise(snapshot(known.values()), changes(known, {"s2": candidate("s2", "a")}))
    assert revised is not None and revised.items["a"].secret == "s2"


def test_what_concerns_others_is_left_to_assemble() -> None:
    one, two = candidate("s1", "a"), candidate("s2", "b")
    served = snapshot([one, two])
    assert revise(served, [Change(one, candidate("s1", None))]) is None
    assert revise(served, [Change(None, candidate("s3", "a"))]) is None
    assert revise(served, [Change(candidate("s1", "a"), None)]) is None
    assert revise(served, [Change(None, candidate("s3", "c")), Change(None, candidate("s4", "c"))]) is None
    loser = snapshot([one, two, candidate("s3", "a")])
    assert revise(loser, [Change(one, None)]) is None
    assert revise(loser, [Change(two, candidate("s2", "b", "y"))]) is not None
    stale = snapshot([candidate("s1", None), two], served)
    assert revise(stale, [Change(two, None)]) is None
    assert revise(stale, [Change(candidate("s1", None), one)]) is None
    assert isinstance(loser.rejected[0], Rejected)


@pytest.mark.parametrize(
    ("after", "cause"), [(None, "its Secret was deleted, or the label"), ("b", "its Secret is target 'b' now")]
)
def test_a_name_that_is_not_served_any_more_is_logged(
    caplog: pytest.LogCaptureFixture, after: str | None, cause: str
) -> None:
    caplog.set_level(logging.INFO)
    known = {"s": candidate("s", "a"), "t": candidate("t", "z")}
    served = snapshot(known.values())
    then = {"t": known["t"]} | ({"s": candidate("s", after)} if after else {})
    assert revise(served, changes(known, then)) is not None
    [record] = caplog.records
    assert record.getMessage() == "Target is gone at its source: a"
    assert vars(record)["error"].startswith(cause)
