"""Which encoding an Accept header asks for, as the API server reads it."""

from __future__ import annotations

from typing import NamedTuple

JSON = "application/json"
PROTOBUF = "application/vnd.kubernetes.protobuf"
WHAT = {"list": "PartialObjectMetadataList", "get": "PartialObjectMetadata"}


class Format(NamedTuple):
    """How an object is written: `metadata` means without its content."""

    content_type: str = JSON
    metadata: bool = False

    @property
    def protobuf(self) -> bool:
        return self.content_type == PROTOBUF


def negotiate(accept: str, verb: str, *, protobuf: bool) -> Format | None:
    """The first format of the header that there is for a `list` or a `get`; None for 406."""
    for clause in (accept or JSON).split(","):
        media, *rest = (part.strip() for part in clause.split(";"))
        parameters = dict(part.partition("=")[::2] for part in rest)
        made = parameters.get("as")
        if made and (made, parameters.get("g"), parameters.get("v")) != (WHAT.get(verb), "meta.k8s.io", "v1"):
            continue
        if media == PROTOBUF and protobuf:
            return Format(PROTOBUF, metadata=bool(made))
        if media in (JSON, "*/*"):
            return Format(JSON, metadata=bool(made))
    return None
