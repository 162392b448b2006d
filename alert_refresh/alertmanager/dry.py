"""What a refresh would write, without writing it: for `alert-refresh check`, `plan` and `render`."""

from __future__ import annotations

import difflib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from alert_refresh.alertmanager.delivered import Delivered, delivered
from alert_refresh.alertmanager.delivery.suspects import suspects
from alert_refresh.alertmanager.delivery.tool import Tool
from alert_refresh.alertmanager.mask import masked
from alert_refresh.alertmanager.running.client import CONFIG
from alert_refresh.alertmanager.running.instances import failure
from alert_refresh.alertmanager.source import AlertmanagerSource, found
from alert_refresh.engine import Permanent, Snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alert_refresh.alertmanager.delivery.round import Round
    from alert_refresh.engine import Deadline, Request, Sink, Source, Watch
    from alert_refresh.targets.target import Target


NO_TEMPLATES = "the files under templates are not checked, since the folder of the file cannot be written"


class DryRun(AlertmanagerSource):
    """Renders, checks, and leaves out what Alertmanager would refuse, as a refresh does, but with `amtool` alone.

    `work` is what would be written, None before.
    """

    work: Round | None = None

    def refresh(self, previous: Snapshot[Any] | None, request: Request, deadline: Deadline) -> Snapshot[Target]:
        """Render what is served. Its memo says what was not checked.

        Raises:
            Transient, Permanent: there is nothing to render, or the template cannot be used.
        """
        gathered = self.gather(Delivered(), deadline)
        if gathered is None:
            raise Permanent("there is nothing to render: targets, or rules, cannot be read", CONFIG)
        work, unchecked = gathered[1], self._unfit(gathered[1], deadline)
        if unchecked is None:
            work = self._without_culprits(work, deadline)
            unchecked = None if self.amtool.templates_checked else NO_TEMPLATES
        self.work = work
        known = replace(found(work, complete=True), unchecked=() if unchecked is None else (unchecked,))
        return Snapshot(items=known.items(), rejected=known.rejected(), digest=work.rendering.digest, memo=known)

    def _unfit(self, work: Round, deadline: Deadline) -> str | None:
        """Why the tool cannot tell what Alertmanager would refuse; None if it can."""
        version = self.amtool.version(deadline)
        if version is None:
            return "not checked: amtool is not in the PATH"
        others = [one for one in work.versions if one not in (None, version)]
        if others:
            return f"not checked: amtool is of version {version}, and Alertmanager of {others[0]}"
        runs = work.current is not None and any(one.runs(work.current, "") for one in work.seen)
        if runs and work.current is not None and self.amtool.refuses(work.current, deadline):
            return "not checked: amtool refuses also what Alertmanager runs; does it lack a file?"
        return None

    def _without_culprits(self, work: Round, deadline: Deadline) -> Round:
        """The same without the parts that the tool refuses.

        Raises:
            Permanent: it refuses the template.
        """
        if not self.amtool.refuses(work.rendering.text, deadline):
            return work
        split = Tool(self.amtool).split(work, suspects(work)[-1], deadline)
        if split.nothing_passes:
            raise Permanent("Alertmanager would refuse the template, even without any target and rule", "validate")
        if split.error is not None:
            raise split.error
        return work.without(split.culprits)

    def watches(self, sink: Sink) -> Sequence[Watch]:
        """None: it is for one refresh."""
        return ()


def difference(source: Source[Any]) -> list[str]:
    """What would change in the file, as `diff -u` shows it, with credentials masked."""
    work = source.work if isinstance(source, DryRun) else None
    if work is None or work.current == work.rendering.text:
        return []
    before = masked(work.current).splitlines() if work.current is not None else []
    lines = difflib.unified_diff(before, masked(work.rendering.text).splitlines(), "now", "after", lineterm="")
    return list(lines) or ["credentials change, which are masked"]


def check(snapshots: Mapping[str, Snapshot[Any] | None]) -> dict[str, Any]:
    """What `alert-refresh check` shows of it: the Alertmanagers, with the error of the first that does not answer."""
    known = delivered(snapshots.get("alertmanager"))
    instances = [
        {"url": one.name, "version": one.version, "error": None if one.error is None else str(one.error)}
        for one in known.instances
    ]
    error = failure(known.instances)
    fields = {} if error is None else {"error": str(error), "error_type": error.error_type}
    return {"instances": instances, "warnings": list(known.warnings), "unchecked": list(known.unchecked)} | fields
