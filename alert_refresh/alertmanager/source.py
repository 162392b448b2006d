"""What the daemon serves, rendered, written, loaded by every Alertmanager and verified."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from alert_refresh.alertmanager.delivered import Delivered, delivered
from alert_refresh.alertmanager.delivery.deliver import Delivery
from alert_refresh.alertmanager.delivery.round import Round, excluding
from alert_refresh.alertmanager.file import ConfigFile
from alert_refresh.alertmanager.inputs import Inputs
from alert_refresh.alertmanager.render import render
from alert_refresh.alertmanager.running.amtool import Amtool
from alert_refresh.alertmanager.running.instances import Instances, config_hash, failure
from alert_refresh.alertmanager.template import LARGEST, Template
from alert_refresh.alertmanager.upstream import PublicationWatch, Upstream
from alert_refresh.engine import AttemptError, Partial, Permanent, Snapshot, Trigger
from alert_refresh.files.at_rest import SETTLED, signature, written_in_place
from alert_refresh.files.read import read_file, storage_error
from alert_refresh.files.watch import DATA, FolderWatch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from alert_refresh.alertmanager import Settings
    from alert_refresh.alertmanager.running.instances import Instance
    from alert_refresh.alertmanager.upstream import Served
    from alert_refresh.engine import Clock, Deadline, Request, Sink, Watch, Worker
    from alert_refresh.targets.target import Target

NOT_LOADED = "targets, or rules, are not loaded yet"
NOT_CONFIRMED = "what was restored is not confirmed by a refresh yet, and the file that is there stays"

FILES = ("file", "linked-file")
"""What watches the file: where the setting says, and, where that is a symlink, where it led at the start."""

log = logging.getLogger(__name__)


class AlertmanagerSource:
    """The source of the kind. The memo of its snapshot is a `Delivered`; its items are the targets that are delivered.

    `delivery` and `instances` count for the metrics.
    """

    name = "daemon"

    def __init__(self, settings: Settings, workers: Mapping[str, Worker[Any]], clock: Clock) -> None:
        assert settings.file is not None and settings.template is not None
        self._settings = settings
        self._clock = clock
        self._template = settings.template
        self._parsed: tuple[bytes, Template] | None = None
        self._rested: tuple[int, ...] | None = None  # the signature of the template when it was last read whole
        self._warned: frozenset[str] = frozenset()
        self.file = ConfigFile(settings.file)
        self.amtool = Amtool(settings.file)
        self.instances = Instances(settings.urls, settings.token_file, settings.ca_file, self.amtool, clock)
        self.delivery = Delivery(self.file, self.instances, self.amtool, clock, settings.min_reload_interval)
        self.upstream = Upstream(workers, clock)

    def refresh(self, previous: Snapshot[Any] | None, request: Request, deadline: Deadline) -> Snapshot[Target]:
        """Deliver what is served now, unless it is delivered already.

        Raises:
            Partial: not every Alertmanager runs it.
            Transient, Permanent: there is nothing to deliver: the template cannot be used.
        """
        began, seen_at = self._clock.monotonic(), self.upstream.take()
        complete = False
        try:
            known, error = self._refresh(delivered(previous), deadline)
            complete = error is None and known.waits_for is None
        finally:
            if not complete:
                self.upstream.give_back(seen_at)
        now = self._clock.monotonic()
        stats = {"own_seconds": now - began - self.delivery.reload_seconds}
        if complete and seen_at is not None:
            stats["propagation_seconds"] = now - seen_at
        snapshot = Snapshot(
            items=known.items(),
            rejected=known.rejected(),
            digest=sha256(known.mark().encode()).hexdigest(),
            taken_at=self._clock.time(),
            memo=known,
            stats=stats,
        )
        if error is not None:
            raise Partial(snapshot, error)
        return snapshot

    def watches(self, sink: Sink) -> Sequence[Watch]:
        """Watch what is published, the template, and the file. Called when the worker starts."""
        self.file.remove_leftovers()
        if self.amtool.path is None:
            log.warning(
                "amtool is not in the PATH: a configuration is checked by Alertmanager alone, when it loads it",
                extra={"kind": "alertmanager"},
            )
        edited = partial(self._edited, sink)
        watched: list[tuple[str, Path, tuple[str, ...], Callable[[Trigger], None]]] = [
            ("template", self._template, (self._template.name, DATA), sink.notify)
        ]
        watched += [(name, path, (path.name,), edited) for name, path in zip(FILES, self.file.places, strict=False)]
        watches: list[Watch] = [PublicationWatch(self.upstream, sink, self._clock)]
        for name, path, names, notify in watched:
            try:
                watch = FolderWatch(path.parent, notify, names=names)
            except OSError as error:
                log.warning("A file of Alertmanager is not watched: %s", error.strerror, extra={"kind": "alertmanager"})
                continue
            watch.name = name
            watches.append(watch)
        return watches

    def close(self) -> None:
        """Nothing is open between two refreshes."""

    def gather(self, before: Delivered, deadline: Deadline) -> tuple[Served, Round] | None:
        """What is to be delivered, and what is there; None while not everything is loaded.

        Raises:
            Transient, Permanent: the template or the file cannot be read, or the template cannot be used.
        """
        served = self.upstream.served()
        if served is None:
            return None
        template = self._read_template(deadline)
        seen = self.instances.look(deadline)
        capabilities = self.instances.capabilities(seen, deadline)
        rules = () if served.rules is None else tuple(served.rules.items.values())
        inputs = Inputs(
            template, served.targets.items, rules, self._settings.routes, capabilities, check=deadline.check
        )
        versions = self.instances.versions()
        left_out = {part: one for part, one in before.culprits.items() if one.versions == versions}
        passed = {part: one for part, one in before.passed.items() if one.versions == versions}
        rendering = render(excluding(inputs, left_out, versions))
        current = self.file.read()
        on_trial = self.delivery.written.on_trial(current)
        work = Round(before, inputs, rendering, current, seen, versions, left_out, passed, on_trial=on_trial)
        changed = [part for part, one in left_out.items() if rendering.parts.get(part) != one.digest]
        if changed:
            work = work.leaving_out({part: one for part, one in left_out.items() if part not in changed})
        return served, work

    def _refresh(self, before: Delivered, deadline: Deadline) -> tuple[Delivered, AttemptError | None]:
        gathered = self.gather(before, deadline)
        if gathered is not None and gathered[0].confirmed and self.delivery.rest(gathered[1], deadline):
            gathered = self.gather(before, deadline)
        if gathered is None:
            return _waiting(before, before.instances, NOT_LOADED), None
        served, work = gathered
        self._warn(work.rendering.warnings)
        if not served.confirmed and work.current not in (None, work.rendering.text):
            runs = frozenset(one.name for one in work.seen if one.runs(work.current or b"", ""))
            return replace(_waiting(before, work.seen, NOT_CONFIRMED), in_sync=runs), failure(work.seen)
        error = None
        try:
            if work.done:
                self.delivery.found(work)
            else:
                work = self.delivery.deliver(work, deadline)
        except AttemptError as raised:
            error = raised
        error = error or failure(work.seen)
        complete = error is None and work.current == work.rendering.text
        return found(work, complete=complete), error or work.error

    def _read_template(self, deadline: Deadline) -> Template:
        """The template; one that is written in place is read once it rests, since a part of it may be valid, too.

        While its writer goes on, the last one is used: the watch reports when the new one rests.

        Raises:
            Transient, Permanent: it cannot be read or used, or it is the file that is written.
        """
        if os.path.realpath(self._template) == str(self.file.real):
            raise Permanent("the configuration file leads to the template, which would be overwritten", "config")
        data, state = self._read(), self._state()
        while self._rested != signature(state) and written_in_place(state, self._clock.time(), self._rested):
            deadline.wait(SETTLED)
            before, data, state = data, self._read(), self._state()
            if before == data:
                break
            if self._parsed is not None:
                return self._parsed[1]
        self._rested = signature(state)
        if self._parsed is None or self._parsed[0] != data:
            self._parsed = data, Template.read(data, self._template.name)
        return self._parsed[1]

    def _read(self) -> bytes:
        return read_file(self._template.parent, self._template, LARGEST)

    def _state(self) -> os.stat_result:
        try:
            return self._template.stat()
        except OSError as error:
            raise storage_error(error, "the template") from error

    def _edited(self, sink: Sink, trigger: Trigger) -> None:
        """Something happened to the file: unless it was our own write, refresh."""
        if self.delivery.written.changed_by_others():
            sink.notify(trigger)

    def _warn(self, warnings: Sequence[str]) -> None:
        for warning in warnings:
            if warning not in self._warned:
                log.warning("%s", warning, extra={"kind": "alertmanager"})
        self._warned = frozenset(warnings)


def _waiting(before: Delivered, seen: tuple[Instance, ...], why: str) -> Delivered:
    """What is known while nothing is rendered, or written."""
    return replace(before, instances=seen, waits_for=why)


def found(work: Round, *, complete: bool) -> Delivered:
    """What is known after a delivery; a `complete` one is in the file, and run by every Alertmanager."""
    inputs, rendering = work.delivered, work.rendering
    targets = inputs.targets
    in_sync = frozenset(one.name for one in work.seen if work.is_run_by(one))
    contents = {
        name: target.digest
        for name, target in targets.items()
        if target.enabled and name not in rendering.undeliverable
    }
    return Delivered(
        verified=rendering if complete else work.before.verified,
        versions=work.versions if complete else work.before.versions,
        inputs=inputs if complete else work.before.inputs,
        contents=contents if complete else work.before.contents,
        undeliverable={name: (targets[name].digest, faults) for name, faults in rendering.undeliverable.items()},
        undeliverable_rules=rendering.undeliverable_rules,
        culprits=work.culprits,
        passed={} if complete else work.passed,
        overlapping=rendering.overlapping,
        receivers=rendering.receivers,
        routes=rendering.routes,
        config_hash=config_hash(rendering.text) if complete else work.before.config_hash,
        instances=work.seen,
        in_sync=in_sync,
        warnings=rendering.warnings,
    )
