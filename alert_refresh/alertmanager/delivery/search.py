"""The search for what Alertmanager refuses in a configuration: by its tool, or by loading parts of it."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from alert_refresh.alertmanager.delivery.culprits import Split, halve
from alert_refresh.alertmanager.delivery.suspects import suspects, with_only
from alert_refresh.alertmanager.running.client import CONFIG
from alert_refresh.engine import Deadline, Permanent, Transient
from alert_refresh.engine.errors import TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from alert_refresh.alertmanager.delivery.reloads import Reloads
    from alert_refresh.alertmanager.delivery.round import Round
    from alert_refresh.alertmanager.delivery.tool import Tool
    from alert_refresh.alertmanager.delivery.written import Written
    from alert_refresh.engine import Clock

SHARE = 2 / 3
"""Of the time that an attempt has left, for the search; the rest is for delivering what was found."""

log = logging.getLogger(__name__)


class Search:
    """Finds culprits. Alertmanager loads parts of a configuration only where the tool cannot say what it refuses."""

    def __init__(self, tool: Tool, reloads: Reloads, written: Written, clock: Clock) -> None:
        self._tool = tool
        self._reloads = reloads
        self._written = written
        self._clock = clock

    def find(self, work: Round, deadline: Deadline) -> Round:
        """The same without the culprits. If the time ended the search, with an error, and the rest as it was verified.

        If something else did, or if holding back the rest would take away what is delivered now, nothing is held back:
        the error says that this is not to be delivered. The good configuration is in the file after each trial.

        Raises:
            Permanent: Alertmanager refuses the template.
            Transient: it accepts now what it refused.
        """
        share = Deadline(self._clock, max(0.0, deadline.remaining() * SHARE - self._reloads.interval))
        share.stopping = deadline.stopping
        by_tool = self._tool.refuses(work, deadline)
        for parts in suspects(work):
            split = self._tool.split(work, parts, share) if by_tool else self._by_reloads(work, parts, share)
            if split.culprits or split.error is not None:
                return self._reloads.look(self._settled(work, split, share), work.refusing, deadline)
            if not split.nothing_passes:
                raise Transient("Alertmanager refused the configuration, and accepts every part of it", CONFIG)
        raise Permanent(
            "Alertmanager refuses the template, even without any target and rule; can it read the file?", CONFIG
        )

    def _settled(self, work: Round, split: Split, share: Deadline) -> Round:
        """The round with what is known now."""
        if split.culprits:
            log.warning(
                "Alertmanager refuses %d parts of the configuration, which are left out", len(split.culprits),
                extra={"kind": "alertmanager", "refused": split.culprits[:20]},
            )  # fmt: skip
        passed = {**work.passed, **work.tried(split.passed)}
        found = replace(work.without(split.culprits), passed=passed, error=split.error)
        # The last second of it may be too short for another trial.
        if split.error is None or share.remaining() > self._reloads.interval:
            return found
        late = f"{len(split.untried)} changed parts are not tried yet: there was no time; the next attempt goes on"
        found = replace(found, error=Transient(late, TIMEOUT))
        return found if work.loses(split.untried) else found.holding(split.untried)

    def _by_reloads(self, work: Round, parts: Sequence[str], share: Deadline) -> Split:
        """Find the culprits among these parts by what those Alertmanagers load that refused all of it."""
        names = work.refusing

        def passes(accepted: Collection[str]) -> bool:
            share.check()
            text = with_only(work, parts, accepted)
            self._reloads.rest(names, share)
            self._written.write(text, work.good)
            try:
                after = self._reloads.try_out(names, share)
            finally:
                self._written.put_back(work.good)
            failed = next((one.error for one in after if one.error is not None and not one.refused), None)
            refused = any(one.refused for one in after)
            if failed is not None and not refused:
                raise failed
            return not refused

        return halve(parts, passes)
