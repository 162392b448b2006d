"""A manual refresh over HTTP, the same for every kind: token, body, accept, audit, and the wait for its result."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from flask import g, request
from werkzeug.exceptions import RequestEntityTooLarge

from alert_refresh.engine import NotStarted, RateLimitExceeded, RefreshInProgress
from alert_refresh.web import query
from alert_refresh.web.answers import answer, rfc3339
from alert_refresh.web.auth import ANONYMOUS
from alert_refresh.web.errors import ApiError, bad_request, whole_seconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from alert_refresh.daemon import Daemon
    from alert_refresh.engine import Outcome, Request
    from alert_refresh.web.answers import JsonResponse
    from alert_refresh.web.auth import Auth

WAIT_LIMIT = 60.0
"""Seconds that `?wait=` may ask for."""
PERIODS = {1.0: "second", 60.0: "minute", 3600.0: "hour", 86400.0: "day"}

audit = logging.getLogger("alert_refresh.audit")


class ManualRefresh:
    """Answers POSTs that ask for a refresh of one kind; call it in a route.

    `noun` names one item of the kind in messages, such as `Target`. `observe(result, seconds)` is told how
    each was answered: `accepted` or an error code.
    """

    def __init__(
        self,
        daemon: Daemon,
        auth: Auth,
        kind: str,
        noun: str,
        observe: Callable[[str, float], None] | None = None,
    ) -> None:
        self._daemon = daemon
        self._auth = auth
        self._kind = kind
        self._noun = noun
        self._observe = observe

    def __call__(self, scope: Callable[[], str | None] = lambda: None) -> JsonResponse:
        """202 once it is accepted; with `?wait=` 200 with its result if it is over in that time.

        Raises:
            ApiError: it was refused.
        """
        accepted, seconds = self.accept(scope)
        if seconds is not None and self._daemon.clock.wait(accepted.done, seconds):
            if accepted.outcome is None:
                raise self._not_started()
            return answer(finished(accepted, accepted.outcome))
        return answer(started(accepted), 202)

    def accept(self, scope: Callable[[], str | None]) -> tuple[Request, float | None]:
        """Check token and body, then ask the engine. Returns the request and the seconds to wait for it, if asked.

        `scope` reads from the query what of the kind is to be refreshed, once the token is good.

        Raises:
            ApiError: it was refused; the audit log has it all the same.
        """
        begun = self._daemon.clock.monotonic()
        who, result = ANONYMOUS, "internal_error"
        try:
            who = self._auth.who()
            self._auth.demand_admin(who)
            no_body()
            seconds = query.duration("wait", WAIT_LIMIT)
            accepted = self._ask(scope())
            result = "accepted"
            return accepted, seconds
        except ApiError as refused:
            result = refused.error
            raise
        finally:
            fields = {"request_id": g.request_id, "who": who, "ip": request.remote_addr, "kind": self._kind}
            audit.info("Refresh asked for", extra=fields | {"action": f"{self._kind}.refresh", "result": result})
            if self._observe is not None:
                self._observe(result, self._daemon.clock.monotonic() - begun)

    def _ask(self, scope: str | None) -> Request:
        worker = self._daemon.workers.get(self._kind)
        if worker is None:
            raise self._not_started()
        try:
            return worker.refresh_now(g.request_id, scope)
        except NotStarted:
            raise self._not_started() from None
        except RefreshInProgress as running:
            raise ApiError(
                503,
                f"{self._noun} refresh already running",
                error="refresh_in_progress",
                retry_after=running.retry_after,
                fields={"started_at": rfc3339(running.started_at)},
            ) from None
        except RateLimitExceeded as exceeded:
            raise ApiError(
                429,
                f"Max 1 refresh per {period(worker.settings.rate_limit)}",
                error="rate_limit_exceeded",
                retry_after=exceeded.retry_after,
                fields={"retry_after_seconds": whole_seconds(exceeded.retry_after)},
            ) from None

    def _not_started(self) -> ApiError:
        """Off, not yet running or shutting down: whatever it is, this process ends it within its shutdown timeout."""
        cure = self._daemon.off.get(self._kind)
        message = f"{self._noun} refresh is off: {cure}" if cure else f"{self._noun} refresh is not running"
        return ApiError(503, message, error="manager_not_started", retry_after=self._daemon.config.shutdown_timeout)


def no_body(limit: int = 1024) -> None:
    """Check that the current request has no body; reads no more than one byte past `limit`.

    Raises:
        ApiError: 413 with a longer one, 400 with any other.
    """
    request.max_content_length = limit + 1
    try:
        size = max(request.content_length or 0, len(request.get_data(cache=False)))
    except RequestEntityTooLarge:
        raise ApiError(413) from None
    if size > limit:
        raise ApiError(413)
    if size:
        raise bad_request("Request body must be empty")


def period(seconds: float) -> str:
    """A rate limit's window in words: `minute`, or `90 seconds`."""
    return PERIODS.get(seconds) or f"{seconds:g} seconds"


def started(accepted: Request) -> dict[str, Any]:
    """A refresh that was accepted, as JSON fields."""
    return {
        "message": "Refresh triggered",
        "request_id": accepted.request_id,
        "refresh_started_at": rfc3339(accepted.accepted_at),
    }


def finished(accepted: Request, outcome: Outcome) -> dict[str, Any]:
    """A refresh that is over, as JSON fields: its last attempt, and what is served since."""
    return {
        "message": f"Refresh {'completed' if outcome.error is None else outcome.result.value}",
        "request_id": accepted.request_id,
        "refresh_started_at": rfc3339(accepted.accepted_at),
        "result": outcome.result.value,
        "attempts": outcome.attempt,
        "duration_ms": round(outcome.duration * 1000),
        "error": outcome.error,
        "error_type": outcome.error_type,
        "items": outcome.items,
        "rejected": outcome.rejected,
        "generation": outcome.generation,
        "changed": outcome.changed,
    }
