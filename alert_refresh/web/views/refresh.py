"""A POST that refreshes views and answers with what became of each."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from flask import g, request

from alert_refresh.engine import RefreshInProgress, Result
from alert_refresh.web import query
from alert_refresh.web.answers import answer, rfc3339
from alert_refresh.web.errors import ApiError
from alert_refresh.web.manual_refresh import ManualRefresh, audit, no_body
from alert_refresh.web.views.fields import result_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from alert_refresh.daemon import Daemon
    from alert_refresh.engine import NotStarted, RateLimitExceeded, Snapshot, Worker
    from alert_refresh.views.view import Progress
    from alert_refresh.web.answers import JsonResponse
    from alert_refresh.web.auth import Auth

KIND = "views"
PREFIX = "/api/entities"

WAIT = 60.0
"""Seconds a POST waits for the first attempt; then it is a 202."""

AWAY = ("network", "dns")
"""Types of errors of a database that cannot be reached."""
BUSY_RETRY = 60.0
"""The longest Retry-After while another refresh is running: it may run for much longer."""
OTHER_RETRY = 5.0
"""Seconds to stay away while another instance refreshes the views."""


class ViewsRefresh(ManualRefresh):
    """Requests a refresh and waits for the result of its first attempt."""

    def __init__(self, daemon: Daemon, auth: Auth, worker: Worker[Any]) -> None:
        super().__init__(daemon, auth, KIND, "View")
        self.worker = worker
        self._clock = daemon.clock

    def result(
        self,
        scope: Callable[[], str | None],
        *parameters: str,
        shape: Callable[[dict[str, Any]], dict[str, Any]] = lambda fields: fields,
    ) -> JsonResponse:
        """The answer to a refresh of one view or all; `shape` makes the fields of a result into those of the answer.

        `scope` and `parameters` are those of `accept`.

        Raises:
            ApiError: it was refused, or every view failed (500), or there is no database (503).
        """
        accepted, seconds = self.accept(scope, *parameters)
        if not self._clock.wait(accepted.first, WAIT if seconds is None else seconds):
            fields = {"status": "accepted", "message": "Refresh is still running", "request_id": accepted.request_id}
            return answer(fields | {"refresh_started_at": rfc3339(accepted.accepted_at)}, 202)
        if accepted.outcome is None or accepted.outcome.result is Result.CANCELLED:
            raise not_running()
        progress = progress_of(self.worker.get_status().snapshot, accepted.request_id)
        if progress is None:
            raise ApiError(500, accepted.outcome.error or "The refresh failed", error="refresh_failed")
        _refuse(progress)
        return answer(shape(result_fields(progress.states, accepted.outcome.duration)))

    @contextmanager
    def guarded(self, action: str) -> Iterator[None]:
        """Check token and body of a POST that is no refresh, and put it into the audit log, refused or not."""
        who, result = self._auth.who(), "internal_error"
        try:
            self._auth.demand_admin(who)
            no_body()
            query.only()
            yield
            result = "accepted"
        except ApiError as refused:
            result = refused.error
            raise
        finally:
            fields = {"request_id": g.request_id, "who": who, "ip": request.remote_addr, "kind": KIND}
            audit.info("Service asked for", extra=fields | {"action": action, "result": result})

    def _refused(self, error: NotStarted | RefreshInProgress | RateLimitExceeded, limit: float) -> ApiError:
        if isinstance(error, RefreshInProgress):
            wait = min(BUSY_RETRY, error.retry_after)
            return ApiError(503, "View refresh already running", error="refresh_in_progress", retry_after=wait)
        return super()._refused(error, limit)

    def _not_started(self) -> ApiError:
        return not_running()


def _refuse(progress: Progress) -> None:
    """Answer with an error where no view was refreshed.

    Raises:
        ApiError: 503 with Retry-After if all are busy elsewhere or the database is away, 500 if all failed otherwise.
    """
    states = progress.states.values()
    reasons = "; ".join(f"{state.name}: {state.reason}" for state in states)
    if all(state.busy for state in states):
        words = f"Another session is refreshing the views: {reasons}"
        raise ApiError(503, words, error="refresh_in_progress", retry_after=OTHER_RETRY)
    if not all(state.failed for state in states):
        return
    if not progress.reached or all(state.error_type in AWAY for state in states):
        words = f"The database is unreachable: {reasons}"
        raise ApiError(503, words, error="unreachable", retry_after=OTHER_RETRY)
    raise ApiError(500, f"All materialized views failed: {reasons}", error="refresh_failed")


def progress_of(snapshot: Snapshot[Any] | None, request_id: str) -> Progress | None:
    """What the cycle of this request has done, if that is still remembered."""
    from alert_refresh.views.source import Memo

    memo = None if snapshot is None else snapshot.memo
    return memo.cycles.get(request_id) if isinstance(memo, Memo) else None


def not_running() -> ApiError:
    """The worker was never started, or stops."""
    return ApiError(409, "The refresh service is not running", error="not_running")
