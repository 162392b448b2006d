"""Log lines about attempts."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest

from alert_refresh.engine import Outcome, Publication, Result, Trigger
from alert_refresh.observe.outcomes import log_outcome, log_publication

SUCCESS = Outcome(
    "targets", Trigger.PERIODIC, "id-1", 1, Result.SUCCESS, 0.0, 0.0456, items=7, rejected=2, generation=9
)
FAILURE = replace(SUCCESS, result=Result.FAILED, error="connection refused", error_type="network")


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Any:
    caplog.set_level(logging.DEBUG)

    def tell(outcome: Outcome) -> list[tuple[str, str, Any]]:
        caplog.clear()
        log_outcome(outcome)
        return [(one.levelname, one.getMessage(), getattr(one, "alert", None)) for one in caplog.records]

    vars(tell)["caplog"] = caplog
    return tell


def test_a_success_has_its_line_and_its_fields(logged: Any) -> None:
    assert logged(SUCCESS) == [("INFO", "Targets refreshed successfully", None)]
    (record,) = logged.caplog.records
    fields = ("kind", "trigger", "request_id", "attempt", "duration_ms", "target_count", "rejected_count", "generation")
    assert [getattr(record, name) for name in fields] == ["targets", "periodic", "id-1", 1, 46, 7, 2, 9]


@pytest.mark.parametrize(("kind", "field"), [("rules", "rule_count"), ("views", "view_count")])
def test_each_kind_is_called_by_its_name(logged: Any, kind: str, field: str) -> None:
    assert logged(replace(SUCCESS, kind=kind))[0][1] == f"{kind.capitalize()} refreshed successfully"
    assert getattr(logged.caplog.records[0], field) == 7


def test_a_failure_says_when_it_is_tried_again(logged: Any) -> None:
    assert logged(replace(FAILURE, retry_in=30.0)) == [("WARNING", "Refresh failed, retrying in 30s", None)]
    (record,) = logged.caplog.records
    assert (record.error, record.error_type) == ("connection refused", "network")


def test_a_failure_that_is_not_tried_again_is_an_error(logged: Any) -> None:
    assert logged(FAILURE) == [("ERROR", "Refresh failed, no retry before the next refresh", None)]


def test_an_attempt_that_was_cancelled_is_not_a_failure(logged: Any) -> None:
    assert logged(replace(FAILURE, result=Result.CANCELLED)) == [("INFO", "Refresh cancelled", None)]


def test_a_streak_raises_one_alert_and_its_end_another(logged: Any) -> None:
    alerts = []
    for streak in range(6):
        lines = logged(replace(FAILURE, streak_before=streak, consecutive_failures=streak + 1, retry_in=1.0))
        alerts.append([line for line in lines if line[2]])
    assert alerts == [[], [], [("ERROR", "Refresh failed 3 times in a row", True)], [], [], []]
    assert logged(replace(SUCCESS, streak_before=6))[0] == ("WARNING", "Refresh recovered after 6 failures", True)
    assert len(logged(replace(SUCCESS, streak_before=2))) == 1


def test_what_a_watch_published_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "alert_refresh.refresh"):
        log_publication(Publication("targets", 7, 0.0042, 12, 1))
    (record,) = caplog.records
    shown = vars(record)
    assert (record.levelname, record.getMessage()) == ("INFO", "Targets changed")
    assert (shown["trigger"], shown["duration_ms"], shown["target_count"], shown["generation"]) == ("watch", 4, 12, 7)
