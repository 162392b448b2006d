"""Every example in `openapi.json` is what a real answer looks like: the same keys, types, and values but for times."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest

from tests import openapi
from tests.openapi import COMPONENTS, operations, resolve
from tests.web.docs.scenes import SCENES, feed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from werkzeug.test import TestResponse

VARYING = {
    "accepted_at", "age_seconds", "average_duration_ms", "average_ms", "config_hash", "created_at", "duration_ms",
    "generation", "hit_ratio", "hits", "id", "last_manual_refresh", "last_proof_of_life", "last_refresh",
    "last_refreshed", "last_run", "last_success", "max_duration_ms", "min_duration_ms", "misses", "next_attempt",
    "next_refresh", "next_run", "p95_duration_ms", "p99_duration_ms", "proposal", "python", "refresh_duration_ms",
    "refresh_started_at", "refreshed_at", "request_id", "retry_after_seconds", "rows", "size_bytes", "started_at",
    "targets_generation", "uptime_seconds",
}  # fmt: skip
"""Fields that two runs may have different values of; their types are compared."""
BEGINNINGS = {
    "followEvents 200",
    "getDocs 200",
    "getDocsPageScript 200",
    "getDocsViewer 200",
    "getMetrics 200",
    "getOpenapi 200",
    "getPageFile 200",
    "getRunbook 200",
    "listRoutes 200",
}
"""Long answers, of which the example is the beginning."""


def examples() -> Iterator[tuple[str, Any, str]]:
    """Address, value and media type of every example of an answer."""
    answers = {
        f"{operation['operationId']} {status}": answer
        for operation in operations().values()
        for status, answer in operation["responses"].items()
        if "$ref" not in answer
    }
    for where, answer in (answers | COMPONENTS["responses"]).items():
        for media_type, media in answer.get("content", {}).items():
            for name, example in media["examples"].items():
                yield f"{where} {name}", resolve(example)["value"], media_type


EXAMPLES = {address: (value, media_type) for address, value, media_type in examples()}


@cache
def seen(scene: Callable[..., Iterator[tuple[str, TestResponse]]]) -> list[tuple[str, Any, str]]:
    """Address, body and media type of every answer of a scene."""
    with TemporaryDirectory() as folder:
        return [(address, body(answer), answer.mimetype or "") for address, answer in scene(Path(folder))]


def body(answer: TestResponse) -> Any:
    data = answer.get_data()
    return (
        json.loads(data)
        if answer.mimetype == "application/json"
        else data.decode("latin-1" if answer.mimetype == "image/png" else "utf-8")
    )


def differences(example: Any, real: Any, where: str, beginning: bool = False) -> list[str]:
    """The places where an example is not what the real answer is."""
    if isinstance(example, dict) and isinstance(real, dict):
        keys = set(example) & set(real) if beginning else set(example) | set(real)
        names = [f"{where}.{key}" for key in keys if (key in example) != (key in real)]
        for key in set(example) & set(real):
            if key not in VARYING or isinstance(example[key], dict | list):
                names += differences(example[key], real[key], f"{where}.{key}", beginning)
            elif type_of(example[key]) != type_of(real[key]):
                names.append(f"{where}.{key} is {type_of(real[key])}")
        return names
    if isinstance(example, list) and isinstance(real, list):
        if len(example) != len(real) and not (beginning and len(example) < len(real)):
            return [f"{where} has {len(real)} items"]
        pairs = enumerate(zip(example, real, strict=False))
        return [name for n, (one, other) in pairs for name in differences(one, other, f"{where}[{n}]")]
    if beginning and isinstance(example, str) and isinstance(real, str):
        return [] if real.startswith(example) else [where]
    return [] if example == real and type_of(example) == type_of(real) else [f"{where} is {real!r}"]


def type_of(value: Any) -> str:
    """The JSON type of a value; numbers are of one type."""
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_the_examples_are_what_the_answers_are(scene: Callable[..., Iterator[tuple[str, TestResponse]]]) -> None:
    for address, real, media_type in seen(scene):
        assert address in EXAMPLES, f"no example {address}; the answer is {json.dumps(real)}"
        example, of = EXAMPLES[address]
        beginning = address.rpartition(" ")[0] in BEGINNINGS
        assert differences(example, real, address, beginning) == []
        assert of == media_type, address


def test_every_example_is_of_an_answer_that_a_scene_gets() -> None:
    got = {address for scene in SCENES for address, *_ in seen(scene)}
    assert set(EXAMPLES) - got == set()


@pytest.mark.parametrize(
    ("example", "real"),
    [
        ({"a": 1}, {}),
        ({}, {"a": 1}),
        ({"a": 1}, {"a": 2}),
        ({"a": 1}, {"a": True}),
        ({"a": [1]}, {"a": [1, 1]}),
        ({"request_id": "x"}, {"request_id": None}),
        ({"a": [{"b": 1}]}, {"a": [{"b": "1"}]}),
    ],
)
def test_an_example_that_differs_is_found(example: Any, real: Any) -> None:
    assert differences(example, real, "")


def test_times_and_ids_may_differ() -> None:
    assert differences({"request_id": "x", "duration_ms": 1.5}, {"request_id": "y", "duration_ms": 2}, "") == []


def test_the_data_of_every_event_is_described() -> None:
    ((text, _),) = [(body, address) for address, body, _ in seen(feed) if address == "followEvents 200 stream"]
    sync = 'event: sync\ndata: {"generations":{"targets":1764,"rules":null},"missed":false}\n\n'
    media = operations()["GET", "/api/v2/events"]["responses"]["200"]["content"]["text/event-stream"]
    found = re.findall(r"event: (\w+)\ndata: (.*)\n\n", text + sync)
    assert {name for name, _ in found} == set(media["x-events"]) == {"sync", "published", "refresh"}
    for name, data in found:
        assert openapi.faults(media["x-events"][name], json.loads(data)) == [], name


def test_an_answer_that_is_not_described_is_found() -> None:
    good = {"X-Request-ID": "0a4c45a0-61a5-4f9c-8ad5-2b5a4f9e0c11", "X-Content-Type-Options": "nosniff"}
    good |= {"X-Frame-Options": "DENY", "Content-Security-Policy": "default-src 'none'", "Cache-Control": "no-store"}
    good |= {"Content-Type": "application/json; charset=utf-8"}
    sent = ("GET", "/healthz", 200, good, b'{"status":"ok"}')

    def ask(method: str, path: str, status: int, headers: dict[str, str], content: bytes) -> None:
        openapi.check(method, path, status, headers.items(), content)

    ask(*sent)
    for number, other in [
        (1, "/nothing"),
        (2, 204),
        (3, good | {"X-New": "1"}),
        (3, good | {"X-Request-ID": "1"}),
        (3, {name: value for name, value in good.items() if name != "Cache-Control"}),
        (3, good | {"Content-Type": "text/html"}),
        (4, b'{"status":"ok","more":1}'),
        (4, b'{"status":"bad"}'),
        (4, b""),
    ]:
        changed: list[Any] = [*sent]
        changed[number] = other
        with pytest.raises((openapi.Undescribed, ValueError)):
            ask(*changed)
