"""A manual refresh over HTTP, for every kind: token, body, acceptance, audit log, and waiting for the result."""

from __future__ import annotations

import logging
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from flask import g, request
from werkzeug.exceptions import RequestEntityTooLarge

from alert_refresh.engine import NotStarted, RateLimitExceeded, RefreshInProgress, Result
from alert_refresh.observe.refreshes import RETRYING
from alert_refresh.web import query
from alert_refresh.web.answers import answer, rfc3339
from alert_refresh.web.auth import ANONYMOUS
from alert_refresh.web.errors import ApiError, bad_request, whole_seconds
from alert_refresh.web.feed import follow, rows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from alert_refresh.daemon import Daemon
    from alert_refresh.engine import Outcome, Request
    from alert_refresh.web.answers import JsonResponse
    from alert_refresh.web.auth import Auth

EMPTY_LIMIT = 1024
"""Bytes of a body above which a request that allows none is answered 413 instead of 400."""
PERIODS = {1.0: "second", 60.0: "minute", 3600.0: "hour", 86400.0: "day"}

NOTHING: Mapping[str, str] = MappingProxyType({})

audit = logging.getLogger("alert_refresh.audit")


class ManualRefresh:
    """Handles POSTs that request a refresh of one kind; call it in a view function.

    `noun` names one item of the kind in messages, such as `Target`. `observe(result, seconds)` is called for each
    request, with `accepted` or an error code.
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

    def __call__(
        self,
        scope: Callable[[], str | None] = lambda: None,
        *parameters: str,
        about: Mapping[str, str] = NOTHING,
    ) -> JsonResponse:
        """Respond 202 when it is accepted; with `?wait=` 200 with the result if it succeeds in that time.

        The parameters are those of `accept`.

        Raises:
            ApiError: it was refused, all its attempts so far failed (502), or the daemon is stopping (503).
        """
        accepted, seconds = self.accept(scope, *parameters, about=about)
        if seconds is None:
            return answer(started(accepted), 202)
        over = self._daemon.clock.wait(accepted.done, seconds)
        outcome = accepted.outcome
        if outcome is None and not over:
            return answer(started(accepted), 202)
        if outcome is None or self._ended_by_stop(outcome, over):
            raise self._not_started()
        row = rows.find(self._daemon, accepted.request_id, self._kind)
        assert row is not None, "a refresh is recorded before its wait is over"
        fields = {"refresh_started_at": rfc3339(accepted.accepted_at)} | rows.described(row)
        if outcome.result is Result.SUCCESS:
            return answer({"message": "Refresh completed"} | fields)
        del fields["error"], fields["request_id"]
        if not over:
            fields["result"] = RETRYING  # also while its next attempt is running
        raise ApiError(502, outcome.error, error="refresh_failed", fields=fields)

    def accept(
        self, scope: Callable[[], str | None], *parameters: str, about: Mapping[str, str] = NOTHING
    ) -> tuple[Request, float | None]:
        """Check token and body, then request a refresh. Returns the request and the value of `?wait=` in seconds.

        `scope` reads the part to refresh from the query, after the token was checked; `parameters` are the query
        parameters allowed besides `wait`. `about` are fields of the audit log that name what is asked for.

        Raises:
            ApiError: it was refused; the audit log records this too.
        """
        begun = self._daemon.clock.monotonic()
        who, result = ANONYMOUS, "internal_error"
        try:
            who = self._auth.who()
            self._auth.demand_admin(who)
            no_body()
            query.only("wait", *parameters)
            seconds = query.duration("wait", follow.WAIT_LIMIT)
            accepted = self._ask(scope())
            result = "accepted"
            return accepted, seconds
        except ApiError as refused:
            result = refused.error
            raise
        finally:
            fields = {"request_id": g.request_id, "who": who, "ip": request.remote_addr, "kind": self._kind, **about}
            audit.info("Refresh requested", extra=fields | {"action": f"{self._kind}.refresh", "result": result})
            if self._observe is not None:
                self._observe(result, self._daemon.clock.monotonic() - begun)

    def _ask(self, scope: str | None) -> Request:
        worker = self._daemon.workers.get(self._kind)
        if worker is None:
            raise self._not_started()
        try:
            return worker.refresh_now(g.request_id, scope)
        except (NotStarted, RefreshInProgress, RateLimitExceeded) as refused:
            raise self._refused(refused, worker.settings.rate_limit) from None

    def _refused(self, error: NotStarted | RefreshInProgress | RateLimitExceeded, limit: float) -> ApiError:
        """The response to a request that the worker refused."""
        match error:
            case RefreshInProgress():
                code, message = "refresh_in_progress", f"{self._noun} refresh already running"
                fields: dict[str, Any] = {"started_at": rfc3339(error.started_at)}
                return ApiError(503, message, error=code, retry_after=error.retry_after, fields=fields)
            case RateLimitExceeded():
                code, message = "rate_limit_exceeded", f"Max 1 refresh per {period(limit)}"
                fields = {"retry_after_seconds": whole_seconds(error.retry_after)}
                return ApiError(429, message, error=code, retry_after=error.retry_after, fields=fields)
            case _:
                return self._not_started()

    def _ended_by_stop(self, outcome: Outcome, over: bool) -> bool:
        """Whether a stop ended the attempt, or the wait for the next one."""
        status = self._daemon.workers[self._kind].get_status()
        waited = over and outcome.retry_in is not None
        return outcome.result is Result.CANCELLED or (waited and (status.stopping or not status.running))

    def _not_started(self) -> ApiError:
        """The error while the kind is off, not yet running or shutting down."""
        hint = self._daemon.off.get(self._kind)
        message = f"{self._noun} refresh is off: {hint}" if hint else f"{self._noun} refresh is not running"
        return ApiError(503, message, error="manager_not_started", retry_after=self._daemon.config.shutdown_timeout)


def no_body() -> None:
    """Check that the current request has no body.

    Raises:
        ApiError: 413 with one longer than `EMPTY_LIMIT`, 400 with any other.
    """
    if body(EMPTY_LIMIT) or request.content_length:
        raise bad_request("Request body must be empty")


def body(limit: int) -> bytes:
    """The body of the current request; reads at most one byte beyond `limit`.

    Raises:
        ApiError: 413, it is longer.
    """
    request.max_content_length = limit + 1
    try:
        data = request.get_data(cache=False)
    except RequestEntityTooLarge:
        raise ApiError(413) from None
    if max(request.content_length or 0, len(data)) > limit:
        raise ApiError(413)
    return data


def period(seconds: float) -> str:
    """The window of a rate limit as text: `minute`, or `90 seconds`."""
    return PERIODS.get(seconds) or f"{seconds:g} seconds"


def started(accepted: Request) -> dict[str, Any]:
    """An accepted refresh as JSON fields."""
    return {
        "message": "Refresh triggered",
        "request_id": accepted.request_id,
        "refresh_started_at": rfc3339(accepted.accepted_at),
    }
