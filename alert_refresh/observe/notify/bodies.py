"""Notices as the bodies of POST requests: the form of this program, of Slack's webhooks, of Alertmanager's API."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from alert_refresh import __version__
from alert_refresh.observe.formats import timestamp
from alert_refresh.observe.notify.notice import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from alert_refresh.observe.notify.notice import Notice

VERSION = "1"
"""The version of the generic form; fields may be added to it, none is changed or removed."""
GENERATOR = f"alert-refresh/{__version__}"
REPEAT = 60.0
"""Seconds after which Alertmanager is told again that an alert fires."""
LASTS = 4 * REPEAT
"""Seconds after which Alertmanager resolves an alert of which it is not told again, as Prometheus has it."""
SEVERITY = "warning"

ALERTS: Mapping[Reason, str] = MappingProxyType(
    {Reason.FAILING: "AlertRefreshFailing", Reason.HELD: "AlertRefreshHeld"}
)
RED, GREEN = "#d00000", "#2eb886"


def body(form: str, notice: Notice, host: str, now: float) -> bytes:
    """The JSON of a notice in that form. `host` is where the program runs, `now` is Unix seconds."""
    return json.dumps(FORMS[form](notice, host, now)).encode("ascii")


def _generic(notice: Notice, host: str, _: float) -> dict[str, Any]:
    return {
        "version": VERSION,
        "status": notice.status,
        "kind": notice.kind,
        "reason": notice.reason,
        "summary": notice.summary,
        "error_type": notice.error_type,
        "error": notice.error,
        "attempts": notice.attempts,
        "proposal": notice.proposal,
        "held": notice.held,
        "names": list(notice.names),
        "since": _time(notice.starts_at),
        "ended": _time(notice.ends_at),
        "host": host,
        "generator": GENERATOR,
    }


def _slack(notice: Notice, host: str, _: float) -> dict[str, Any]:
    fields = {
        "Error": notice.error,
        "Type": notice.error_type,
        "Names": _listed(notice),
        "Proposal": notice.proposal,
        "Since": _time(notice.starts_at),
        "Host": host,
    }
    attachment = {
        "color": RED if notice.firing else GREEN,
        "fallback": _slack_text(notice.summary),
        # Empty: what an error says is not to be read as markup.
        "mrkdwn_in": [],
        "fields": [
            {"title": title, "value": _slack_text(value), "short": title in ("Type", "Proposal", "Since", "Host")}
            for title, value in fields.items()
            if value
        ],
        "footer": GENERATOR,
    }
    return {"text": _slack_text(f"[{notice.status.upper()}] {notice.summary}"), "attachments": [attachment]}


def _alertmanager(notice: Notice, host: str, now: float) -> list[dict[str, Any]]:
    labels = {"alertname": ALERTS[notice.reason], "kind": notice.kind, "severity": SEVERITY, "instance": host}
    annotations = {
        "summary": notice.summary,
        "error": notice.error,
        "error_type": notice.error_type,
        "names": _listed(notice),
        "proposal": notice.proposal,
        "generator": GENERATOR,
    }
    alert: dict[str, Any] = {
        "labels": labels,
        "annotations": {name: text for name, text in annotations.items() if text},
        # Not before the beginning, even if the clock was set back meanwhile: that would be refused.
        "endsAt": _time(max(now + LASTS if notice.ends_at is None else notice.ends_at, notice.starts_at or 0.0)),
    }
    if notice.starts_at is not None:
        alert["startsAt"] = _time(notice.starts_at)
    return [alert]


FORMS: Mapping[str, Callable[[Notice, str, float], Any]] = MappingProxyType(
    {"generic": _generic, "slack": _slack, "alertmanager": _alertmanager}
)


def _listed(notice: Notice) -> str:
    """The names as one text, with the number of those that are left out."""
    more = (notice.held or 0) - len(notice.names)
    return ", ".join((*notice.names, *([f"and {more} more"] if more > 0 else [])))


def _slack_text(text: str) -> str:
    """The three characters that Slack reads as markup wherever they are."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else timestamp(seconds)
