"""Targets from a folder: manifests, lists, mounted Secrets."""

from __future__ import annotations

import base64
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from alert_refresh.engine import Deadline, Permanent, Request, Transient, Trigger
from alert_refresh.targets.folder import documents, parts
from alert_refresh.targets.folder.documents import NotText
from tests.fakes import FakeSink
from tests.targets.folder.folders import CANARY, LABELS, World, config, mount, secret, write

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


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


def test_where_a_target_comes_from(world: World) -> None:
    write(
        world.root / "a.yaml",
        secret("a"),
        secret("b", metadata={"name": "b", "namespace": "monitoring", "labels": LABELS}),
    )
    items = world.refresh().items
    assert (items["a"].namespace, items["a"].secret) == ("default", "a")
    assert (items["b"].namespace, items["b"].secret) == ("monitoring", "b")


def test_string_data_goes_before_data(world: World) -> None:
    write(world.root / "a.yaml", secret("a", stringData={"config": json.dumps(config("b"))}))
    assert world.names() == ["b"]


def test_the_older_of_two_manifests_gets_a_name(world: World) -> None:
    for name, created in (("one", "2025-01-01T00:00:00Z"), ("two", "2024-01-01T00:00:00Z")):
        data = {"config": json.dumps(config("x", url=f"https://{name}"))}
        metadata = {"name": name, "labels": LABELS, "creationTimestamp": created}
        write(world.root / f"{name}.yaml", secret(name, metadata=metadata, data=None, stringData=data))
    assert world.refresh().items["x"].secret == "two"
    assert world.rejected() == [("default/one", "name", "duplicate_name")]


def test_an_unquoted_creation_time_counts(world: World) -> None:
    for name, created in (("one", "2025-01-01T00:00:00Z"), ("two", "2024-01-01T00:00:00Z")):
        body = json.dumps(config("x"))
        (world.root / f"{name}.yaml").write_text(
            f"apiVersion: v1\nkind: Secret\nmetadata:\n  name: {name}\n  creationTimestamp: {created}\n"
            f"  labels: {{publishing-target: 'true'}}\nstringData:\n  config: '{body}'\n"
        )
    assert world.refresh().items["x"].secret == "two"


def test_one_secret_in_two_manifests_counts_once(world: World) -> None:
    write(world.root / "a.yaml", secret("s", stringData={"config": json.dumps(config("a"))}))
    write(world.root / "b.yaml", secret("s", stringData={"config": json.dumps(config("b"))}))
    assert world.names() == ["a"]
    assert world.rejected() == [("default/s", "metadata.name", "duplicate_name")]


def test_a_secret_that_moves_to_another_file_stays_fresh(world: World) -> None:
    write(world.root / "a.yaml", secret("a"))
    world.refresh()
    (world.root / "a.yaml").write_text("kind: [")
    write(world.root / "b.yaml", secret("a"))
    assert world.names() == ["a"]


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
def test_a_file_that_holds_no_manifest_is_rejected_whole(world: World, text: str) -> None:
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


def test_json_files_are_json(world: World) -> None:
    for number, text in enumerate(
        ["{", "kind: Secret", "[" * 100_000, "{}{}", "[" + "0," * 1_100_000 + "0]", '"\xff"']
    ):
        (world.root / f"{number}.json").write_bytes(text.encode("latin-1"))
    assert world.names() == []
    assert [code for _, _, code in world.rejected()] == [
        "schema",
        "schema",
        "too_complex",
        "schema",
        "too_complex",
        "encoding",
    ]


def test_a_folder_with_data_is_one_mounted_secret(world: World) -> None:
    mount(world.root / "team-a", "..2024_1", {"type": b"slack", "url": b"https://hooks.example.com/x"})
    mount(world.root / "team-b", "..2024_1", {"config": json.dumps(config("b")).encode()})
    items = world.refresh().items
    assert list(items) == ["b", "team-a"]
    assert (items["team-a"].namespace, items["team-a"].secret, items["team-a"].shape) == ("default", "team-a", "flat")


def test_subfolders_are_read_and_hidden_ones_are_not(world: World) -> None:
    for place in ("one", "one/two/three", ".git", "one/.cache", "mounts"):
        (world.root / place).mkdir(parents=True, exist_ok=True)
    write(world.root / "a.yaml", secret("a"))
    write(world.root / "one" / "a.yaml", secret("b"))
    write(world.root / "one" / "two" / "three" / "c.json", secret("c"))
    write(world.root / ".git" / "d.yaml", secret("d"))
    write(world.root / "one" / ".cache" / "e.yaml", secret("e"))
    mount(world.root / "mounts" / "f", "..1", {"config": json.dumps(config("f")).encode()})
    assert world.names() == ["a", "b", "c", "f"]
    write(world.root / "one" / "two" / "three" / "c.json", secret("c", data={}))
    assert world.names() == ["a", "b", "~c", "f"]
    (world.root / "one" / "a.yaml").unlink()
    assert world.names() == ["a", "~c", "f"]


def test_a_file_in_a_subfolder_is_reported_with_its_path(world: World) -> None:
    (world.root / "one" / "two").mkdir(parents=True)
    write(world.root / "one" / "two" / "x.yaml", {"kind": "Secret", "metadata": {"labels": LABELS}}, secret("a"))
    assert world.names() == ["a"]
    assert world.rejected() == [("one/two/x.yaml/1", "metadata.name", "schema")]


def test_subfolders_that_are_links_are_read_once_and_never_outside(tmp_path: Path) -> None:
    world = World(tmp_path / "root")
    (world.root / "one" / "two").mkdir(parents=True)
    write(world.root / "one" / "two" / "a.yaml", secret("a"))
    (world.root / "one" / "circle").symlink_to("..")
    (world.root / "one" / "two" / "self").symlink_to(".")
    (world.root / "zwei").symlink_to("one/two")
    outside = tmp_path / "elsewhere"
    outside.mkdir()
    write(outside / "b.yaml", secret("b"))
    (world.root / "out").symlink_to(outside)
    assert world.names() == ["a"]
    assert world.rejected() == [("out", "file", "storage")]


def test_folders_that_are_nested_too_deeply_are_reported(world: World) -> None:
    deep = world.root.joinpath(*["d"] * 17)
    deep.mkdir(parents=True)
    write(deep.parent / "a.yaml", secret("a"))
    write(deep / "b.yaml", secret("b"))
    assert world.names() == ["a"]
    assert world.rejected() == [("/".join("d" * 17), "file", "storage")]


def test_the_limit_of_files_holds_for_all_folders_together(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alert_refresh.targets.folder.walk.MAX_ENTRIES", 3)
    (world.root / "one").mkdir()
    write(world.root / "one" / "a.yaml", secret("a"))
    write(world.root / "b.yaml", secret("b"))
    assert world.names() == ["a", "b"]
    write(world.root / "one" / "c.yaml", secret("c"))
    with pytest.raises(Permanent, match="more than 3 files"):
        world.refresh()


SOPS = {"sops": {"version": "3.9.0"}}


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


def test_the_first_hundred_skipped_are_listed_and_all_are_counted(world: World) -> None:
    write(world.root / "a.yaml", *[{"kind": f"Kind{number}"} for number in range(130)])
    snapshot = world.refresh()
    assert (len(snapshot.skipped), snapshot.skipped_count) == (100, 130)
    assert snapshot.skipped[2].origin == {"file": "a.yaml", "document": "3"}


def test_another_reason_to_skip_is_another_content(world: World) -> None:
    digests = set()
    for kind in ("ConfigMap", "SealedSecret", "Secret"):
        write(world.root / "a.yaml", secret("a"), secret("x", kind=kind, metadata={"name": "x"}))
        digests |= {world.refresh().digest, world.refresh().digest}
    write(world.root / "a.yaml", secret("a"))
    assert len(digests | {world.refresh().digest}) == 4


def test_anchors_and_merge_keys_are_read(world: World) -> None:
    (world.root / "a.yaml").write_text(
        f"""
apiVersion: v1
kind: Secret
metadata: &meta
  name: a
  labels: &labels {{publishing-target: "true"}}
stringData: {{config: '{json.dumps(config("a"))}'}}
---
kind: Secret
metadata:
  name: b
  labels:
    <<: {{publishing-target: "true", team: "x"}}
stringData: {{config: '{json.dumps(config("b"))}'}}
---
.common: &common {{publishing-target: "false", tier: gold}}
kind: Secret
metadata:
  name: c
  labels:
    <<: [*common, {{publishing-target: "no", more: "x"}}]
    publishing-target: "true"
stringData: {{config: '{json.dumps(config("c"))}'}}
"""
    )
    assert world.names() == ["a", "b", "c"], world.rejected()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "kind: Secret\nmetadata:\n  <<: text",
            "schema: line 3: the merge key << takes a mapping or a list of mappings",
        ),
        ("kind: Secret\n<<: [{}, x]", "schema: line 2: the merge key << takes a mapping or a list of mappings"),
        ("kind: Secret\nkind: Secret", "repeated_key: line 2: 'kind' is repeated; a key may be there once"),
        ("kind: Secret\nmetadata:\n  name: a\n  name: b", "repeated_key: line 4: 'name' is repeated"),
        ("kind: Secret\n1: x", "schema: line 2: a key is no string; put it in quotes"),
        ("kind: Secret\nx: !env A", "schema: line 2: a tag is not allowed"),
        ("kind: Secret\nx: *a", "too_complex: line 2: an alias stands for nothing"),
        ("kind: Secret\n  x: {", "schema: is not valid YAML: line 2, column 4"),
        ("kind: Secret\n\tx: 1", "schema: is not valid YAML: line 2, column 1"),
    ],
)
def test_a_fault_of_a_yaml_file_is_reported_with_its_line(world: World, text: str, message: str) -> None:
    (world.root / "a.yaml").write_text(text)
    [rejected] = world.refresh().rejected
    assert rejected.faults[0].message.startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"kind": "Secret",\n "kind": "Secret"}', "repeated_key: 'kind' is repeated at line 2, column 2"),
        ('{"kind": "Secret", "data": {"a": "", "a": ""}}', "repeated_key: 'a' is repeated at line 1, column 38"),
        ('{"kind": "Secret",\n}', "schema: is not valid JSON: line 2, column 1: expected a key in double quotes"),
        ('{"kind": NaN}', "schema: is not valid JSON: line 1, column 10: expected a value; JSON has neither NaN"),
    ],
)
def test_a_fault_of_a_json_file_is_reported_with_its_place(world: World, text: str, message: str) -> None:
    (world.root / "a.json").write_text(text)
    [rejected] = world.refresh().rejected
    assert rejected.faults[0].message.startswith(message)


def test_the_folder_itself_may_be_the_mounted_secret(tmp_path: Path) -> None:
    world = World(tmp_path / "team-a")
    mount(world.root, "..2024_1", {"type": b"slack", "url": b"https://hooks.example.com/x"})
    assert world.names() == ["team-a"]
    first = world.snapshot
    assert world.refresh().items["team-a"] is first.items["team-a"]  # type: ignore[union-attr]
    mount(world.root, "..2024_2", {"type": b"fax", "url": b"https://hooks.example.com/x"})
    assert world.names() == ["~team-a"]


def test_a_mounted_secret_may_hold_manifests(tmp_path: Path) -> None:
    world = World(tmp_path / "volume")
    mount(world.root, "..1", {"a.yaml": json.dumps(secret("a")).encode(), "b.json": json.dumps(secret("b")).encode()})
    assert world.names() == ["a", "b"]
    mount(world.root, "..2", {"a.yaml": b"kind: [", "b.json": json.dumps(secret("b")).encode()})
    assert world.names() == ["~a", "b"]


def test_a_mounted_secret_of_neither_kind_is_rejected(world: World) -> None:
    mount(world.root / "odd", "..1", {"password": b"x"})
    assert world.names() == []
    assert world.rejected() == [("default/odd", "config", "missing_config")]


def test_a_mounted_secret_that_leads_out_is_rejected(tmp_path: Path) -> None:
    world = World(tmp_path / "root")
    mount(tmp_path / "outside", "..1", {"type": b"slack", "url": b"https://hooks.example.com/x"})
    world.root.mkdir()
    (world.root / "link").symlink_to(tmp_path / "outside")
    assert world.names() == []
    assert world.rejected() == [("link", "file", "storage")]


def test_a_volume_of_manifests_that_cannot_be_read_keeps_them_all(world: World) -> None:
    mount(world.root / "volume", "..1", {"a.yaml": json.dumps(secret("a")).encode()})
    assert world.names() == ["a"]
    (world.root / "volume" / "..data").unlink()
    (world.root / "volume" / "..data").symlink_to("/etc")
    assert world.names() == ["~a"]


def test_folders_and_special_files_in_a_mounted_secret_are_not_keys(world: World) -> None:
    mount(world.root / "a", "..1", {"type": b"slack", "url": b"https://hooks.example.com/x"})
    (world.root / "a" / "..1" / "name").symlink_to("type")
    (world.root / "a" / "..1" / "format").mkdir()
    assert world.names() == ["a"]


def test_a_mounted_secret_has_a_limit_of_keys(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alert_refresh.targets.folder.mounted.MAX_KEYS", 1)
    mount(world.root / "a", "..1", {"type": b"slack", "url": b"https://hooks.example.com/x"})
    assert world.names() == []
    assert world.rejected() == [("a", "file", "too_large")]


def counted(monkeypatch: pytest.MonkeyPatch, name: str) -> list[str]:
    """The files for which a function of `parts` is called."""
    calls: list[str] = []
    real: Callable[..., Any] = getattr(parts, name)

    def count(*args: Any, **options: Any) -> Any:
        calls.extend(arg if isinstance(arg, str) else arg.name for arg in args[:2] if isinstance(arg, str | Path))
        return real(*args, **options)

    monkeypatch.setattr(parts, name, count)
    return calls


def test_what_has_not_changed_is_neither_read_nor_parsed_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    write(world.root / "a.yaml", secret("a"))
    write(world.root / "b.yaml", secret("b"))
    (world.root / "c.yaml").write_text("kind: [")
    first = world.refresh()
    read, loaded = counted(monkeypatch, "read_file"), counted(monkeypatch, "load")
    write(world.root / "b.yaml", secret("b", stringData={"config": json.dumps(config("b", enabled=False))}))
    second = world.refresh()
    assert "b.yaml" in read and "a.yaml" not in read and "c.yaml" not in read
    assert loaded == ["b.yaml"]
    assert second.items["a"] is first.items["a"]
    assert second.items["b"].enabled is False
    assert world.refresh().digest == second.digest


def test_a_file_as_young_as_its_time_stamp_is_read_again_but_not_parsed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(world.root / "a.yaml", secret("a"))
    os.utime(world.root / "a.yaml", (1, 1))  # else it might still be being written
    world.clock.wall_offset = (world.root / "a.yaml").stat().st_ctime
    first = world.refresh()
    read, loaded = counted(monkeypatch, "read_file"), counted(monkeypatch, "load")
    assert world.refresh().items["a"] is first.items["a"]
    assert "a.yaml" in read and not loaded


def test_files_of_the_same_content_stay_the_same_snapshot(world: World) -> None:
    write(world.root / "a.yaml", secret("a"))
    first = world.refresh()
    (world.root / "a.yaml").write_text(json.dumps(secret("a"), indent=7))
    assert world.refresh().digest == first.digest


def test_after_a_restart_a_broken_file_keeps_what_it_may_have_held(world: World) -> None:
    write(world.root / "a.yaml", secret("a"))
    write(world.root / "b.yaml", secret("b"))
    world.snapshot = replace(world.refresh(), memo=None)
    (world.root / "a.yaml").write_text("kind: [")
    assert world.names() == ["~a", "b"]
    assert world.names() == ["~a", "b"]
    (world.root / "a.yaml").unlink()
    assert world.names() == ["b"]
    world.snapshot = replace(world.refresh(), memo=None)
    (world.root / "c.yaml").write_text("kind: [")
    assert world.names() == ["b"]
    assert world.rejected() == [("c.yaml", "file", "schema")]
    world.snapshot = replace(world.refresh(), memo=None)
    (world.root / "c.yaml").unlink()
    assert world.names() == ["b"]


def test_a_file_that_was_never_valid_affects_no_other(world: World) -> None:
    write(world.root / "a.yaml", secret("a"))
    world.refresh()
    (world.root / "b.yaml").write_text("kind: [")
    (world.root / "a.yaml").unlink()
    assert world.names() == []


def test_the_deadline_ends_a_long_refresh(world: World) -> None:
    write(world.root / "a.yaml", secret("a"))
    deadline = Deadline(world.clock, 1.0)
    world.clock.advance(2.0)
    with pytest.raises(Transient) as raised:
        world.source.refresh(None, Request(Trigger.MANUAL), deadline)
    assert raised.value.error_type == "timeout"


def test_an_empty_folder_is_a_warning_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    assert world.names() == []
    assert world.names() == []
    assert [record.getMessage() for record in caplog.records] == ["No Secret was found"]


def test_the_watch_can_be_switched_off(tmp_path: Path) -> None:
    assert not World(tmp_path, watch=False).source.watches(FakeSink())
    World(tmp_path).source.close()


def test_private_urls_are_refused_when_configured(tmp_path: Path) -> None:
    world = World(tmp_path, deny_private=True)
    write(world.root / "a.yaml", secret("a", stringData={"config": json.dumps(config("a", url="http://10.0.0.1"))}))
    mount(world.root / "b", "..1", {"type": b"slack", "url": b"http://10.0.0.1"})
    assert world.names() == []
    assert [code for _, _, code in world.rejected()] == ["url_forbidden", "url_forbidden"]


def test_the_examples_are_valid() -> None:
    world = World(Path("config/examples/targets"))
    assert world.names() == ["pagerduty-oncall", "rootly-incidents", "slack-platform", "webhook-audit"]
    assert world.rejected() == []
    assert world.snapshot is not None
    assert [one.type for one in world.snapshot.items.values()] == ["pagerduty", "rootly", "slack", "webhook"]


@pytest.mark.parametrize("loader", [documents.LOADER, yaml.SafeLoader])
def test_yaml_values(loader: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "LOADER", loader)
    text = """
    - plain words
    - 'true'
    - !!str true
    - ! 5
    - !!seq [a]
    - !!map {a: b}
    - &x {deep: [a]}
    - *x
    - |
      lines
    - null
    - ~
    -
    - dGVzdA==
    """
    [values] = documents.load("a.yaml", text.encode(), lambda: None)
    assert values == [
        "plain words",
        "true",
        "true",
        "5",
        ["a"],
        {"a": "b"},
        {"deep": ["a"]},
        {"deep": ["a"]},
        "lines\n",
        None,
        None,
        None,
        "dGVzdA==",
    ]


@pytest.mark.parametrize(
    "text", ["true", "no", "5", "-5.5", ".5", "1e3", "0x1f", "0o17", "1:30", "2001-01-01", "<<", ".inf", "1_000"]
)
def test_yaml_values_that_are_not_strings(text: str) -> None:
    [[value]] = documents.load("a.yaml", f"- {text}".encode(), lambda: None)
    assert isinstance(value, NotText) and value.source == text


def test_credentials_are_in_no_message(world: World, caplog: pytest.LogCaptureFixture) -> None:
    body = base64.b64encode(CANARY.encode()).decode()
    for number, text in enumerate(
        (f"{CANARY}: [", f"- !!{CANARY} x", f"? [{CANARY}]\n: x", f"{CANARY}: &a [*a]", f"%{CANARY}")
    ):
        (world.root / f"{number}.yaml").write_text(text)
    write(world.root / "a.yaml", secret("a", data={"config": body}), secret("b", data={"config": f"{CANARY}!"}))
    assert world.names() == []
    assert len(world.rejected()) == 7
    assert CANARY not in f"{world.snapshot} {caplog.text} {[record.__dict__ for record in caplog.records]}"
