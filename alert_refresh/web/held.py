"""Held removals over HTTP, for every kind whose items can be held: shown in its status, approved, rejected."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

from flask import g, request

from alert_refresh.engine import NotHeld, NotStarted
from alert_refresh.kind import is_off
from alert_refresh.web import query
from alert_refresh.web.answers import answer, rfc3339
from alert_refresh.web.auth import ANONYMOUS
from alert_refresh.web.errors import ApiError
from alert_refresh.web.manual_refresh import no_body

if TYPE_CHECKING:
    from flask import Blueprint

    from alert_refresh.daemon import Daemon
    from alert_refresh.engine import Hold
    from alert_refresh.web.answers import JsonResponse
    from alert_refresh.web.auth import Auth

MAX_NAMES = 1000
"""Held names that are listed; `count` counts all."""
DONE = {"approve": "approved", "reject": "rejected"}

PROPOSAL = re.compile(r"[0-9a-f]{16}")
KEPT_WITHIN = 1.0
"""Seconds that an answer waits for a decision to be on disk, so that no crash forgets what was answered."""

log = logging.getLogger(__name__)
audit = logging.getLogger("alert_refresh.audit")


def held_fields(hold: Hold | None) -> dict[str, Any] | None:
    """Held removals as JSON fields."""
    if hold is None:
        return None
    return {
        "proposal": hold.proposal,
        "since": rfc3339(hold.since),
        "count": len(hold.names),
        "names": list(hold.names[:MAX_NAMES]),
        "rejected": hold.rejected,
    }


def add_routes(blueprint: Blueprint, daemon: Daemon, auth: Auth, kind: str) -> None:
    """Add POST /approve and /reject, both with ?proposal=HASH."""
    decide = RemovalDecisions(daemon, auth, kind)

    @blueprint.post("/approve")
    def approve() -> JsonResponse:
        """Remove now what is held; ?proposal= is the hash that the status shows."""
        return decide("approve")

    @blueprint.post("/reject")
    def reject() -> JsonResponse:
        """Keep what is held while exactly these are absent; ?proposal= is the hash that the status shows."""
        return decide("reject")


class RemovalDecisions:
    """Handles POSTs that decide about held removals of one kind; call it in a view function."""

    def __init__(self, daemon: Daemon, auth: Auth, kind: str) -> None:
        self._daemon = daemon
        self._auth = auth
        self._kind = kind

    def __call__(self, action: str) -> JsonResponse:
        """Check token and body, then `approve` or `reject` the proposal in the query; 200 with what was held.

        Raises:
            ApiError: it was refused, or nothing with this proposal is held (409); the audit log records this too.
        """
        who, result, count = ANONYMOUS, "internal_error", None
        try:
            who = self._auth.who()
            self._auth.demand_admin(who)
            no_body()
            query.only("proposal")
            hold = self._decide(action)
            result, count = DONE[action], len(hold.names)
            return answer(self._decided(action, hold))
        except ApiError as refused:
            result = refused.error
            raise
        finally:
            fields = {"request_id": g.request_id, "who": who, "ip": request.remote_addr, "kind": self._kind}
            proposal = request.args.get("proposal", "")
            fields |= {"action": f"{self._kind}.{action}", "result": result, "held_count": count}
            fields |= {"proposal": proposal if PROPOSAL.fullmatch(proposal) else None}
            audit.info("Decision about held removals requested", extra=fields)

    def _decide(self, action: str) -> Hold:
        worker = self._daemon.workers.get(self._kind)
        if worker is None:
            raise not_started(self._daemon, self._kind)
        proposal = query.required("proposal")
        try:
            return worker.decisions.approve(proposal) if action == "approve" else worker.decisions.reject(proposal)
        except NotStarted:
            raise not_started(self._daemon, self._kind) from None
        except NotHeld as error:
            raise ApiError(
                409,
                f"No removal with this proposal is held; held in the status of {self._kind} shows what is",
                error="proposal_not_held",
                fields={"held": held_fields(error.hold)},
            ) from None

    def _decided(self, action: str, hold: Hold) -> dict[str, Any]:
        keeper = self._daemon.keeper
        if keeper is not None and not keeper.keep_now(self._kind, KEPT_WITHIN):
            log.warning("A decision about held removals is not on disk yet", extra={"kind": self._kind})
        snapshot = self._daemon.workers[self._kind].get_status().snapshot
        return {
            "message": f"Removal {DONE[action]}",
            "request_id": g.request_id,
            "proposal": hold.proposal,
            "count": len(hold.names),
            "names": list(hold.names[:MAX_NAMES]),
            "generation": None if snapshot is None else snapshot.generation,
        }


def not_started(daemon: Daemon, kind: str) -> ApiError:
    """The error while the kind is off, not yet running or shutting down."""
    hint = daemon.off.get(kind)
    message = f"{is_off(kind)}: {hint}" if hint else f"The {kind} worker is not running"
    return ApiError(503, message, error="manager_not_started", retry_after=daemon.config.shutdown_timeout)
