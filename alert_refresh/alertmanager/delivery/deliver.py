"""One configuration written, loaded by every Alertmanager and verified; one that is refused is taken back."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from alert_refresh.alertmanager.delivery.reloads import Reloads, set_aside
from alert_refresh.alertmanager.delivery.round import TARGET
from alert_refresh.alertmanager.delivery.search import Search
from alert_refresh.alertmanager.delivery.suspects import bare
from alert_refresh.alertmanager.delivery.tool import Tool
from alert_refresh.alertmanager.delivery.written import Written

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alert_refresh.alertmanager.delivery.round import Round
    from alert_refresh.alertmanager.file import ConfigFile
    from alert_refresh.alertmanager.running.amtool import Amtool
    from alert_refresh.alertmanager.running.instances import Instances
    from alert_refresh.engine import Clock, Deadline

log = logging.getLogger(__name__)


class Delivery:
    """Writes, reloads, verifies. `min_reload_interval` is in seconds."""

    def __init__(
        self, file: ConfigFile, instances: Instances, amtool: Amtool, clock: Clock, min_reload_interval: float
    ) -> None:
        self._file = file
        self._tool = Tool(amtool)
        self.written = Written(file)
        self._reloads = Reloads(instances, clock, min_reload_interval)
        self._search = Search(self._tool, self._reloads, self.written, clock)

    @property
    def reload_seconds(self) -> float:
        """How long the reloads of the last delivery took."""
        return self._reloads.seconds

    def rest(self, work: Round, deadline: Deadline) -> bool:
        """Wait until the Alertmanagers that have to may load something again; whether that took time.

        Raises:
            Transient, Stopping: see `Deadline.wait`.
        """
        return self._reloads.rest(work.behind, deadline)

    def deliver(self, work: Round, deadline: Deadline) -> Round:
        """Deliver; returns what was delivered, without the culprits that were found, and what the Alertmanagers say.

        Raises:
            Transient, Permanent: the file could not be written, or Alertmanager refuses the template. The file is what
                it was before, then.
        """
        self._reloads.begin()
        work = self._reloads.knock(work, deadline)
        good = self._good(work)
        work = replace(work, good=good, proven=good is not None and work.loads(good))
        try:
            return self._deliver(work, deadline)
        finally:
            self._reloads.go_back()

    def found(self, work: Round) -> None:
        """Note that the file is as it should be already: from now on a change is by somebody else."""
        self.written.found(work.current)
        if work.answering:
            self.written.loaded()

    def _deliver(self, work: Round, deadline: Deadline) -> Round:
        while True:
            if work.current is not None and self._is_unchecked(work, deadline):
                return replace(work, current=self.written.without_trial(work.current))
            checked = work.current == work.rendering.text and not work.unproven
            refused = not checked and _unsure(work) and self._tool.refuses(work, deadline)
            if not refused:
                self._reloads.rest(work.behind, deadline)
                if work.current != work.rendering.text:
                    self.written.write(work.rendering.text, work.good if work.answering else None)
                work = self._reloads.load(work, work.behind, deadline)
                if not work.refusing:
                    if work.answering:
                        self.written.loaded()
                    return replace(work, current=work.rendering.text)
                work = self._taken_back(work, deadline)
            if refused or work.refusing:
                over = work.error is not None
                if not over:
                    work = self._search.find(work, deadline)
                    over = work.error is not None and not work.untried
                if over:
                    return work
            work = replace(work, current=self._file.read())

    def _good(self, work: Round) -> bytes | None:
        """The configuration that a refused one gives way to."""
        current, verified = work.current, work.before.verified
        if current is not None and self.written.is_ours() and any(one.runs(current, "") for one in work.seen):
            return current
        if verified is not None:
            return verified.text
        for text in (current, self._file.previous()):
            if text is not None and work.loads(text):
                return text
        return current

    def _is_unchecked(self, work: Round, deadline: Deadline) -> bool:
        """Whether nothing can say if Alertmanager would load the rendering: what is in the file stays, then."""
        return bool(work.seen) and not work.answering and not self._tool.fits(work, deadline)

    def _taken_back(self, work: Round, deadline: Deadline) -> Round:
        """Put back what was there before a refused one, and let those load it that refused; set those aside that refuse
        everything. Whoever accepted the refused one goes on with it: it is told when the search is over.
        """
        log.warning(
            "Alertmanager refuses the new configuration; the one before it is put back", extra={"kind": "alertmanager"}
        )
        self.written.put_back(work.good)
        refusing: Sequence[str] = work.refusing
        others = any(one.error is None for one in work.seen)
        if work.good is not None:
            after = self._reloads.again(refusing)
            refusing = [one.name for one in after if one.refused]
            work = replace(work, proven=work.proven or any(one.error is None for one in after))
        if not refusing or (not (work.proven or others) and len(refusing) == 1):
            return work
        self.written.write(bare(work), work.good)
        try:
            after = self._reloads.try_out(refusing, deadline)
        finally:
            self.written.put_back(work.good)
        mute = {one.name for one in after if one.refused}
        if not (work.proven or others) and len(mute) == len(refusing):
            return work  # then the template may be the cause
        return work.with_seen([set_aside(one) for one in work.seen if one.name in mute])


def _unsure(work: Round) -> bool:
    """Whether a configuration has to be checked before it is written: no Alertmanager answers that would check it, or
    something changed that the model of receivers and routes does not know whole: the template, or a rule's expressions.
    """
    verified, parts = work.before.verified, work.rendering.parts
    if verified is None or not work.answering:
        return True
    return any(verified.parts.get(part) != digest for part, digest in parts.items() if not part.startswith(TARGET))
