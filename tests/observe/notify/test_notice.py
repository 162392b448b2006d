"""What there is to tell of outcomes and holds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from alert_refresh.engine import Hold, Result
from alert_refresh.observe.notify.notice import LONGEST, MAX_NAMES, Notice, Reason, Status, failing_notice, held_notice
from tests.observe.notify.hooks import SUCCESS, failure, success

AT = 1_700_000_500.0


def held(names: tuple[str, ...] = ("a", "b", "c"), *, rejected: bool = False) -> Hold:
    """A hold of these names."""
    return Hold(names, 1_700_000_000.0, rejected)


@pytest.mark.parametrize("streak", [1, 2])
def test_a_failure_is_nothing_to_tell_before_the_third(streak: int) -> None:
    assert failing_notice(failure(streak), AT) is None
    assert failing_notice(success(streak), AT) is None


def test_the_third_failure_in_a_row_is_told_with_its_cause() -> None:
    assert failing_notice(failure(3), AT) == Notice(
        kind="targets",
        reason=Reason.FAILING,
        status=Status.FIRING,
        summary="Targets could not be refreshed 3 times in a row",
        starts_at=AT,
        error="connection refused",
        error_type="network",
        attempts=3,
    )


def test_a_recovery_is_told_with_the_length_of_the_streak_and_its_end() -> None:
    assert failing_notice(success(3), None) is not None
    notice = failing_notice(success(7, kind="rules"), None)
    assert notice is not None
    assert (notice.key, notice.status) == (("rules", "failing"), "resolved")
    assert notice.summary == "Rules were refreshed again after 7 failures"
    assert (notice.starts_at, notice.ends_at, notice.attempts) == (None, SUCCESS.started_at + 420.5, 7)
    assert notice.error is None


def test_an_attempt_that_a_stop_cancelled_says_nothing() -> None:
    assert failing_notice(failure(5, result=Result.CANCELLED), AT) is None


def test_what_an_error_says_is_printable_and_bounded() -> None:
    notice = failing_notice(failure(3, error="a\x1b[31m\n\u202e" + "b" * 5000), AT)
    assert notice is not None and notice.error is not None
    assert notice.error.startswith("a\\x1b[31m\\n\\u202ebbb") and notice.error.isprintable()
    assert len(notice.error) <= LONGEST


def test_a_hold_is_told_with_what_would_go_and_how_to_approve_it() -> None:
    notice = held_notice("targets", None, held(), AT)
    assert notice is not None and notice.firing
    assert notice.key == ("targets", "held")
    assert notice.summary == "The removal of 3 targets is held until a refresh confirms it"
    assert (notice.names, notice.held, notice.proposal) == (("a", "b", "c"), 3, held().proposal)
    assert (notice.starts_at, notice.ends_at) == (1_700_000_000.0, None)


@pytest.mark.parametrize(
    ("ended", "said"),
    [
        ("confirmed", "was confirmed"),
        ("approved", "was approved"),
        ("returned", "has ended: what was missing is there again"),
        ("", "is not held any more"),
    ],
)
def test_the_end_of_a_hold_is_told_with_its_reason(ended: str, said: str) -> None:
    notice = held_notice("rules", held(), None, AT, ended)
    assert notice is not None and not notice.firing
    assert notice.summary == f"The removal of 3 rules {said}"
    assert (notice.starts_at, notice.ends_at) == (1_700_000_000.0, AT)


def test_a_rejected_hold_waits_for_nobody() -> None:
    rejected = held(rejected=True)
    notice = held_notice("targets", held(), rejected, AT)
    assert notice is not None
    assert notice.summary == "The removal of 3 targets was rejected: what was served stays"
    assert held_notice("targets", rejected, rejected, AT) is None
    assert held_notice("targets", rejected, None, AT, "returned") is None
    assert held_notice("targets", None, rejected, AT) is None


def test_a_proposal_is_told_once_and_another_one_again() -> None:
    assert held_notice("targets", None, None, AT) is None
    assert held_notice("targets", held(), replace(held(), since=AT), AT) is None
    notice = held_notice("targets", held(), held(("a",)), AT)
    assert notice is not None and notice.firing and notice.names == ("a",)
    assert notice.summary == "The removal of 1 target is held until a refresh confirms it"
    again = held_notice("targets", held(rejected=True), held(("z",)), AT)
    assert again is not None and again.firing


def test_of_many_names_the_first_are_told_and_the_number() -> None:
    notice = held_notice("targets", None, held(tuple(f"n{number:04}\n" for number in range(5000))), AT)
    assert notice is not None
    assert notice.names == tuple(f"n{number:04}\\n" for number in range(MAX_NAMES))
    assert notice.held == 5000
