"""Reloads: when they may follow each other, and which Alertmanagers refuse every configuration."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from alert_refresh.alertmanager.running.client import CONFIG
from alert_refresh.alertmanager.running.instances import RefusesEverything
from alert_refresh.engine import Deadline, Permanent, Transient
from alert_refresh.engine.errors import TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alert_refresh.alertmanager.delivery.round import Round
    from alert_refresh.alertmanager.running.instances import Instance, Instances
    from alert_refresh.engine import Clock

AGAIN_WITHIN = 4.0
"""Seconds for a reload of what was loaded before: it is made also when an attempt's time is over."""


class Reloads:
    """Tells Alertmanagers to load the file. `interval` is the shortest time between two reloads of one that succeed:
    one that is refused changes nothing in an Alertmanager. `seconds` is how long the reloads since `begin` took.
    """

    def __init__(self, instances: Instances, clock: Clock, interval: float) -> None:
        self.interval = interval
        self.seconds = 0.0
        self._instances = instances
        self._clock = clock
        self._loaded_at: dict[str, float] = {}
        self._astray: set[str] = set()

    def begin(self) -> None:
        """A delivery begins."""
        self.seconds = 0.0
        self._astray.clear()

    def rest(self, names: Sequence[str], deadline: Deadline) -> bool:
        """Wait until these may load something again; whether that took time.

        Raises:
            Transient: there is not enough time for that.
            Stopping: see `Deadline.wait`.
        """
        now = self._clock.monotonic()
        left = max(
            (self._loaded_at[name] + self.interval - now for name in names if name in self._loaded_at), default=0
        )
        if left >= deadline.check():
            raise Transient(f"the attempt did not end within {deadline.seconds:g} s", TIMEOUT)
        deadline.wait(max(left, 0))
        return left > 0

    def load(self, work: Round, names: Sequence[str], deadline: Deadline) -> Round:
        """Let these load the rendering; one that loads another file has an error."""
        if not names:
            return work
        after = self._reload(names, deadline)
        self._astray.difference_update(one.name for one in after if one.error is None)
        other = Permanent("it loaded another configuration; is ALERTMANAGER_CONFIG_FILE the file it reads?", CONFIG)
        return work.with_seen(
            [replace(one, error=other) if one.error is None and not work.is_run_by(one) else one for one in after]
        )

    def try_out(self, names: Sequence[str], deadline: Deadline) -> tuple[Instance, ...]:
        """Let these load what is in the file for a trial, after which it is not there any more."""
        self._astray.update(names)
        return self._reload(names, deadline)

    def look(self, work: Round, names: Sequence[str], deadline: Deadline) -> Round:
        """Ask these again what they run."""
        if not names:
            return work
        return work.with_seen([one for one in self._instances.look(deadline) if one.name in names])

    def again(self, names: Sequence[str]) -> tuple[Instance, ...]:
        """Let these load what they loaded before, which is in the file again."""
        self._astray.difference_update(names)
        return self._reload(names, Deadline(self._clock, AGAIN_WITHIN)) if names else ()

    def go_back(self) -> None:
        """Let those that were told to load something else, load what is in the file again."""
        self.again(sorted(self._astray))

    def knock(self, work: Round, deadline: Deadline) -> Round:
        """Let those load what is in the file that refused every configuration before; who still does is set aside."""
        earlier = {one.name: one.version for one in work.before.instances if isinstance(one.error, RefusesEverything)}
        names = [one.name for one in work.seen if one.name in work.behind and earlier.get(one.name, "") == one.version]
        if not names or work.current is None:
            return work
        after = self._reload(names, deadline)
        return work.with_seen([set_aside(one) if one.refused else one for one in after])

    def _reload(self, names: Sequence[str], deadline: Deadline) -> tuple[Instance, ...]:
        began = self._clock.monotonic()
        after = self._instances.reload(names, deadline)
        self.seconds += self._clock.monotonic() - began
        self._loaded_at |= {one.name: began for one in after if one.error is None}
        return after


def set_aside(one: Instance) -> Instance:
    """An Alertmanager that refuses every configuration: it says nothing about any."""
    return replace(one, error=RefusesEverything(), refused=False)
