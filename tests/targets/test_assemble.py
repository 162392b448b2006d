"""All Secrets of one list together: names, staleness, digest."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from alert_refresh.credential import Credential
from alert_refresh.engine import Fault, Rejected, Snapshot
from alert_refresh.targets.assemble import Assembled, Candidate, assemble
from alert_refresh.targets.gone import MAX_LOGGED
from alert_refresh.targets.target import Target

if TYPE_CHECKING:
    from collections.abc import Iterable

BAD = (Fault("url", "bad_url: x"),)
OLD, YOUNG = "2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z"


def valid(
    name: str, secret: str = "", *, namespace: str = "ns", created: str | int = OLD, url: str = "https://x"
) -> Candidate:
    secret = secret or name
    target = Target(name, "webhook", "webhook", Credential(url), namespace=namespace, secret=secret)
    return Candidate(namespace, secret, "", created, target)


def invalid(secret: str, faults: tuple[Fault, ...] = BAD, *, namespace: str = "ns") -> Candidate:
    return Candidate(namespace, secret, "", OLD, faults)


def snapshot(
    found: Iterable[Candidate], previous: Snapshot[Target] | None = None, now: float = 1.0
) -> Snapshot[Target]:
    items, rejected, digest = assemble(found, previous, now)
    return Snapshot(items=items, rejected=rejected, digest=digest)


def secrets(result: Assembled | Snapshot[Target]) -> list[str]:
    return [one.origin["secret"] for one in result.rejected]


def test_targets_are_served_in_the_order_of_their_names() -> None:
    assert list(assemble([valid("b"), valid("a")], None, 1.0).items) == ["a", "b"]


def test_an_invalid_secret_is_rejected_and_the_others_are_served() -> None:
    result = assemble([invalid("bad"), valid("a")], None, 1.0)
    assert list(result.items) == ["a"]
    assert result.rejected == (Rejected({"namespace": "ns", "secret": "bad"}, BAD),)


@pytest.mark.parametrize(
    ("winner", "loser"),
    [
        (valid("x", "z", created=OLD), valid("x", "a", created=YOUNG)),
        (valid("x", "a"), valid("x", "b")),
        (valid("x", "z", namespace="a"), valid("x", "a", namespace="b")),
        (valid("x", "z", created=YOUNG), valid("x", "a", created="")),
        (valid("x", "z", created="2024-01-01T01:00:00+02:00"), valid("x", "a", created="2024-01-01T00:00:00")),
        (valid("x", "z", created=1_704_067_199), valid("x", "a", created=OLD)),
        (valid("x", "z", created=OLD), valid("x", "a", created=1_704_067_201)),
        (valid("x", "a", created=1_704_067_200), valid("x", "b", created=OLD)),
        (valid("x", "z", created=YOUNG), valid("x", "a", created=0)),
    ],
)
def test_of_duplicates_the_oldest_then_the_first_wins(winner: Candidate, loser: Candidate) -> None:
    for found in ([winner, loser], [loser, winner]):
        result = assemble(found, None, 1.0)
        assert result.items == {"x": winner.result}
        assert secrets(result) == [loser.secret]
        assert result.rejected[0].faults[0].message.startswith("duplicate_name: ")


def test_of_three_with_one_name_one_wins() -> None:
    found = [valid("x", "b", created=YOUNG), valid("x", "c", created=OLD), valid("x", "a", created=YOUNG)]
    result = assemble(found, None, 1.0)
    assert result.items["x"].secret == "c"
    assert secrets(result) == ["a", "b"]


def test_a_secret_that_turns_invalid_keeps_its_last_version_as_stale() -> None:
    first = snapshot([valid("a"), valid("b")])
    second = snapshot([invalid("a"), valid("b")], first, 7.0)
    assert (second.items["a"].stale_since, second.items["a"].faults) == (7.0, BAD)
    assert second.items["a"].url == first.items["a"].url
    assert second.rejected == ()
    assert second.digest != first.digest


def test_it_is_stale_since_it_first_was_and_shows_the_faults_of_now() -> None:
    first = snapshot([valid("a")])
    second = snapshot([invalid("a")], first, 7.0)
    other = (Fault("name", "bad_name: x"),)
    third = snapshot([invalid("a", other)], second, 9.0)
    assert (third.items["a"].stale_since, third.items["a"].faults) == (7.0, other)
    assert third.digest != second.digest
    assert snapshot([invalid("a")], second, 9.0).items["a"] is second.items["a"]


def test_a_stale_target_is_removed_with_its_secret_and_recovers_with_it() -> None:
    stale = snapshot([invalid("a")], snapshot([valid("a")]))
    assert snapshot([], stale).items == {}
    assert snapshot([valid("a")], stale).items["a"].stale_since is None


def test_a_secret_with_a_new_name_loses_the_old_one_immediately() -> None:
    first = snapshot([valid("a", "s")])
    assert list(snapshot([valid("b", "s")], first).items) == ["b"]


def test_a_valid_secret_gets_the_name_of_a_stale_target() -> None:
    stale = snapshot([invalid("s")], snapshot([valid("a", "s")]))
    third = snapshot([invalid("s"), valid("a", "new", created=YOUNG)], stale)
    assert third.items["a"].secret == "new" and third.items["a"].stale_since is None
    assert secrets(third) == ["s"]


def test_who_loses_a_new_name_keeps_the_old_one_as_stale() -> None:
    first = snapshot([valid("a", "one"), valid("b", "two", created=YOUNG)])
    second = snapshot([valid("a", "one"), valid("a", "two", created=YOUNG)], first, 3.0)
    assert second.items["b"].stale_since == 3.0
    assert second.items["a"].secret == "one"
    assert second.rejected == ()


def test_a_second_object_of_the_same_secret_does_not_bring_the_old_name_back() -> None:
    first = snapshot([valid("a", "s")])
    second = snapshot([valid("b", "s"), invalid("s")], first)
    assert list(second.items) == ["b"]
    assert secrets(second) == ["s"]


def test_a_namespace_that_failed_keeps_its_targets_stale_with_the_cause() -> None:
    first = snapshot([valid("a", namespace="one"), valid("b", namespace="two"), invalid("c", namespace="one")])
    found = [valid("b", namespace="two", url="https://new")]
    result = assemble(found, first, 5.0, failed={"one": "k8s_api: answered 503"})
    assert result.items["a"].stale_since == 5.0
    assert result.items["a"].faults == (Fault("namespace", "k8s_api: answered 503"),)
    assert result.items["b"].url.reveal() == "https://new"
    assert secrets(result) == ["c"]
    again = assemble(found, Snapshot(*result), 6.0, failed={"one": "k8s_api: answered 503"})
    assert again.items is not None and again.items["a"] is result.items["a"]
    assert again.digest == result.digest


def test_a_namespace_that_failed_keeps_its_names_against_younger_claims() -> None:
    first = snapshot([valid("a", "s", namespace="one")])
    rival = valid("a", "s", namespace="two", created=YOUNG)
    result = assemble([rival], first, 5.0, failed={"one": "timeout"})
    assert result.items["a"].namespace == "one"
    assert [one.origin["namespace"] for one in result.rejected] == ["two"]


def test_a_stale_target_of_a_namespace_that_failed_yields_its_name() -> None:
    stale = snapshot([invalid("s", namespace="one")], snapshot([valid("a", "s", namespace="one")]))
    kept = assemble([], stale, 5.0, failed={"one": "timeout"})
    assert kept.items["a"].faults == (*BAD, Fault("namespace", "timeout"))
    taken = assemble([valid("a", "s", namespace="two")], stale, 5.0, failed={"one": "timeout"})
    assert taken.items["a"].namespace == "two"


def test_the_first_refresh_may_fail_in_part() -> None:
    result = assemble([valid("b", namespace="two")], None, 5.0, failed={"one": "timeout"})
    assert list(result.items) == ["b"]


def test_unreadable_parts_are_rejected() -> None:
    part = Rejected({"file": "x.yaml"}, BAD)
    result = assemble([valid("a")], None, 1.0, unreadable=[part])
    assert result.rejected == (part,)
    assert result.digest != assemble([valid("a")], None, 1.0).digest


def test_nothing_new_is_the_same_digest_and_the_same_objects() -> None:
    found = [valid("a"), valid("b"), invalid("c"), valid("d")]
    first = snapshot(found)
    second = snapshot([*found[:3], invalid("d")], first)
    third = snapshot([*found[:3], invalid("d")], second)
    assert first.digest != second.digest == third.digest
    assert all(third.items[name] is second.items[name] for name in "abd")
    fresh = snapshot([valid("a"), valid("b"), invalid("c"), valid("d")], first)
    assert fresh.digest == first.digest


def test_the_digest_knows_what_was_rejected_and_why() -> None:
    digests = {
        assemble([valid("a"), *extra], None, 1.0).digest
        for extra in ([], [invalid("b")], [invalid("c")], [invalid("b", (Fault("url", "other"),))])
    }
    assert len(digests) == 4


def test_each_newly_invalid_secret_is_a_warning_once(caplog: pytest.LogCaptureFixture) -> None:
    first = snapshot([valid("a"), invalid("b\u202e\n")])
    assert [record.getMessage() for record in caplog.records] == ["Secret is rejected: 'ns/b\\u202e\\n'"]
    assert caplog.records[0].levelno == logging.WARNING
    assert caplog.records[0].__dict__["error"] == "url: bad_url: x"
    caplog.clear()
    second = snapshot([invalid("a"), invalid("b\u202e\n")], first)
    assert [record.getMessage() for record in caplog.records] == ["Target is stale: a"]
    caplog.clear()
    snapshot([invalid("a"), invalid("b\u202e\n"), valid("c")], second)
    assert not caplog.records


def test_many_warnings_are_summed_up(caplog: pytest.LogCaptureFixture) -> None:
    assemble([invalid(f"s{n}") for n in range(MAX_LOGGED + 5)], None, 1.0)
    assert len(caplog.records) == MAX_LOGGED + 1
    assert caplog.records[-1].getMessage() == "5 more Secrets are invalid"


def gone(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [
        (record.getMessage(), vars(record)["error"])
        for record in caplog.records
        if record.getMessage().startswith("Target is gone at its source")
    ]


@pytest.mark.parametrize(
    ("now", "cause"),
    [
        ([], "its Secret was deleted, or the label selector does not select it any more"),
        ([valid("b", "s")], "its Secret is target 'b' now"),
        ([valid("a", "other", created=YOUNG)], None),
        ([invalid("s")], None),
    ],
)
def test_a_name_that_is_not_served_any_more_is_logged_once_with_its_cause(
    caplog: pytest.LogCaptureFixture, now: list[Candidate], cause: str | None
) -> None:
    caplog.set_level(logging.INFO)
    first = snapshot([valid("a", "s"), valid("z")])
    second = snapshot([*now, valid("z")], first)
    snapshot([*now, valid("z")], second)
    assert gone(caplog) == ([("Target is gone at its source: a", cause)] if cause else [])


def test_many_names_that_are_not_served_any_more_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    snapshot([], snapshot([valid(f"t{number}") for number in range(25)]))
    assert len(gone(caplog)) == 20
    assert "5 more targets are gone at their source" in caplog.messages


def test_a_source_that_has_logged_why_a_secret_is_gone_can_prevent_a_second_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    first = snapshot([valid("a"), valid("b", "s")])
    assemble([valid("c", "s")], first, 1.0, deleted=None)
    assert gone(caplog) == [("Target is gone at its source: b", "its Secret is target 'c' now")]
