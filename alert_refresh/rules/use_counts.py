"""The number of uses of each rule, saved across restarts to warm up the hot cache.

Best effort: an error is logged as a WARNING and has no other effect.
"""

from __future__ import annotations

import heapq
import logging
import os
from typing import TYPE_CHECKING

import msgspec

from alert_refresh.engine import AttemptError
from alert_refresh.files import write as atomic_file
from alert_refresh.files.read import READ_ONLY, read_descriptor

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

NAME = "rules-uses.json"
"""The file's name in the state directory."""
LARGEST = 64 * 1024 * 1024

log = logging.getLogger(__name__)

_decoder = msgspec.json.Decoder(dict[str, int])


def read(folder: Path) -> dict[str, int]:
    """The uses saved before the restart, by rule id, halved so that old uses lose weight."""
    try:
        descriptor = os.open(folder / NAME, READ_ONLY)
        counts = _decoder.decode(read_descriptor(descriptor, "the file", LARGEST))
    except FileNotFoundError:
        return {}
    except (OSError, AttemptError, msgspec.DecodeError, UnicodeDecodeError) as error:
        log.warning("The saved use counts of rules cannot be read", extra={"error": type(error).__name__})
        return {}
    return {rule_id: count // 2 for rule_id, count in counts.items() if count > 1}


def write(folder: Path, counts: Mapping[str, int], most: int) -> None:
    """Save the counts of the `most` most used rules."""
    kept = dict(heapq.nlargest(most, counts.items(), key=lambda item: item[1]))
    try:
        atomic_file.write(folder / NAME, msgspec.json.encode(kept))
    except OSError as error:
        log.warning("The use counts of rules cannot be saved", extra={"error": error.strerror or type(error).__name__})
