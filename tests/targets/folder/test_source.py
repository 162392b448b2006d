"""Targets from a folder: manifests, lists, mounted Secrets."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path

import pytest

from alert_refresh.engine import Deadline, Request, Transient, Trigger
from tests.fakes import FakeSink
from tests.targets.folder.folders import CANARY, LABELS, World, config, mount, secret, write


def test_where_a_target_comes_from(world: World) -> None:
    write(
        world.root / "a.yaml",
        secret("a"),
        secret("b", metadata={"name": "b", "namespace": "monitoring", "labels": LABELS}),
    )
    items = world.refresh().items
    assert (items["a"].namespace, items["a"].secret) == ("default", "a")
    assert (items["b"].namespace, items["b"].secret) == ("monitoring", "b")


def test_the_older_of_two_manifests_gets_a_name(world: World) -> None:
    for name, created in (("one", "2025-01-01T00:00:00Z"), ("two", "2024-01-01T00:00:00Z")):
        data = {"config": json.dumps(config("x", url=f"https://{name}"))}
        metadata = {"name": name, "labels": LABELS, "creationTimestamp": created}
        write(world.root / f"{name}.yaml", secret(name, metadata=metadata, data=None, stringData=data))
    assert world.refresh().items["x"].secret == "two"
    assert world.rejected() == [("default/one", "name", "duplicate_name")]


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
