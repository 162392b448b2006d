"""`openapi.json` is valid, and describes the routes of the app and nothing else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from openapi_spec_validator import validate

from alert_refresh import __version__
from alert_refresh.daemon import KINDS
from alert_refresh.engine import Trigger
from alert_refresh.targets.secret.fields import FORMATS, TYPES
from alert_refresh.views.view import Mode
from alert_refresh.web import index
from alert_refresh.web.docs.routes import OPENAPI, POLICY
from alert_refresh.web.feed.rows import RESULTS
from alert_refresh.web.page import assets
from tests import openapi
from tests.openapi import COMPONENTS, DOCUMENT, PATHS, operations, resolve
from tests.web.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

OPERATIONS = operations()
ON_EVERY_ROUTE = {"400", "408", "414", "417", "431", "500", "505"}
OPEN_POSTS = {"/api/v2/rules/match"}


def nodes(node: Any) -> Iterator[dict[str, Any]]:
    """Every object of the document."""
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from nodes(child)


def test_it_is_valid_openapi_3_1_of_this_version() -> None:
    validate(DOCUMENT)
    assert DOCUMENT["openapi"].startswith("3.1.")
    assert DOCUMENT["info"]["version"] == __version__


def test_its_operations_are_the_routes_of_the_app() -> None:
    with World() as world:
        listed = {(one["method"], one["path"]) for one in index.listed(world.app)}
    assert set(OPERATIONS) == listed


def test_every_operation_has_what_clients_are_made_from() -> None:
    ids = [one["operationId"] for one in OPERATIONS.values()]
    assert len(set(ids)) == len(ids)
    tags = {one["name"] for one in DOCUMENT["tags"]}
    for name, one in OPERATIONS.items():
        assert one["summary"] and not one["summary"].endswith("."), name
        assert len(one["tags"]) == 1 and set(one["tags"]) <= tags, name
        assert set(one["responses"]) >= ON_EVERY_ROUTE, name
        assert {"200", "202"} & set(one["responses"]), name


def test_the_variables_of_a_path_are_its_parameters() -> None:
    for (method, path), one in OPERATIONS.items():
        parameters = [resolve(parameter) for parameter in one.get("parameters", [])]
        in_path = [parameter["name"] for parameter in parameters if parameter["in"] == "path"]
        assert "".join(f"{{{name}}}" for name in in_path) == "".join(
            part for part in path.split("/") if part.startswith("{")
        ), (method, path)
        assert all(parameter["description"] and "example" in parameter for parameter in parameters), (method, path)


def test_every_post_but_match_needs_the_admin_token_and_only_revealing_the_read_token() -> None:
    for (method, path), one in OPERATIONS.items():
        names = {resolve(parameter)["name"] for parameter in one.get("parameters", [])}
        if method == "POST" and path not in OPEN_POSTS:
            assert one["security"] == [{"admin": []}], path
            assert {"401", "403", "413"} <= set(one["responses"]), path
        elif "reveal" in names:
            assert one["security"] == [{}, {"read": []}, {"admin": []}], path
            assert {"401", "403"} <= set(one["responses"]), path
        else:
            assert one["security"] == [] and not {"401", "403"} & set(one["responses"]), path


def test_every_answer_has_the_headers_of_every_answer_and_an_example_of_its_body() -> None:
    every = {"X-Request-ID", "X-Content-Type-Options", "X-Frame-Options", "Content-Security-Policy", "Cache-Control"}
    found = [resolve(answer) for one in OPERATIONS.values() for answer in one["responses"].values()]
    for answer in [*found, *COMPONENTS["responses"].values()]:
        headers = {name: resolve(header) for name, header in answer["headers"].items()}
        assert set(headers) >= every, answer["description"]
        assert all(header["description"] and "example" in header for header in headers.values())
        for header in headers.values():
            assert openapi.faults(header["schema"], header["example"]) == []
        for media in answer.get("content", {}).values():
            assert media["examples"], answer["description"]


def test_every_example_is_valid_under_its_schema() -> None:
    count = 0
    for node in nodes([PATHS, COMPONENTS]):
        if "schema" not in node:
            continue
        examples = [one["value"] for one in node.get("examples", {}).values()]
        for example in [*examples, *([node["example"]] if "example" in node else [])]:
            assert openapi.faults(node["schema"], example) == [], node
            count += 1
    assert count > 100


def test_every_object_says_which_fields_it_has_and_no_others() -> None:
    loose = {"filter_config", "info", "paths"}
    for node in nodes({name: one for name, one in COMPONENTS.items() if name in ("schemas", "responses")} | PATHS):
        for name, schema in node.items():
            if name not in loose and isinstance(schema, dict) and schema.get("type") == "object":
                closed = schema.get("additionalProperties", schema.get("unevaluatedProperties"))
                to_be_extended = name.endswith("Fields") or name == "schema"
                assert closed is False or isinstance(closed, dict) or to_be_extended, name


def test_every_component_is_used() -> None:
    used = {node["$ref"] for node in nodes(DOCUMENT) if "$ref" in node}
    everywhere = {"Options", "NotFound", "MethodNotAllowed", "DetailMethodNotAllowed"}
    for kind, found in COMPONENTS.items():
        if kind != "securitySchemes":
            unused = {name for name in found if f"#/components/{kind}/{name}" not in used}
            assert unused - everywhere == set(), kind


def test_its_words_are_those_of_the_program() -> None:
    schemas = COMPONENTS["schemas"]
    assert schemas["Kind"]["enum"] == [kind.name for kind in KINDS]
    assert set(schemas["ErrorType"]["enum"]) == {word for kind in KINDS for word in kind.error_types}
    assert set(schemas["RefreshResult"]["enum"]) == set(RESULTS)
    assert schemas["Trigger"]["enum"] == [trigger.value for trigger in Trigger]
    assert schemas["TargetType"]["enum"] == list(TYPES) and schemas["TargetFormat"]["enum"] == list(FORMATS)
    assert set(schemas["ViewState"]["properties"]["mode"]["enum"]) == set(Mode)


def test_its_addresses_are_relative_so_that_it_works_behind_a_path_prefix() -> None:
    assert [server["url"] for server in DOCUMENT["servers"]] == ["."]


def test_the_policy_of_the_page_is_the_one_described() -> None:
    assert COMPONENTS["headers"]["PagePolicy"]["schema"] == {"const": POLICY}
    assert COMPONENTS["headers"]["StatusPagePolicy"]["schema"] == {"const": assets.POLICY}


def test_the_file_is_laid_out_in_one_way() -> None:
    text = OPENAPI.read_text()
    assert text == laid_out(DOCUMENT) + "\n", "python -m tests.web.docs.test_document lays it out"


def laid_out(value: Any, indent: int = 0, before: int = 0) -> str:
    """JSON with everything on one line that fits into 120 columns."""
    line = json.dumps(value, ensure_ascii=False)
    if not value or not isinstance(value, dict | list) or len(line) + indent + before < 120:
        return line
    if isinstance(value, dict):
        parts = [f"{json.dumps(name)}: {laid_out(one, indent + 2, len(name) + 4)}" for name, one in value.items()]
    else:
        parts = [laid_out(one, indent + 2) for one in value]
    pad, (begin, end) = "\n" + " " * (indent + 2), "{}" if isinstance(value, dict) else "[]"
    return begin + ",".join(pad + part for part in parts) + "\n" + " " * indent + end


@pytest.mark.parametrize(
    ("method", "path", "template"),
    [
        ("GET", "/api/v2/publishing/targets/status", "/api/v2/publishing/targets/status"),
        ("GET", "/api/v2/publishing/targets/one", "/api/v2/publishing/targets/{name}"),
        ("POST", "/api/v2/publishing/targets/one/refresh", "/api/v2/publishing/targets/{name}/refresh"),
        ("GET", "/api/v2/nothing", None),
    ],
)
def test_a_path_without_variables_goes_before_one_with(method: str, path: str, template: str | None) -> None:
    assert openapi.template_of(path) == template


if __name__ == "__main__":
    OPENAPI.write_text(laid_out(DOCUMENT) + "\n")
