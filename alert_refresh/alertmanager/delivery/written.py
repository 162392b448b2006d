"""The configuration file as far as it is ours: what was written last, and whether Alertmanager is known to load it.

While a configuration is in the file that no Alertmanager has loaded yet, a mark beside the file says so, by digests
alone: a process that is killed then leaves `.previous`, which is known to load, and the next one puts it back.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING

from alert_refresh.engine import AttemptError

if TYPE_CHECKING:
    from pathlib import Path

    from alert_refresh.alertmanager.file import ConfigFile

log = logging.getLogger(__name__)


class Written:
    """The file. `drift` counts how often somebody else had changed it and it was written again."""

    def __init__(self, file: ConfigFile) -> None:
        self.drift = 0
        self._file = file
        self._last: bytes | None = None

    def write(self, text: bytes, good: bytes | None) -> None:
        """Replace the content; `good` is what Alertmanager loads if this is refused, None if nothing is known of that.

        Raises:
            Transient, Permanent: nothing is replaced (`storage`).
        """
        drifted = self._last is not None and _digest(self._file.read()) != self._last
        if good is not None:
            self._mark(f"{sha256(text).hexdigest()} {sha256(good).hexdigest()}")
        # Before it is there: whoever watches the file must know it for ours.
        before, self._last = self._last, _digest(text)
        try:
            self._file.write(text)
        except AttemptError:
            self._last = before
            self.loaded()
            raise
        if drifted:
            self.drift += 1
            log.warning(
                "The configuration file was changed by somebody else; it is written again",
                extra={"kind": "alertmanager"},
            )

    def put_back(self, good: bytes | None) -> None:
        """Let what was there before a refused one be the content again; None: there was no file.

        Raises:
            Transient, Permanent: see `write`.
        """
        if good is None:
            self._file.remove()
            self._last = None
        else:
            self._last = _digest(good)
            self._file.restore(good)
        self.loaded()

    def found(self, current: bytes | None) -> None:
        """Note that the file is as it should be already: from now on a change is by somebody else."""
        self._last = _digest(current)

    def loaded(self) -> None:
        """Note that Alertmanager loads what is in the file."""
        with suppress(OSError):
            self._marked.unlink()

    def on_trial(self, current: bytes | None) -> bool:
        """Whether this content was written, and no Alertmanager is known to have loaded it."""
        mark = self._read_mark()
        return bool(mark) and current is not None and mark.startswith(sha256(current).hexdigest())

    def without_trial(self, current: bytes) -> bytes:
        """Replace a configuration that a killed process left before any Alertmanager had loaded it by the one before.

        Returns:
            What is in the file then: the same if it is none, or the one before is not known to load.
        """
        previous = self._file.previous()
        if previous is None or self._read_mark() != f"{sha256(current).hexdigest()} {sha256(previous).hexdigest()}":
            return current
        log.warning(
            "The file has a configuration that no Alertmanager has loaded; the one before it is put back",
            extra={"kind": "alertmanager"},
        )
        self.put_back(previous)
        return previous

    def changed_by_others(self) -> bool:
        """Whether the file is not what was written last; False before anything was written."""
        return self._last is not None and not self.is_ours()

    def is_ours(self) -> bool:
        """Whether the file is what was written last."""
        try:
            return _digest(self._file.read()) == self._last
        except AttemptError:
            return False

    @property
    def _marked(self) -> Path:
        path = self._file.real
        return path.with_name(f".{path.name}.trial")

    def _mark(self, digests: str) -> None:
        """Say what is not loaded yet; without room for that, or rights, there will be none for the file either."""
        with suppress(OSError):
            self.loaded()
            mark = os.open(self._marked, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                os.write(mark, digests.encode())
            finally:
                os.close(mark)

    def _read_mark(self) -> str:
        with suppress(OSError, UnicodeDecodeError):
            return self._marked.read_text()
        return ""


def _digest(text: bytes | None) -> bytes:
    return b"" if text is None else sha256(text).digest()
