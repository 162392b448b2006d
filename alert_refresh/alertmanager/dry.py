"""What a refresh would write, without writing it: for `alert-refresh check`, `plan` and `render`."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from alert_refresh.alertmanager.delivered import Delivered, delivered
from alert_refresh.alertmanager.mask import masked
from alert_refresh.alertmanager.running.instances import failure
from alert_refresh.alertmanager.source import AlertmanagerSource, found
from alert_refresh.engine import Permanent, Snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alert_refresh.alertmanager.delivery.round import Round
    from alert_refresh.engine import Deadline, Request, Sink, Source, Watch
    from alert_refresh.targets.target import Target


class DryRun(AlertmanagerSource):
    """Renders and checks. `work` is what was rendered last, None before."""

    work: Round | None = None

    def refresh(self, previous: Snapshot[Any] | None, request: Request, deadline: Deadline) -> Snapshot[Target]:
        """Render what is served, and have it checked by `amtool`, if it is there.

        Raises:
            Transient, Permanent: there is nothing to render, the template cannot be used, or Alertmanager would refuse
                the configuration.
        """
        gathered = self.gather(Delivered(), deadline)
        if gathered is None:
            raise Permanent("there is nothing to render: targets, or rules, cannot be read")
        self.work = work = gathered[1]
        if self.amtool.path is not None and self.amtool.refuses(work.rendering.text, deadline):
            raise Permanent("Alertmanager would refuse the configuration", "validate")
        known = found(work, complete=True)
        return Snapshot(items=known.items(), rejected=known.rejected(), digest=work.rendering.digest, memo=known)

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
    return {"instances": instances, "warnings": list(known.warnings)} | fields
