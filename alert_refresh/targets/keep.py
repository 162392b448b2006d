"""The targets' snapshot as bytes and back, to be kept across restarts."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec

from alert_refresh.credential import Credential
from alert_refresh.engine import Fault, Rejected, Skipped, Snapshot
from alert_refresh.keep.codec import decoded
from alert_refresh.targets.assemble import CONTENT, content_digest
from alert_refresh.targets.secret.json_object import JsonObject, canonical
from alert_refresh.targets.target import NO_FILTERS, NO_HEADERS, Target, digest_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alert_refresh.engine import Source

Pairs = list[tuple[str, str]]


class _Target(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    name: str
    type: str
    format: str
    url: str
    enabled: bool
    headers: dict[str, str]
    filter_config: bytes
    namespace: str
    secret: str
    shape: str
    stale_since: float | None
    faults: Pairs


class _Snapshot(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    generation: int
    digest: str
    taken_at: float
    targets: list[_Target]
    rejected: list[tuple[dict[str, str], Pairs]]
    skipped: list[tuple[dict[str, str], str]]
    skipped_count: int


_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(_Snapshot)
_decode_filters = msgspec.json.Decoder(dict[str, Any]).decode


class TargetCodec:
    """See `keep.codec.Codec`."""

    schema = 1

    def __init__(self, source: Source[Target]) -> None:
        """Targets are the same from whichever source."""

    def mark(self, snapshot: Snapshot[Target]) -> object:
        """The digest names everything that can be seen, stale targets and their faults too."""
        return snapshot.generation, snapshot.digest

    def dump(self, snapshot: Snapshot[Target]) -> bytes:
        """Credentials are in the clear in it."""
        return _encode(
            _Snapshot(
                snapshot.generation,
                snapshot.digest,
                snapshot.taken_at,
                [_plain(target) for target in snapshot.items.values()],
                [(dict(one.origin), _pairs(one.faults)) for one in snapshot.rejected],
                [(dict(one.origin), one.reason) for one in snapshot.skipped],
                snapshot.skipped_count,
            )
        )

    def load(self, content: bytes) -> Snapshot[Target]:
        """The snapshot; its targets are made anew, so that their digests prove their content.

        Raises:
            ValueError: it is not what `dump` made.
        """
        kept = decoded(_decoder, content)
        items = {one.name: _target(one) for one in kept.targets}
        rejected = tuple(Rejected(origin, _faults(pairs)) for origin, pairs in kept.rejected)
        if len(items) != len(kept.targets):
            raise ValueError("two targets have one name")
        if content_digest(items.values(), rejected) != kept.digest[:CONTENT]:
            raise ValueError("the targets are not those of the digest")
        return Snapshot(
            items=items,
            rejected=rejected,
            digest=kept.digest,
            taken_at=kept.taken_at,
            generation=kept.generation,
            skipped=tuple(Skipped(origin, reason) for origin, reason in kept.skipped),
            skipped_count=kept.skipped_count,
        )


def _plain(target: Target) -> _Target:
    filters = target.filter_config
    return _Target(
        target.name,
        target.type,
        target.format,
        target.url.reveal(),
        target.enabled,
        {name: value.reveal() for name, value in target.headers.items()},
        filters.text if isinstance(filters, JsonObject) else canonical(dict(filters)),
        target.namespace,
        target.secret,
        target.shape,
        target.stale_since,
        _pairs(target.faults),
    )


def _target(one: _Target) -> Target:
    filters = NO_FILTERS
    if one.filter_config != NO_FILTERS.text:
        try:
            _decode_filters(one.filter_config)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ValueError("the filters of a target do not decode") from error
        filters = JsonObject(one.filter_config)
    return Target(
        one.name,
        one.type,
        one.format,
        Credential(one.url),
        one.enabled,
        _masked(one.headers),
        filters,
        one.namespace,
        one.secret,
        one.shape,
        one.stale_since,
        _faults(one.faults),
        _digest(one),
    )


def _digest(one: _Target) -> bytes:
    """What `Target` computes by itself, from the text of the filters as it is."""
    config = {
        "enabled": one.enabled,
        "filter_config": msgspec.Raw(one.filter_config),
        "format": one.format,
        "headers": one.headers,
        "name": one.name,
        "type": one.type,
        "url": one.url,
    }
    return digest_of(canonical((config, one.namespace, one.secret, one.shape)))


def _masked(headers: Mapping[str, str]) -> Mapping[str, Credential]:
    if not headers:
        return NO_HEADERS
    return MappingProxyType({name: Credential(value) for name, value in headers.items()})


def _pairs(faults: Sequence[Fault]) -> Pairs:
    return [(fault.field, fault.message) for fault in faults]


def _faults(pairs: Pairs) -> tuple[Fault, ...]:
    return tuple(Fault(field, message) for field, message in pairs)
