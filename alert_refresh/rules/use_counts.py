"""How often each rule was used, kept across restarts, so that the right rules are hot from the start.

A nicety: whatever goes wrong with it costs a WARNING and nothing else.
"""

from __future__ import annotations

import heapq
import logging
from typing import TYPE_CHECKING

import msgspec

from alert_refresh.files import write as atomic_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

NAME = "rules-uses.json"
"""The file's name in the state directory."""
LARGEST = 64 * 1024 * 1024

log = logging.getLogger(__name__)

_decoder = msgspec.json.Decoder(dict[str, int])


def read(folder: Path) -> dict[str, int]:
    """Uses by rule id from before the restart, halved so that what was used long ago fades."""
    try:
        with (folder / NAME).open("rb") as file:
            counts = _decoder.decode(file.read(LARGEST))
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        log.warning("The kept use counts of rules cannot be read", extra={"error": type(error).__name__})
        return {}
    return {rule_id: count // 2 for rule_id, count in counts.items() if count > 1}


def write(folder: Path, counts: Mapping[str, int], most: int) -> None:
    """Keep the counts of the `most` rules used most."""
    kept = dict(heapq.nlargest(most, counts.items(), key=lambda item: item[1]))
    try:
        atomic_file.write(folder / NAME, msgspec.json.encode(kept))
    except OSError as error:
        log.warning("The use counts of rules cannot be kept", extra={"error": error.strerror or type(error).__name__})
