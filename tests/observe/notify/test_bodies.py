"""The bodies, as docs/notifications.md shows them, and against what the receivers accept."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from alert_refresh.observe.notify.bodies import FORMS, body
from alert_refresh.observe.notify.notice import Notice, failing_notice, held_notice
from tests.observe.notify.hooks import failure, success
from tests.observe.notify.test_notice import held

PAGE = (Path(__file__).parents[3] / "docs" / "notifications.md").read_text()
HOST = "alerts-1:8080"
NOW = 1_700_000_130.0
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")

UNREACHABLE = "cannot connect to the API server"
AFTER = 1_700_000_300.0


def notices() -> dict[str, Notice]:
    """One notice of each sort."""
    found = {
        "failing": failing_notice(failure(3, error=UNREACHABLE), 1_700_000_000.0),
        "recovered": failing_notice(success(3), 1_700_000_000.0),
        "held": held_notice("targets", None, held(("pagerduty-oncall", "slack-platform")), NOW),
        "approved": held_notice("targets", held(("pagerduty-oncall", "slack-platform")), None, AFTER, "approved"),
    }
    return {name: notice for name, notice in found.items() if notice is not None}


def made(form: str, notice: Notice) -> Any:
    return json.loads(body(form, notice, HOST, NOW))


def shown(form: str) -> list[Any]:
    """The bodies that the page shows under the heading of a format."""
    section = PAGE[PAGE.index(f"\n## `{form}`") :].removeprefix("\n")
    section = section.partition("\n## ")[0]
    return [json.loads(text) for text in re.findall(r"```json\n(.*?)```", section, re.DOTALL)]


@pytest.mark.parametrize("form", list(FORMS))
def test_the_page_shows_real_bodies(form: str) -> None:
    examples = shown(form)
    assert len(examples) >= 2
    real = [made(form, notice) for notice in notices().values()]
    for example in examples:
        assert example in real


@pytest.mark.parametrize("name", ["failing", "recovered", "held", "approved"])
def test_every_field_of_the_generic_form_is_explained(name: str) -> None:
    fields = made("generic", notices()[name])
    table = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    assert list(fields) == table
    assert fields["version"] == "1"


def postable(alert: dict[str, Any]) -> None:
    """What the OpenAPI description of Alertmanager's API v2 asks of an alert that is posted."""
    assert alert.keys() <= {"labels", "annotations", "startsAt", "endsAt", "generatorURL"}
    for name in ("labels", "annotations"):
        assert all(isinstance(value, str) and value for value in alert[name].values())
        assert all(re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", key) for key in alert[name])
    assert all(TIME.fullmatch(alert[name]) for name in ("startsAt", "endsAt") if name in alert)
    assert alert.get("startsAt", "") <= alert["endsAt"]


@pytest.mark.parametrize("name", ["failing", "recovered", "held", "approved"])
def test_alertmanager_gets_alerts_as_its_api_describes_them(name: str) -> None:
    (alert,) = made("alertmanager", notices()[name])
    postable(alert)
    reason = "AlertRefreshHeld" if name in ("held", "approved") else "AlertRefreshFailing"
    assert alert["labels"] == {"alertname": reason, "kind": "targets", "severity": "warning", "instance": HOST}


def test_an_alert_whose_beginning_is_not_known_leaves_it_to_alertmanager() -> None:
    (alert,) = made("alertmanager", replace(notices()["recovered"], starts_at=None))
    assert "startsAt" not in alert
    postable(alert)


def test_beginning_and_end_of_an_alert_have_the_same_labels() -> None:
    for one, other in (("failing", "recovered"), ("held", "approved")):
        labels = [made("alertmanager", notices()[name])[0]["labels"] for name in (one, other)]
        assert labels[0] == labels[1]


def test_slack_reads_nothing_of_an_error_as_markup() -> None:
    notice = failing_notice(failure(3, error="<!channel> & <https://evil.example|click> *b* `c`"), None)
    assert notice is not None
    message = made("slack", notice)
    (attachment,) = message["attachments"]
    assert attachment["mrkdwn_in"] == []
    error = attachment["fields"][0]["value"]
    assert error == "&lt;!channel&gt; &amp; &lt;https://evil.example|click&gt; *b* `c`"
    assert not re.search(r"[<>]", json.dumps(message))
    assert "error" not in message["text"] and "click" not in message["text"]


def test_slack_shows_good_and_bad_in_colours_and_no_empty_field() -> None:
    colours = {name: made("slack", notice)["attachments"][0]["color"] for name, notice in notices().items()}
    assert colours["failing"] == colours["held"] != colours["recovered"] == colours["approved"]
    for notice in notices().values():
        assert all(field["value"] for field in made("slack", notice)["attachments"][0]["fields"])
    assert made("slack", notices()["failing"])["text"].startswith("[FIRING] Targets could not be refreshed 3 times")


@pytest.mark.parametrize("form", list(FORMS))
def test_a_body_is_small_ascii_and_one_line_whatever_is_in_it(form: str) -> None:
    hostile = "\ud800\x00\u202e\r\n\"'<>&" * 3000
    names = tuple(f"{number}{hostile}" for number in range(3000))
    for notice in (failing_notice(failure(3, error=hostile), None), held_notice("targets", None, held(names), NOW)):
        assert notice is not None
        text = body(form, notice, HOST, NOW)
        assert len(text) < 100_000
        assert text.isascii() and text.decode().isprintable()
        json.loads(text)


@pytest.mark.parametrize("form", ["slack", "alertmanager"])
def test_names_that_are_left_out_are_counted(form: str) -> None:
    notice = held_notice("targets", None, held(tuple(f"n{number}" for number in range(25))), NOW)
    assert notice is not None
    assert "n19, and 5 more" in json.dumps(made(form, notice))
