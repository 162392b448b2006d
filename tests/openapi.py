"""Whether an answer is one that `openapi.json` describes: its status, each of its headers, its body."""

from __future__ import annotations

import gzip
import json
import re
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from jsonschema_rs import Draft202012Validator
from werkzeug.exceptions import HTTPException

from alert_refresh.web.docs.routes import OPENAPI

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flask import Flask
    from werkzeug.test import TestResponse

DOCUMENT: dict[str, Any] = json.loads(OPENAPI.read_bytes())
PATHS: dict[str, dict[str, Any]] = DOCUMENT["paths"]
COMPONENTS: dict[str, dict[str, Any]] = DOCUMENT["components"]

OF_HTTP = {"connection", "content-length", "content-type", "date", "keep-alive", "server", "transfer-encoding"}
"""Headers of the protocol, which OpenAPI leaves out."""
METHODS = {"get", "post", "put", "patch", "delete"}


class Undescribed(AssertionError):
    """Raised for an answer that the document does not describe; the message says what is not."""


def resolve(node: Any) -> Any:
    """The node, or the one that its `$ref` names."""
    while isinstance(node, dict) and "$ref" in node:
        found: Any = DOCUMENT
        for step in node["$ref"].removeprefix("#/").split("/"):
            found = found[step.replace("~1", "/").replace("~0", "~")]
        node = found
    return node


def operations() -> dict[tuple[str, str], dict[str, Any]]:
    """Every operation, by its method in upper case and its path."""
    found = {(method.upper(), path): item[method] for path, item in PATHS.items() for method in METHODS & set(item)}
    return cast("dict[tuple[str, str], dict[str, Any]]", found)


@cache
def _templates() -> list[tuple[re.Pattern[str], str]]:
    """The paths as regular expressions; those with fewer variables come first, as OpenAPI wants them matched."""
    by_variables = sorted(PATHS, key=lambda path: path.count("{"))
    return [(re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path))), path) for path in by_variables]


def template_of(path: str) -> str | None:
    """The path of the document that a request's path means; None if there is none."""
    return next((template for pattern, template in _templates() if pattern.fullmatch(path)), None)


def described(method: str, path: str, status: int) -> dict[str, Any]:
    """What the document says of the answer with this status to this request.

    Raises:
        Undescribed: the operation has no such answer.
    """
    template = template_of(path)
    common = COMPONENTS["responses"]
    if template is None:
        if status != 404:
            raise Undescribed(f"{status} for {path}, which is no path of the document")
        return cast("dict[str, Any]", common["DetailNotFound" if path.startswith("/api/entities/") else "NotFound"])
    if method == "OPTIONS" and status == 200:
        return cast("dict[str, Any]", common["Options"])
    operation = PATHS[template].get("get" if method == "HEAD" else method.lower())
    if operation is None:
        detail = path.startswith("/api/entities/")
        found = common["DetailMethodNotAllowed" if detail else "MethodNotAllowed"] if status == 405 else None
    else:
        found = resolve(operation["responses"].get(str(status)))
    if found is None:
        raise Undescribed(f"{status} is no answer of {method} {template}")
    return cast("dict[str, Any]", found)


@cache
def validator(schema: str) -> Draft202012Validator:
    """The validator of a schema of the document, given as JSON."""
    whole = {"allOf": [json.loads(schema)], "components": COMPONENTS}
    return Draft202012Validator(whole, validate_formats=True)


def faults(schema: Any, value: Any) -> list[str]:
    """Where and how a value differs from a schema; the value itself is not in it."""
    found = validator(json.dumps(schema)).iter_errors(value)
    return [f"{'/'.join(map(str, one.instance_path))}: {one.message}"[:500] for one in found]


def check(method: str, path: str, status: int, headers: Iterable[tuple[str, str]], body: bytes | None) -> None:
    """Compare an answer with the document; a `body` of None is one that was not read.

    Raises:
        Undescribed: it is not as described.
    """
    expected = described(method, path, status)
    sent = [(name.lower(), value) for name, value in headers]
    found = _header_faults(expected.get("headers", {}), sent)
    if method != "HEAD" and body is not None:
        found += _body_faults(expected.get("content", {}), dict(sent), body)
    if found:
        raise Undescribed(f"{status} of {method} {path}: {'; '.join(found)}")


def _header_faults(expected: dict[str, Any], sent: list[tuple[str, str]]) -> list[str]:
    known = {name.lower(): resolve(header) for name, header in expected.items()}
    names = [name for name, _ in sent]
    found = [f"header {name} is sent twice" for name in set(names) if names.count(name) > 1]
    found += [f"header {name} is not described" for name in names if name not in known and name not in OF_HTTP]
    found += [f"header {name} is missing" for name, one in known.items() if one.get("required") and name not in names]
    for name, text in sent:
        if name in known:
            schema = known[name]["schema"]
            value = int(text) if schema.get("type") == "integer" and text.isdecimal() else text
            found += [f"header {name}{fault}" for fault in faults(schema, value)]
    return found


def _body_faults(expected: dict[str, Any], headers: dict[str, str], body: bytes) -> list[str]:
    if not expected:
        return ["a body is not described"] if body else []
    media_type = headers.get("content-type", "").partition(";")[0]
    if media_type not in expected:
        return [f"content type {media_type} is not described"]
    if headers.get("content-encoding") == "gzip":
        body = gzip.decompress(body)
    value = (
        json.loads(body)
        if media_type == "application/json"
        else body.decode("latin-1" if media_type == "image/png" else "utf-8")
    )
    return faults(expected[media_type]["schema"], value)


def check_response(app: Flask, response: TestResponse) -> None:
    """Compare an answer to a test client with the document, unless the route is one that a test has added.

    Raises:
        Undescribed: it is not as described.
    """
    request = response.request
    if _is_foreign(app, request.path, request.method):
        return
    raw = str(request.environ.get("RAW_URI", ""))
    hidden = request.environ["PATH_INFO"].startswith("//") or "%2f" in raw.partition("?")[0].lower()
    path = "//" if hidden else request.path
    stream = response.mimetype == "text/event-stream"
    check(request.method, path, response.status_code, response.headers, None if stream else response.get_data())


def _is_foreign(app: Flask, path: str, method: str) -> bool:
    try:
        rule, _ = app.url_map.bind("localhost").match(path, method, return_rule=True)
    except HTTPException:
        return False
    return not app.view_functions[rule.endpoint].__module__.startswith(("alert_refresh.", "flask."))
