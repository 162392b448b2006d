"""Secrets among the documents of a manifest file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.targets.folder.folders import LABELS, World, config, secret, write

if TYPE_CHECKING:
    from pathlib import Path


SOPS = {"sops": {"version": "3.9.0"}}


def test_every_kind_of_file_is_read(world: World) -> None:
    write(world.root / "a.yaml", secret("a"), secret("b"))
    write(world.root / "c.yml", secret("c"))
    write(world.root / "d.json", secret("d"))
    write(world.root / "e.txt", secret("e"))
    assert world.names() == ["a", "b", "c", "d"]
    assert world.rejected() == []


def test_lists_are_read_one_by_one(world: World) -> None:
    untyped = {key: value for key, value in secret("b").items() if key not in ("kind", "apiVersion")}
    write(world.root / "a.json", {"apiVersion": "v1", "kind": "List", "items": [secret("a"), {"kind": "Pod"}]})
    write(world.root / "b.yaml", {"apiVersion": "v1", "kind": "SecretList", "items": [untyped]}, {"kind": "List"})
    assert world.names() == ["a", "b"]


def test_only_secrets_that_the_selector_selects_are_meant(world: World) -> None:
    write(
        world.root / "a.yaml",
        secret("a"),
        secret("b", kind="ConfigMap"),
        secret("c", apiVersion="external-secrets.io/v1"),
        secret("d", metadata={"name": "d"}),
        secret("e", metadata={"name": "e", "labels": {"publishing-target": "false"}}),
    )
    assert world.names() == ["a"]
    assert world.snapshot is not None
    assert world.snapshot.stats["secrets_skipped"] == 4
    assert world.snapshot.stats["secrets_valid"] == 1


def test_another_selector(tmp_path: Path) -> None:
    world = World(tmp_path, label_selector="tier in (gold)")
    write(world.root / "a.yaml", secret("a"), secret("b", metadata={"name": "b", "labels": {"tier": "gold"}}))
    assert world.names() == ["b"]


def test_string_data_overrides_data(world: World) -> None:
    write(world.root / "a.yaml", secret("a", stringData={"config": json.dumps(config("b"))}))
    assert world.names() == ["b"]


def test_an_unquoted_creation_time_counts(world: World) -> None:
    for name, created in (("one", "2025-01-01T00:00:00Z"), ("two", "2024-01-01T00:00:00Z")):
        body = json.dumps(config("x"))
        (world.root / f"{name}.yaml").write_text(
            f"apiVersion: v1\nkind: Secret\nmetadata:\n  name: {name}\n  creationTimestamp: {created}\n"
            f"  labels: {{publishing-target: 'true'}}\nstringData:\n  config: '{body}'\n"
        )
    assert world.refresh().items["x"].secret == "two"


def test_faults_of_a_manifest_are_reported_with_those_of_its_values(world: World) -> None:
    write(
        world.root / "a.yaml",
        secret("a", metadata={"name": "a", "labels": {"publishing-target": True}}),
        secret("b", data=[]),
        secret("c", data={"config": 5}),
        secret("d", stringData="x"),
        secret("e", metadata={"name": "e", "namespace": 5, "labels": LABELS}),
        secret("f", metadata={"labels": LABELS}),
        secret("g", metadata={"name": 5, "labels": LABELS}),
        secret("h", metadata={"name": "h", "labels": []}),
        secret("i", metadata="x"),
    )
    assert world.names() == []
    assert world.rejected() == [
        ("a.yaml/5", "metadata.namespace", "schema"),
        ("a.yaml/6", "metadata.name", "schema"),
        ("a.yaml/7", "metadata.name", "schema"),
        ("default/a", "metadata.labels", "schema"),
        ("default/b", "data", "schema"),
        ("default/c", "config", "schema"),
        ("default/d", "stringData", "schema"),
        ("default/h", "metadata.labels", "schema"),
    ]
    assert world.snapshot is not None and world.snapshot.stats["secrets_invalid"] == 8


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n",
        "[]",
        "5",
        "- kind: Secret",
        "{}",
        "kind: 5",
        "metadata: {}",
        "kind: List\nitems: {}",
        "kind: List\nitems: [5]",
        "kind: List\nitems: [{}]",
        "kind: [",
        "a: \x01",
    ],
)
def test_a_file_without_any_manifest_is_rejected(world: World, text: str) -> None:
    write(world.root / "a.yaml", secret("a"))
    (world.root / "b.yaml").write_text(text)
    assert world.names() == ["a"]
    assert [(origin, field) for origin, field, _ in world.rejected()] == [("b.yaml", "file")]


def test_a_file_of_comments_is_empty_and_not_a_fault(world: World) -> None:
    write(world.root / "a.yaml", secret("a"))
    world.refresh()
    (world.root / "a.yaml").write_text("# switched off\n---\n# as well\n")
    assert world.names() == []
    assert world.rejected() == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"kind": "ConfigMap"}, "its kind is not Secret of v1 but 'ConfigMap' of 'v1'"),
        (
            {"kind": "ExternalSecret", "apiVersion": "e.io"},
            "its kind is not Secret of v1 but 'ExternalSecret' of 'e.io'",
        ),
        ({"kind": "Secret", "apiVersion": None}, "its kind is not Secret of v1 but 'Secret' of no version"),
        ({"kind": "Secret", "apiVersion": "v2"}, "its kind is not Secret of v1 but 'Secret' of 'v2'"),
        ({"kind": "secret"}, "its kind is not Secret of v1: kind and apiVersion are written 'Secret' and 'v1'"),
        ({"kind": "SECRET", "apiVersion": "V1"}, "its kind is not Secret of v1: kind and apiVersion are written"),
        ({"kind": "SealedSecret", "apiVersion": "bitnami.com/v1alpha1"}, "is a SealedSecret; only its controller"),
        (SOPS, "is encrypted by SOPS; decrypt it"),
        ({"kind": "ENC[AES256_GCM,data:x]"} | SOPS, "is encrypted by SOPS; decrypt it"),
        ({"kind": "ENC[AES256_GCM,data:x]"}, "is encrypted by SOPS; decrypt it"),
        ({"metadata": {"name": "x"}}, "the label selector does not select it: it has no label publishing-target"),
        (
            {"metadata": {"name": "x", "labels": {"publishing-target": "True"}}},
            "the label selector does not select it: publishing-target is 'True'",
        ),
        (
            {"metadata": {"name": "x", "labels": {"publishing-targets": "true"}}},
            "the label selector does not select it: it has no label publishing-target",
        ),
    ],
)
def test_an_object_that_is_not_a_target_is_skipped_with_its_reason(
    world: World, changes: dict[str, Any], reason: str
) -> None:
    write(world.root / "a.yaml", secret("a"), secret("x", **changes))
    assert world.names() == ["a"]
    snapshot = world.refresh()
    [skipped] = snapshot.skipped
    assert skipped.reason.startswith(reason)
    assert skipped.origin == {"file": "a.yaml", "document": "2", "namespace": "default", "secret": "x"}
    assert (snapshot.skipped_count, snapshot.rejected) == (1, ())


@pytest.mark.parametrize(
    ("key", "meant"),
    [("StringData", "stringData"), ("stringdata", "stringData"), ("string_data", "stringData"), ("Data", "data")],
)
def test_the_values_under_a_misspelt_key_are_a_fault_that_names_the_right_one(
    world: World, key: str, meant: str
) -> None:
    values = {key: {"config": json.dumps(config("a"))}}
    write(world.root / "a.yaml", {one: value for one, value in secret("a", **values).items() if one != "data"})
    (rejected,) = world.refresh().rejected
    assert [(fault.field, fault.message) for fault in rejected.faults] == [
        (key, f"unknown_field: is no field of a Secret; did you mean '{meant}'?")
    ]
