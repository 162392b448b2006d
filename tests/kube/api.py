"""The routes of the stand-in: a request in, an answer as the real API server gives it out. No socket here."""

from __future__ import annotations

import base64
import json
import re
from bisect import bisect_left
from itertools import islice
from typing import TYPE_CHECKING, Any

from tests.kube import protobuf
from tests.kube.negotiation import JSON, Format, negotiate
from tests.kube.selectors import parse_fields, parse_labels
from tests.kube.store import Conflict, Query, Store, Stored
from tests.kube.wire import Response, failure, reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.kube.wire import Request

SECRETS = re.compile(r"/api/v1(?:/namespaces/([^/]+))?/secrets(?:/([^/]+))?")
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
OPEN = {"/healthz": b"ok", "/livez": b"ok", "/readyz": b"ok"}
VERSION = {"major": "1", "minor": "36", "gitVersion": "v1.36.0", "platform": "linux/amd64"}
BLOCK = 100
"""Secrets of a list that are joined at a time."""
PROTOBUF_COST, METADATA_COST = 0.45, 0.22
"""Of the time that a list takes in JSON, as measured on a real API server."""
EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list"
    " without the continue parameter, or use the continue token in this response to retrieve the remainder of"
    " the results. Continuing with the provided token results in an inconsistent list."
)


def is_watch(request: Request) -> bool:
    """Whether it asks for a stream of events."""
    found = SECRETS.fullmatch(request.path)
    return found is not None and found[2] is None and request.query.get("watch") in ("1", "true")


def query_of(request: Request) -> Query:
    """What a list or watch selects.

    Raises:
        ValueError: a selector cannot be read.
    """
    found = SECRETS.fullmatch(request.path)
    return Query(
        namespace=(found[1] if found else None) or "",
        labels=parse_labels(request.query.get("labelSelector", "")),
        fields=parse_fields(request.query.get("fieldSelector", "")),
    )


def verb_of(request: Request) -> str:
    """The right that a request for Secrets needs."""
    found = SECRETS.fullmatch(request.path)
    named = found is not None and found[2] is not None
    if request.method in ("GET", "HEAD"):
        return "get" if named else "watch" if is_watch(request) else "list"
    return {"POST": "create", "PUT": "update", "DELETE": "delete"}.get(request.method, request.method.lower())


def forbidden(request: Request, namespace: str) -> Response:
    """403 as RBAC answers it."""
    where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    return failure(
        403,
        "Forbidden",
        f'secrets is forbidden: User "system:serviceaccount:default:alert-refresh" cannot {verb_of(request)}'
        f' resource "secrets" in API group "" {where}',
        details={"kind": "secrets"},
    )


def answer(
    store: Store,
    request: Request,
    allowed: Callable[[str, str], bool],
    user: str = "",
    *,
    protobuf: bool = True,
) -> Response:
    """Answer anything but a watch; `allowed(verb, namespace)` says what the caller, who is `user`, may do.

    Without `protobuf` there is only JSON.
    """
    if request.path in OPEN:
        return Response(200, [OPEN[request.path]], {"Content-Type": "text/plain; charset=utf-8"})
    if request.path == "/version":
        return reply(200, VERSION)
    if request.path == REVIEWS and request.method == "POST":
        return _review(json.loads(request.body), allowed)
    if request.path == WHO and request.method == "POST":
        return reply(201, json.loads(request.body) | {"status": {"userInfo": {"username": user}}})
    found = SECRETS.fullmatch(request.path)
    if found is None:
        return failure(404, "NotFound", "the server could not find the requested resource")
    namespace, name = found[1] or "", found[2]
    if not allowed(verb_of(request), namespace):
        return forbidden(request, namespace)
    form = negotiate(request.headers.get("accept", ""), verb_of(request), protobuf=protobuf)
    if form is None:
        return failure(406, "NotAcceptable", f"only the following media types are accepted: {JSON}")
    try:
        if name is None and request.method == "GET":
            return _list(store, request, form)
        return _one(store, request, namespace, name, form)
    except Conflict as conflict:
        return failure(conflict.code, conflict.reason, str(conflict))
    except (ValueError, KeyError, TypeError) as error:
        return failure(400, "BadRequest", str(error))


def _one(store: Store, request: Request, namespace: str, name: str | None, form: Format) -> Response:
    if name is None and request.method == "POST":
        document = _sent(request, namespace)
        return Response(201, [store.create(document).whole()])
    if name is None or request.method not in ("GET", "PUT", "DELETE"):
        return failure(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
    if request.method == "PUT":
        document = _sent(request, namespace)
        if document["metadata"]["name"] != name:
            raise ValueError("the name of the object does not match the name on the URL")
        return Response(200, [store.replace(document).whole()])
    if request.method == "DELETE":
        gone = store.delete(namespace, name).document()["metadata"]
        details = {"name": name, "kind": "secrets", "uid": gone["uid"]}
        status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
        return reply(200, status)
    stored = store.objects.get((namespace, name))
    if stored is None:
        raise Conflict(404, "NotFound", f'secrets "{name}" not found')
    return _single(stored, form)


def _single(stored: Stored, form: Format) -> Response:
    if form.protobuf and stored.encoded is not None:
        kind = ("meta.k8s.io/v1", "PartialObjectMetadata") if form.metadata else ("v1", "Secret")
        content = stored.encoded.partial(stored.padding) if form.metadata else stored.encoded.secret(stored.padding)
        return Response(200, [protobuf.wrap(*kind, content)], {"Content-Type": form.content_type})
    return Response(200, [stored.partial() if form.metadata else stored.whole()])


def _sent(request: Request, namespace: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(request.body)
    if document.get("kind", "Secret") != "Secret" or not document["metadata"]["name"]:
        raise ValueError("the object provided is unrecognized")
    if document["metadata"].setdefault("namespace", namespace) != namespace:
        raise ValueError("the namespace of the provided object does not match the namespace sent on the request")
    return document


def _list(store: Store, request: Request, form: Format) -> Response:
    query, limit = query_of(request), int(request.query.get("limit") or 0)
    asked = request.query.get("resourceVersion", "")
    version, start = None, ("", "")
    if token := request.query.get("continue", ""):
        version, start = _read_token(token)
    elif request.query.get("resourceVersionMatch") == "Exact":
        version = int(asked)
    elif asked and int(asked) > store.version:
        return failure(504, "Timeout", f"Too large resource version: {asked}, current: {store.version}")
    known = store.at(version if version != -1 else None)
    if known is None:
        rest = {"continue": _token(-1, start)} if token else None
        return failure(410, "Expired", EXPIRED if token else "The resourceVersion is too old.", metadata=rest)
    version, everything = known
    first = max(start, (query.namespace, ""))
    begin = bisect_left(everything, first, key=lambda one: one.key)
    end = len(everything)
    if query.namespace:
        end = bisect_left(everything, (query.namespace + "\0", ""), key=lambda one: one.key)
    matching = (one for one in islice(everything, begin, end) if one.matches(query))
    found = list(islice(matching, limit + 1 if limit else None))
    metadata: dict[str, Any] = {"resourceVersion": str(version)}
    if limit and len(found) > limit:
        metadata["continue"] = _token(version, found.pop().key)
        if not (query.labels or query.fields):
            metadata["remainingItemCount"] = end - begin - limit
    if form.protobuf and all(one.encoded is not None for one in found):
        cost = METADATA_COST if form.metadata else PROTOBUF_COST
        return Response(200, _protobuf_body(metadata, found, form), {"Content-Type": form.content_type}, cost)
    return Response(200, _list_body(metadata, found, form))


def _list_body(metadata: dict[str, Any], found: list[Stored], form: Format) -> Iterator[bytes]:
    api_version, kind = kind_of(form)
    yield b'{"kind":"%b","apiVersion":"%b","metadata":' % (kind.encode(), api_version.encode())
    yield json.dumps(metadata).encode() + b',"items":['
    for start in range(0, len(found), BLOCK):
        items = [one.partial() if form.metadata else one.item() for one in found[start : start + BLOCK]]
        yield (b"," if start else b"") + b",".join(items)
    yield b"]}\n"


def _protobuf_body(metadata: dict[str, Any], found: list[Stored], form: Format) -> Iterator[bytes]:
    first = protobuf.list_metadata(metadata)
    blocks = [
        b"".join([_item(one, form) for one in found[start : start + BLOCK]]) for start in range(0, len(found), BLOCK)
    ]
    yield protobuf.begin(*kind_of(form), len(first) + sum(map(len, blocks))) + first
    yield from blocks
    yield protobuf.END


def _item(stored: Stored, form: Format) -> bytes:
    assert stored.encoded is not None
    encoded, padding = stored.encoded, stored.padding
    return protobuf.field(2, encoded.partial(padding) if form.metadata else encoded.secret(padding))


def kind_of(form: Format) -> tuple[str, str]:
    """apiVersion and kind of a list."""
    return ("meta.k8s.io/v1", "PartialObjectMetadataList") if form.metadata else ("v1", "SecretList")


def _token(version: int, start: tuple[str, str]) -> str:
    text = json.dumps({"v": "meta.k8s.io/v1", "rv": version, "start": "/".join(start)})
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read_token(token: str) -> tuple[int, tuple[str, str]]:
    try:
        read = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        namespace, name = read["start"].split("/")
        return int(read["rv"]), (namespace, name)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError("continue key is not valid") from error


def _review(document: dict[str, Any], allowed: Callable[[str, str], bool]) -> Response:
    asked = document["spec"].get("resourceAttributes", {})
    good = asked.get("resource") == "secrets" and allowed(asked.get("verb", ""), asked.get("namespace", ""))
    return reply(201, document | {"status": {"allowed": good}})
