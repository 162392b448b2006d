"""Every error type has a sentence, and every section that is named exists."""

from __future__ import annotations

import re

from alert_refresh import daemon
from alert_refresh.web.page import causes, runbook

ALL = [one for kind in causes.CAUSES.values() for one in kind.values()] + [causes.OTHER, *causes.STATES.values()]


def test_every_error_type_of_every_kind_has_a_cause_and_no_other_has() -> None:
    for kind in daemon.KINDS:
        assert set(causes.CAUSES[kind.name]) == set(kind.error_types), kind.name


def test_every_section_that_is_named_exists() -> None:
    for cause in ALL:
        page, _, anchor = cause.section.partition("#")
        assert f' id="{anchor}"' in runbook.render(page).decode(), cause.section


def test_what_an_alert_tells_too_leads_to_the_section_of_that_alert() -> None:
    told = {"breaker": "breakeropen", "held": "held", "outdated": "nosuccess", "stuck": "unhealthy"}
    for state, alert in told.items():
        assert causes.STATES[state].section == f"runbook-alerts.md#alertrefresh{alert}"


def test_every_cause_is_a_sentence() -> None:
    for cause in ALL:
        assert re.fullmatch(r"[A-Z].*\.", cause.sentence), cause


def test_every_sentence_suits_one_and_many() -> None:
    counted = ("held", "kept", "dangling", "undeliverable", "unrouted", "view", "stale", "rejected")
    for state in counted:
        assert not re.search(r"(?i)\b(they|them|their)\b", causes.STATES[state].sentence), state
