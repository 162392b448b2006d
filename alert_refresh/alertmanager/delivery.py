"""One configuration written, loaded by every Alertmanager and verified; one that is refused is taken back."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING

from alert_refresh.alertmanager.culprits import culprits
from alert_refresh.alertmanager.delivered import Culprit
from alert_refresh.alertmanager.render import render
from alert_refresh.alertmanager.running.client import CONFIG
from alert_refresh.engine import AttemptError, Deadline, Fault, Permanent, Transient

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from alert_refresh.alertmanager.delivered import Delivered
    from alert_refresh.alertmanager.file import ConfigFile
    from alert_refresh.alertmanager.inputs import Inputs
    from alert_refresh.alertmanager.render import Rendering
    from alert_refresh.alertmanager.running.amtool import Amtool
    from alert_refresh.alertmanager.running.instances import Instance, Instances
    from alert_refresh.engine import Clock

RESTORE_WITHIN = 4.0
"""Seconds for the reload of the file before a refused one: it is restored also when an attempt's time is over."""
TARGET, RULE = "target:", "rule:"
"""How parts of a rendering are called, before the name."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Round:
    """What one attempt has to deliver, and what it found: the content of the file, and what the Alertmanagers run.

    `culprits` are the parts that are left out since Alertmanager refused them.
    """

    before: Delivered
    inputs: Inputs
    rendering: Rendering
    current: bytes | None
    seen: tuple[Instance, ...]
    versions: tuple[str | None, ...]
    culprits: Mapping[str, Culprit]

    @property
    def done(self) -> bool:
        """Whether there is nothing to write and nothing to reload."""
        return self.current == self.rendering.text and not self.behind and not self.unproven

    @property
    def unproven(self) -> bool:
        """Whether nothing is known of what is in the file: no Alertmanager answers, and none was seen to run it."""
        return bool(self.seen) and not self.answering and self.before.verified is None

    @property
    def answering(self) -> bool:
        """Whether there is an Alertmanager that answers."""
        return any(one.error is None for one in self.seen)

    @property
    def behind(self) -> tuple[str, ...]:
        """The Alertmanagers that answer and run something else."""
        return tuple(one.name for one in self.seen if one.error is None and not self.is_run_by(one))

    def is_run_by(self, one: Instance) -> bool:
        """Whether an Alertmanager runs this rendering."""
        return one.runs(self.rendering.text, self.rendering.digest)

    def with_seen(self, seen: Sequence[Instance]) -> Round:
        """The same, after some Alertmanagers were asked again."""
        newer = {one.name: one for one in seen}
        return replace(self, seen=tuple(newer.get(one.name, one) for one in self.seen))

    def without(self, parts: Collection[str]) -> Round:
        """The same without further parts, which Alertmanager refused."""
        digests = self.rendering.parts
        found = {part: Culprit(digests[part], self.versions) for part in parts}
        return self.leaving_out({**self.culprits, **found})

    def leaving_out(self, left_out: Mapping[str, Culprit]) -> Round:
        """The same, with these parts left out."""
        return replace(self, culprits=left_out, rendering=render(excluding(self.inputs, left_out, self.versions)))


class Delivery:
    """Writes, reloads, verifies. `drift` counts how often somebody else had changed the file."""

    def __init__(
        self, file: ConfigFile, instances: Instances, amtool: Amtool, clock: Clock, min_reload_interval: float
    ) -> None:
        self.drift = 0
        self._file = file
        self._instances = instances
        self._amtool = amtool
        self._clock = clock
        self._interval = min_reload_interval
        self._written: bytes | None = None
        self._reloaded_at = -math.inf
        self.reload_seconds = 0.0

    def rest(self, deadline: Deadline) -> bool:
        """Wait until another reload may follow the last one; whether that took time.

        Raises:
            Transient, Stopping: see `Deadline.wait`.
        """
        left = self._reloaded_at + self._interval - self._clock.monotonic()
        if left > 0:
            deadline.wait(left)
        return left > 0

    def deliver(self, work: Round, deadline: Deadline) -> Round:
        """Deliver; returns what was delivered, without the culprits that were found, and what the Alertmanagers say.

        Raises:
            Transient, Permanent: the file could not be written, or Alertmanager refuses the template. The file is what
                it was before, then.
        """
        self.reload_seconds = 0.0
        self._note_drift(work)
        good = self._good(work)
        while True:
            if work.current != work.rendering.text:
                if (
                    not work.answering
                    and work.seen
                    and not self._tool_fits(work, deadline)
                    and work.current is not None
                ):
                    return work
                if _unsure(work) and self._tool_refuses(work, good, deadline):
                    work = self._without_culprits(work, good, deadline)
                    continue
                self._write(work.rendering.text)
            elif work.unproven and self._tool_refuses(work, good, deadline):
                work = self._without_culprits(work, good, deadline)
                continue
            work = self._reloaded(work, work.behind, deadline)
            if not any(one.refused for one in work.seen):
                return work
            self._restore(good, work)
            work = self._without_culprits(work, good, deadline)

    def found(self, work: Round) -> None:
        """Note that the file is as it should be already: from now on a change is by somebody else."""
        self._written = _digest(work.current)

    def changed_by_others(self) -> bool:
        """Whether the file is not what was written last; False before anything was written."""
        if self._written is None:
            return False
        try:
            return _digest(self._file.read()) != self._written
        except AttemptError:
            return True

    def _note_drift(self, work: Round) -> None:
        if self._written is not None and _digest(work.current) != self._written:
            self.drift += 1
            log.warning(
                "The configuration file was changed by somebody else; it is written again",
                extra={"kind": "alertmanager"},
            )

    def _good(self, work: Round) -> bytes | None:
        """The configuration that a refused one gives way to."""
        if work.before.verified is not None:
            return work.before.verified.text
        for text in (work.current, self._file.previous()):
            if text is not None and any(one.runs(text, "") for one in work.seen):
                return text
        return work.current

    def _tool_fits(self, work: Round, deadline: Deadline) -> bool:
        """Whether there is a tool, and of the version that runs, as far as that is known: others know other fields."""
        versions = {version for version in work.versions if version is not None}
        return self._amtool.path is not None and versions <= {self._amtool.version(deadline)}

    def _tool_refuses(self, work: Round, good: bytes | None, deadline: Deadline) -> bool:
        """Whether the tool refuses the rendering; not if it refuses what Alertmanager runs, too: it may lack a file."""
        if not self._tool_fits(work, deadline) or not self._amtool.refuses(work.rendering.text, deadline):
            return False
        return good is None or not _is_run(good, work) or not self._amtool.refuses(good, deadline)

    def _write(self, text: bytes, *, keep: bool = True) -> None:
        # Before it is there: whoever watches the file must know it for ours.
        before, self._written = self._written, _digest(text)
        try:
            self._file.write(text, keep=keep)
        except AttemptError:
            self._written = before
            raise

    def _reloaded(self, work: Round, names: Sequence[str], deadline: Deadline) -> Round:
        """Tell these Alertmanagers to load the file; one that loads another file has an error."""
        if not names:
            return work
        began = self._reloaded_at = self._clock.monotonic()
        after = self._instances.reload(names, deadline)
        self.reload_seconds += self._clock.monotonic() - began
        other = Permanent("it loaded another configuration; is ALERTMANAGER_CONFIG_FILE the file it reads?", CONFIG)
        return work.with_seen(
            [replace(one, error=other) if one.error is None and not work.is_run_by(one) else one for one in after]
        )

    def _restore(self, good: bytes | None, work: Round) -> None:
        """Put the configuration before back, and have it loaded; also when the attempt's time is over."""
        log.warning(
            "Alertmanager refuses the new configuration; the one before it is put back", extra={"kind": "alertmanager"}
        )
        if good is None:
            self._file.remove()
            self._written = None
            return
        self._written = _digest(good)
        self._file.restore(good)
        self._instances.reload(_loading(work), Deadline(self._clock, RESTORE_WITHIN))

    def _without_culprits(self, work: Round, good: bytes | None, deadline: Deadline) -> Round:
        """The same without the parts that Alertmanager refuses: looked for among what changed, then among everything.

        Raises:
            Permanent: it refuses the template.
            Transient: the time is over, or it accepts now what it refused.
        """
        by_tool = self._tool_refuses(work, good, deadline)
        for suspects in _suspects(work):
            trial = partial(self._passes_by_tool if by_tool else self._passes_reload, work, suspects, good, deadline)
            found = culprits(suspects, trial)
            if found:
                log.warning(
                    "Alertmanager refuses %d parts of the configuration, which are left out", len(found),
                    extra={"kind": "alertmanager", "refused": found[:20]},
                )  # fmt: skip
                seen = [replace(one, error=None, refused=False) if one.refused else one for one in work.seen]
                return replace(work.without(found).with_seen(seen), current=self._file.read())
            if found is not None:
                raise Transient("Alertmanager refused the configuration, and accepts every part of it", CONFIG)
        raise Permanent("Alertmanager refuses the template, even without any target and rule", CONFIG)

    def _passes_by_tool(
        self, work: Round, suspects: Sequence[str], _: bytes | None, deadline: Deadline, accepted: Collection[str]
    ) -> bool:
        """Whether the tool accepts the configuration with these of the suspects only."""
        return not self._amtool.refuses(_with_only(work, suspects, accepted), deadline)

    def _passes_reload(
        self, work: Round, suspects: Sequence[str], good: bytes | None, deadline: Deadline, accepted: Collection[str]
    ) -> bool:
        """Whether Alertmanager loads the configuration with these of the suspects only."""
        deadline.check()
        try:
            self._write(_with_only(work, suspects, accepted), keep=False)
            after = self._instances.reload(_loading(work), deadline)
            refused = any(one.refused for one in after)
            failed = next((one.error for one in after if one.error is not None and not one.refused), None)
            if failed is not None and not refused:
                raise failed
        except AttemptError:
            self._restore(good, work)
            raise
        if refused:
            self._restore(good, work)
        return not refused


def excluding(inputs: Inputs, left_out: Mapping[str, Culprit], versions: Sequence[str | None]) -> Inputs:
    """The inputs with these parts left out, each with the fault that says so."""
    named = ", ".join(dict.fromkeys(version for version in versions if version)) or "of an unknown version"
    fault = Fault("alertmanager", f"undeliverable: Alertmanager {named} refuses the configuration with it")
    return replace(
        inputs,
        excluded_targets={part.removeprefix(TARGET): (fault,) for part in left_out if part.startswith(TARGET)},
        excluded_rules={part.removeprefix(RULE): (fault,) for part in left_out if part.startswith(RULE)},
    )


def _unsure(work: Round) -> bool:
    """Whether a configuration has to be checked before it is written: no Alertmanager answers that would check it, or
    something changed that the model of receivers and routes does not know whole: the template, or a rule's expressions.
    """
    verified, parts = work.before.verified, work.rendering.parts
    if verified is None or not work.answering:
        return True
    return any(verified.parts.get(part) != digest for part, digest in parts.items() if not part.startswith(TARGET))


def _with_only(work: Round, suspects: Sequence[str], accepted: Collection[str]) -> bytes:
    """The configuration with these of the suspects only."""
    chosen = frozenset(accepted)
    return work.without([part for part in suspects if part not in chosen]).rendering.text


def _is_run(text: bytes, work: Round) -> bool:
    """Whether a configuration is known to be one that Alertmanager loads."""
    return work.before.verified is not None or any(one.runs(text, "") for one in work.seen)


def _loading(work: Round) -> list[str]:
    """The Alertmanagers that answer, also those that refused."""
    return [one.name for one in work.seen if one.error is None or one.refused]


def _suspects(work: Round) -> list[list[str]]:
    """What may be the cause of a refusal: first what changed since the last verified rendering, then everything."""
    rendering, verified = work.rendering, work.before.verified
    undeliverable = {TARGET + name for name in rendering.undeliverable}
    undeliverable |= {RULE + rule_id for rule_id in rendering.undeliverable_rules}
    every = [part for part in rendering.parts if part.startswith((TARGET, RULE)) and part not in undeliverable]
    if verified is None or work.versions != work.before.versions:
        return [every]
    changed = [part for part in every if rendering.parts[part] != verified.parts.get(part)]
    return [changed, every] if len(changed) < len(every) else [every]


def _digest(text: bytes | None) -> bytes:
    return b"" if text is None else sha256(text).digest()
