"""The rules' snapshot as bytes and back, to be kept across restarts; the rules themselves are a warm file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import msgspec

from alert_refresh.engine import AttemptError, Snapshot
from alert_refresh.keep.codec import decoded
from alert_refresh.rules.forms import warm_file
from alert_refresh.rules.rule import Rule, check
from alert_refresh.rules.rule_set import RuleSet, rule_set

if TYPE_CHECKING:
    from alert_refresh.engine import Source
    from alert_refresh.rules.source import FileSource


class _Snapshot(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """`file` is the hash of the file that the rules are, None if only a family was loaded from it."""

    generation: int
    digest: str
    taken_at: float
    file: str | None
    warm: bytes


_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(_Snapshot)


class RuleCodec:
    """See `keep.codec.Codec`. What is loaded matches alerts at once, through the hot cache of the source."""

    schema = 1

    def __init__(self, source: Source[Rule]) -> None:
        self._cache = cast("FileSource", source).cache

    def mark(self, snapshot: Snapshot[Rule]) -> object:
        """The same rules may be those of another file now, which need not be parsed again."""
        loaded = rule_set(snapshot)
        return snapshot.generation, snapshot.digest, loaded.file if loaded else None

    def dump(self, snapshot: Snapshot[Rule]) -> bytes:
        """All rules, whether they are hot or not."""
        loaded = rule_set(snapshot)
        return _encode(
            _Snapshot(
                snapshot.generation,
                snapshot.digest,
                snapshot.taken_at,
                loaded.file if loaded else None,
                warm_file.pack(snapshot.items.values()),
            )
        )

    def load(self, content: bytes) -> Snapshot[Rule]:
        """The snapshot, with its rules indexed.

        Raises:
            ValueError: it is not what `dump` made.
        """
        kept = decoded(_decoder, content)
        try:
            packed, rules = warm_file.verify(kept.warm), warm_file.unpack(kept.warm)
        except AttemptError as error:
            raise ValueError("the rules do not decode") from error
        # The digest of rules from a warm file is the file's own, which may be written in another way.
        if kept.digest not in (packed, kept.file):
            raise ValueError("the rules are not those of the digest")
        if not all(isinstance(one, Rule) for one in rules):
            raise ValueError("the rules do not decode")
        checked = check(cast("list[Rule]", rules), {})
        if not checked.good:
            raise ValueError("the rules are not valid")
        loaded = RuleSet(checked, kept.file, self._cache)
        found: dict[str, Any] = {"generation": kept.generation, "digest": kept.digest, "taken_at": kept.taken_at}
        return Snapshot(items=loaded.rules, memo=loaded, **found)
