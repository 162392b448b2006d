"""Rules from one file on disk."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from alert_refresh.engine import Earliest, Mailbox, Never, Snapshot
from alert_refresh.files import at_rest
from alert_refresh.files.at_rest import signature, written_in_place
from alert_refresh.files.read import read_file, storage_error
from alert_refresh.files.watch import DATA, FolderWatch
from alert_refresh.rules import use_counts
from alert_refresh.rules.forms import warm_file
from alert_refresh.rules.forms.rules_file import LARGEST, RulesFile, demand_good, is_self_delimiting
from alert_refresh.rules.hot_cache import HotCache
from alert_refresh.rules.rule import check
from alert_refresh.rules.rule_set import RuleSet, rule_set

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from pathlib import Path

    from alert_refresh.engine import Clock, Deadline, Request, Sink, Watch
    from alert_refresh.rules import Settings
    from alert_refresh.rules.rule import Checked, Rule

SAVE_WITHIN = 2.0
"""Seconds that a stop may take to save the use counts."""

log = logging.getLogger(__name__)


class FileSource:
    """Loads all rules or none. The memo of its snapshot is a `RuleSet`."""

    name = "file"

    def __init__(self, file: Path, settings: Settings, clock: Clock) -> None:
        self._file = file
        self._settings = settings
        self._clock = clock
        counts = use_counts.read(settings.state_directory) if settings.state_directory else {}
        self.cache = HotCache(settings.capacity, counts)
        self._keeper: Mailbox[dict[str, int]] | None = None
        self._seen: tuple[int, ...] | None = None  # signature of the file when it was last read completely

    def refresh(self, previous: Snapshot[Any] | None, request: Request, deadline: Deadline) -> Snapshot[Rule]:
        """Load the file, or only the family `request.scope` of it; the whole file must be valid.

        A file whose content is already loaded is only read, not parsed.

        Raises:
            Transient, Permanent: see `read_file`, `RulesFile` and `demand_good`.
        """
        before = rule_set(previous)
        data = self._read(deadline)
        deadline.check()
        file = RulesFile(data)
        if previous is not None and before is not None and before.file == file.name:
            _warn_of_unknown(request.scope, before)
            return replace(previous, taken_at=self._clock.time())
        checked = file.rules(before.patterns if before else {}, deadline.check)
        demand_good(checked)
        deadline.check()
        digest, whole = file.name if file.warm else warm_file.digest(checked.rules.values()), True
        if request.scope is not None and before is not None:
            checked = _with_family(before, checked, request.scope)
            all_of_it, digest = digest, warm_file.digest(checked.rules.values())
            whole = digest == all_of_it
        self._keep_uses()
        if not checked.rules and (before is None or before.rules):
            log.warning("The rules file holds no rule", extra={"kind": "rules"})
        loaded = RuleSet(checked, file.name if whole else None, self.cache, before)
        _warn_of_unknown(request.scope, loaded, before)
        return Snapshot(items=loaded.rules, digest=digest, taken_at=self._clock.time(), memo=loaded)

    def watches(self, sink: Sink) -> Sequence[Watch]:
        """Watch the file and its folder, since a file may be renamed into place. Called when the worker starts."""
        if self._settings.state_directory is not None:
            folder, most = self._settings.state_directory, self._settings.capacity
            self._keeper = Mailbox("rules-uses", lambda counts: use_counts.write(folder, counts, most), 1)
            self._keeper.start()
        log.info("Spawning scheduled refresh background task")
        schedule = self._settings.refresh.schedule
        if isinstance(schedule, Never):
            log.info("The schedule is disabled; a change of the file or a POST triggers a refresh")
        elif isinstance(schedule, Earliest):
            log.info("Starting scheduled refresh at %s", schedule)
        else:
            log.info("Starting scheduled refresh with %g second interval", self._settings.interval)
        try:
            return (FolderWatch(self._file.parent, sink.notify, names=(self._file.name, DATA)),)
        except OSError as error:
            log.warning("The rules file is not watched: %s", error.strerror)
            return ()

    def close(self) -> None:
        """Save the use counts."""
        if self._keeper is not None:
            self._keep_uses()
            self._keeper.stop(SAVE_WITHIN)
            self._keeper = None

    def _read(self, deadline: Deadline) -> bytes:
        """The content of the file; of one that may be being written in place, once it no longer changes."""
        data = read_file(self._file.parent, self._file, LARGEST)
        while not is_self_delimiting(data):
            state = self._state()
            if not self._may_be_being_written(state):
                self._seen = signature(state)
                break
            deadline.wait(at_rest.SETTLED)
            before, data = data, read_file(self._file.parent, self._file, LARGEST)
            if before == data:
                self._seen = signature(state)
                break
        return data

    def _state(self) -> os.stat_result:
        try:
            return self._file.stat()
        except OSError as error:
            raise storage_error(error, "the rules file") from error

    def _may_be_being_written(self, state: os.stat_result) -> bool:
        return self._seen != signature(state) and written_in_place(state, self._clock.time(), self._seen)

    def _keep_uses(self) -> None:
        if self._keeper is not None and (counts := self.cache.uses()):
            self._keeper.put(counts)


def _warn_of_unknown(family: str | None, *sets: RuleSet | None) -> None:
    """Log a warning if no rule has the requested family, which may be misspelled."""
    if family is not None and not any(one.family(family) for one in sets if one is not None):
        log.warning(
            "No rule has family %s, neither in the file nor in the rules loaded before", family, extra={"kind": "rules"}
        )


def _with_family(before: RuleSet, checked: Checked, family: str) -> Checked:
    """The loaded rules, with that family replaced from the file. A rule that moved to or from it is moved."""
    rules = {rule.id: rule for rule in before.all() if rule.family != family}
    left = {rule.id for rule in before.family(family)}
    rules |= {rule.id: rule for rule in checked.rules.values() if rule.family == family or rule.id in left}
    return check(list(rules.values()), dict(before.patterns) | dict(checked.patterns))
