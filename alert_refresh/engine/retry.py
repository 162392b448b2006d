"""Retries within one cycle, with tenacity: which errors, how often, and how long to wait."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt

from alert_refresh.engine.backoff import Backoff
from alert_refresh.engine.errors import Transient

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`max_retries` retries after the first attempt, `min(base_backoff * 2^n, max_backoff)` seconds between.

    A wait requested by the server (`Transient.retry_after`) lengthens the backoff, up to `max_backoff`.
    With `jitter` each backoff is uniformly random between 0 and that value.
    """

    max_retries: int
    base_backoff: float
    max_backoff: float
    jitter: bool = False

    def wait(self, state: RetryCallState) -> float:
        """Seconds to wait after the failed attempt that `state` describes."""
        backoff = Backoff(self.base_backoff, self.max_backoff).seconds(state.attempt_number)
        if self.jitter:
            backoff = random.uniform(0.0, backoff)  # noqa: S311 - only spreads attempts over time
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after if isinstance(error, Transient) else None
        return float(min(max(backoff, asked or 0.0), self.max_backoff))

    def retrying(
        self,
        *,
        sleep: Callable[[float], None],
        before_sleep: Callable[[RetryCallState], None],
    ) -> Retrying:
        """A tenacity controller: only `Transient` is retried, and the last error is raised as it is.

        `sleep` waits and may raise to end the cycle; `before_sleep` is called with the length of the wait.
        """
        return Retrying(
            retry=retry_if_exception_type(Transient),
            stop=stop_after_attempt(self.max_retries + 1),
            wait=self.wait,
            sleep=sleep,
            before_sleep=before_sleep,
            reraise=True,
        )
