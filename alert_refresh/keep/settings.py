"""The settings of what is kept across restarts."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from alert_refresh import durations
from alert_refresh.engine import AttemptError
from alert_refresh.keep.key import read_key

if TYPE_CHECKING:
    from pathlib import Path

    from alert_refresh.env import Env
    from alert_refresh.keep.key import Key

KEY_FILE = "ALERT_REFRESH_SNAPSHOT_KEY_FILE"
MAX_AGE = "ALERT_REFRESH_SNAPSHOT_MAX_AGE"


@dataclass(frozen=True, slots=True)
class Settings:
    """With `folder` None nothing is kept. `max_age` is in seconds, None for no limit."""

    folder: Path | None = None
    key: Key | None = None
    max_age: float | None = None

    def warnings(self) -> list[str]:
        """What keeps the daemon from keeping anything, as `alert-refresh check` says it; looks at the folder."""
        if self.folder is None or self.folder.is_dir():
            return []
        return ["ALERT_REFRESH_STATE_DIR names no folder; nothing is kept until it is there, and it is not created"]


def read(env: Env) -> Settings:
    """The settings; faults are left in `env`."""
    return Settings(env.state_directory(), _key(env), _max_age(env))


def _key(env: Env) -> Key | None:
    path = env.path(
        KEY_FILE,
        "File with the key that encrypts kept snapshots: 32 bytes, plain or in base64 or hexadecimal; unset: they are "
        "not encrypted",
    )
    if path is None:
        return None
    if importlib.util.find_spec("cryptography") is None:
        env.fault(KEY_FILE, "needs the extra 'encryption', which is not installed: install requirements.lock")
        return None
    try:
        return read_key(path)
    except (AttemptError, ValueError) as error:
        env.fault(KEY_FILE, str(error))
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else type(error).__name__
        env.fault(KEY_FILE, f"the key file cannot be read: {why}")
    return None


def _max_age(env: Env) -> float | None:
    text = env.text(
        MAX_AGE,
        "",
        "Oldest kept snapshot that is served after a restart, counted from its last successful refresh; unset: any",
    )
    if not text:
        return None
    try:
        seconds = durations.parse(text)
    except ValueError as error:
        env.fault(MAX_AGE, str(error))
        return None
    if seconds <= 0:
        env.fault(MAX_AGE, "must be greater than 0")
    return seconds
