"""The HTTP routes of the kind `alertmanager`: refresh, status."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint

from alert_refresh.alertmanager.delivered import delivered
from alert_refresh.web import query
from alert_refresh.web.alertmanager.fields import KIND, delivery_fields
from alert_refresh.web.answers import answer
from alert_refresh.web.manual_refresh import ManualRefresh
from alert_refresh.web.status import off_fields, status_fields

if TYPE_CHECKING:
    from alert_refresh.daemon import Daemon
    from alert_refresh.web.answers import JsonResponse
    from alert_refresh.web.auth import Auth

PREFIX = "/api/v2/alertmanager"


def build(daemon: Daemon, auth: Auth, _: object) -> Blueprint:
    """The blueprint of everything below `/api/v2/alertmanager`."""
    blueprint = Blueprint(KIND, __name__, url_prefix=PREFIX)
    ask = ManualRefresh(daemon, auth, KIND, "Alertmanager")

    @blueprint.post("/refresh")
    def refresh() -> JsonResponse:
        """Deliver what is served; ?wait=10s answers with the result."""
        return ask()

    @blueprint.get("/status")
    def status() -> JsonResponse:
        """What was rendered last, which Alertmanagers run it, and what of it is undeliverable."""
        query.only()
        worker = daemon.workers.get(KIND)
        if worker is None:
            return answer(off_fields(daemon, KIND))
        now = worker.get_status()
        return answer(status_fields(worker, now, **delivery_fields(delivered(now.snapshot))))

    return blueprint
