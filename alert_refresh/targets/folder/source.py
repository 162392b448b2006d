"""Targets from a folder of Secret manifests and mounted Secrets."""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING

from alert_refresh.engine import Snapshot, Trigger
from alert_refresh.files.at_rest import SETTLED
from alert_refresh.files.read import Changed, Missing
from alert_refresh.files.watch import FolderWatch
from alert_refresh.targets.assemble import Candidate, assemble, escaped
from alert_refresh.targets.bulkhead import Bulkhead
from alert_refresh.targets.folder.manifest import without_twins
from alert_refresh.targets.folder.mounted import is_mounted
from alert_refresh.targets.folder.parts import Left, Memo, Part, Reader, broken
from alert_refresh.targets.folder.selection import select
from alert_refresh.targets.folder.walk import Entry, Walk
from alert_refresh.targets.gone import MAX_LOGGED
from alert_refresh.targets.secret.selector import parse_selector
from alert_refresh.targets.target import Target

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from alert_refresh.engine import Clock, Deadline, Request, Sink, Skipped, Watch
    from alert_refresh.targets import Settings
    from alert_refresh.targets.folder.selection import Selection

MAX_SKIPPED = 100
"""The highest number of skipped objects that are listed."""
DIGEST = 128
"""The length of the targets' part of a digest; the rest is the digest of the skipped objects."""
SCANS = 5
"""How many times a folder is scanned while its files change during the scan; after that the file has a fault."""

log = logging.getLogger(__name__)


class DirectorySource:
    """Reads every manifest in a folder and its subfolders; what has not changed is not parsed again."""

    name = "directory"

    def __init__(self, settings: Settings, clock: Clock) -> None:
        assert settings.directory is not None
        self._folder: Path = settings.directory.absolute()
        self._settings = settings
        self._selector = parse_selector(settings.label_selector)
        self._clock = clock
        self._warned = False
        self._bulkhead = Bulkhead()
        self._watch: FolderWatch | None = None
        self._noticed = threading.Event()
        self._begun = 0  # how often everything was begun to be read

    def refresh(self, previous: Snapshot[Target] | None, request: Request, deadline: Deadline) -> Snapshot[Target]:
        """Read the folder, or the files alone that hold the target `request.scope`; see `Source`.

        If a file cannot be used, the targets of its last good version are kept as stale, and other files are not
        affected. While a file is being written, its targets are kept unchanged; the watch requests a refresh when it is
        closed or at rest. Without a watch, at the first refresh and at a manual one, the attempt waits for that once.

        Raises:
            Transient, Permanent: the folder cannot be read (`storage`), or holds too much (`too_large`).
        """
        memo = previous.memo if previous is not None and isinstance(previous.memo, Memo) else None
        reader = self._reader(memo, deadline)
        began = self._clock.monotonic()
        selection = self._selection(previous, memo, request.scope)
        parts = None if selection is None else self._read(reader, request, selection.parts)
        if parts is None or selection is None or not selection.stays(parts):
            selection = None
            self._begun += 1
            self._noticed.clear()
            parts = self._read(reader, request)
        read_seconds = self._clock.monotonic() - began - reader.parse_seconds
        if previous is not None and memo is None:
            _keep_unknown(parts, previous)
        began = self._clock.monotonic()
        snapshot = self._snapshot(previous, memo or Memo(), parts, selection)
        measured = {
            "discover_seconds": read_seconds,
            "parse_seconds": reader.parse_seconds,
            "validate_seconds": self._clock.monotonic() - began,
        }
        return replace(snapshot, stats={**snapshot.stats, **measured})

    def _selection(self, previous: Snapshot[Target] | None, memo: Memo | None, scope: str | None) -> Selection | None:
        """What is read again; None for everything, also while something else is not known to be good."""
        if scope is None or previous is None or memo is None or memo.number < self._begun or self._noticed.is_set():
            return None
        return select(previous, memo, scope)

    def _snapshot(
        self, previous: Snapshot[Target] | None, memo: Memo, parts: dict[str, Part], selection: Selection | None
    ) -> Snapshot[Target]:
        """Assemble the parts; log what is not in the folder any more."""
        candidates = without_twins(candidate for part in parts.values() for candidate in part.candidates)
        if not candidates and previous is None:
            error = f"no manifest in the folder matches the label selector {self._settings.label_selector}"
            log.warning("No Secret was found", extra={"kind": "targets", "error": error})
        now = self._clock.time()
        unreadable = [rejected for part in parts.values() for rejected in part.rejected]
        items, rejected, digest = assemble(candidates, previous, now, unreadable=unreadable, deleted=None)
        skipped = [one for part in parts.values() for one in part.skipped]
        _log_left(parts, memo, candidates)
        return Snapshot(
            items=items,
            rejected=rejected,
            digest=digest[:DIGEST] + _digest(skipped),
            taken_at=now,
            memo=Memo(parts, self._begun),
            skipped=tuple(skipped[:MAX_SKIPPED]),
            skipped_count=len(skipped),
            stats=_counts(parts, candidates, selection),
        )

    def watches(self, sink: Sink) -> Sequence[Watch]:
        """An inotify watch; none if it is off or unavailable: then the periodic refresh finds changes."""
        if not self._settings.watch:
            return ()
        try:
            self._watch = FolderWatch(self._folder, partial(self._notice, sink), subfolders=True)
            return (self._watch,)
        except OSError as error:
            if not self._warned:
                self._warned = True
                reason = os.strerror(error.errno) if error.errno else type(error).__name__
                log.warning(
                    "The folder cannot be watched; changes are found by the periodic refresh",
                    extra={"kind": "targets", "error": reason},
                )
            return ()

    def _notice(self, sink: Sink, trigger: Trigger) -> None:
        """Something has changed: until everything was read, nothing is read alone."""
        self._noticed.set()
        sink.notify(trigger)

    def close(self) -> None:
        """Drop the reference to the stopped watch."""
        self._watch = None

    def _reader(self, memo: Memo | None, deadline: Deadline) -> Reader:
        return Reader(
            self._folder,
            memo,
            self._clock,
            deadline,
            selector=self._selector,
            deny_private=self._settings.deny_private,
            bulkhead=self._bulkhead,
            closed=self._closed,
        )

    def _closed(self, name: str, state: os.stat_result) -> bool:
        watch = self._watch
        return watch is not None and watch.writers.closed(name, state)

    def _read(self, reader: Reader, request: Request, only: frozenset[str] | None = None) -> dict[str, Part]:
        """Every part by name; with `only` those of them that are files and mounted Secrets of these names are read.

        The attempt waits once for files that are being written, if no watch will tell of them or somebody waits too.
        """
        parts = self._read_once(reader, only)
        if reader.unsettled and (reader.is_first or self._watch is None or request.trigger is Trigger.MANUAL):
            reader.deadline.wait(SETTLED)
            parts = self._read_once(reader, only)
        return parts

    def _read_once(self, reader: Reader, only: frozenset[str] | None) -> dict[str, Part]:
        """What goes or changes while it is read is looked for again."""
        for _ in range(SCANS - 1):
            try:
                return self._scan(reader, only, final=False)
            except (Missing, Changed):
                continue
        return self._scan(reader, only, final=True)

    def _scan(self, reader: Reader, only: frozenset[str] | None, *, final: bool) -> dict[str, Part]:
        reader.begin()
        if is_mounted(self._folder):
            return reader.part(Entry("", is_mount=True), final=final)
        entries = Walk(self._folder).entries()
        if only is not None:
            return reader.again(only, entries, final=final)
        parts: dict[str, Part] = {}
        for entry in entries:
            parts |= reader.part(entry, final=final)
        return parts


def _counts(
    parts: Mapping[str, Part], candidates: Iterable[Candidate], selection: Selection | None
) -> dict[str, float]:
    """How many Secrets of those that were looked at are valid, for the metrics of a refresh."""
    looked = [one for one in candidates if selection is None or (one.namespace, one.secret) in selection.secrets]
    whole = [] if selection is not None else list(parts.values())
    valid = sum(isinstance(one.result, Target) for one in looked)
    return {
        "secrets_valid": valid,
        "secrets_invalid": len(looked) - valid + sum(len(part.rejected) for part in whole),
        "secrets_skipped": sum(len(part.skipped) for part in whole),
    }


def _digest(skipped: Sequence[Skipped]) -> str:
    """A digest of the skipped objects; empty if there are none."""
    if not skipped:
        return ""
    return sha256(repr([(*one.origin.items(), one.reason) for one in skipped]).encode()).hexdigest()


def _keep_unknown(parts: dict[str, Part], previous: Snapshot[Target]) -> None:
    """After a restart the earlier content of a broken file is unknown: assume that it held what is not found elsewhere.

    If no file is broken, a file with an object without a usable name may have held it.
    """
    found = {(candidate.namespace, candidate.secret) for one in parts.values() for candidate in one.candidates}
    lost = tuple(
        Candidate(target.namespace, target.secret, "", "", target)
        for target in previous.items.values()
        if (target.namespace, target.secret) not in found
    )
    damaged = sorted((name for name, part in parts.items() if part.rejected), key=lambda name: not parts[name].fault)
    if not lost or not damaged:
        return
    name, part = damaged[0], parts[damaged[0]]
    kept = broken(name, part.rejected[0].faults[0], lost, part)
    if part.fault is None:
        kept = replace(kept, candidates=part.candidates + kept.candidates, last=part.last + lost, fault=None)
        kept = replace(kept, rejected=part.rejected[1:])
    parts[name] = kept


def _log_left(parts: Mapping[str, Part], memo: Memo, candidates: Iterable[Candidate]) -> None:
    """Log a WARNING for each Secret that is not in the folder any more, up to a limit."""
    there = {(one.namespace, one.secret) for one in candidates}
    left = [one for name, part in parts.items() if part is not memo.parts.get(name) for one in part.left]
    for name in memo.parts.keys() - parts.keys():
        left += [Left(one.namespace, one.secret, "its file is gone") for one in memo.parts[name].last]
    left = [one for one in left if (one.namespace, one.secret) not in there]
    for one in left[:MAX_LOGGED]:
        name = escaped(f"{one.namespace}/{one.secret}")
        log.warning("Secret is gone: '%s'", name, extra={"kind": "targets", "error": one.reason})
    if len(left) > MAX_LOGGED:
        log.warning("%d more Secrets are gone", len(left) - MAX_LOGGED, extra={"kind": "targets"})
