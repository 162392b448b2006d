"""Faults of one file, subfolder or object in a folder of manifests: no other one is affected."""

from __future__ import annotations

import base64
import json
import logging
import os
import tempfile
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from alert_refresh.engine import Permanent, Stopping, Transient, Trigger
from alert_refresh.files.at_rest import SETTLED
from alert_refresh.files.read import read_file
from alert_refresh.files.watch import FolderWatch
from alert_refresh.targets.folder import documents, parts
from alert_refresh.targets.secret import parse as parsing
from tests.fakes import FakeSink
from tests.targets.folder.folders import CANARY, LABELS, World, config, mount, secret, write
from tests.unprivileged import as_nobody

if TYPE_CHECKING:
    from collections.abc import Iterator

SLACK = {"type": b"slack", "url": b"https://hooks.example.com/x"}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def public() -> Iterator[World]:
    """A folder that everyone may read."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield World(Path(name))


def faults(world: World, name: str) -> list[tuple[str, str]]:
    """Field and code word of each fault of a target."""
    return [(one.field, one.message.partition(":")[0]) for one in world.served(name).faults]


def messages(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """What was logged at WARNING or above, with its cause."""
    return [(one.getMessage(), vars(one).get("error", "")) for one in caplog.records if one.levelno >= logging.WARNING]


class TestItemsThatNobodyForesaw:
    """A39 in a folder."""

    @pytest.fixture
    def refused(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """The parser raises something nobody foresaw for Secrets whose name begins with `bad`; the names so far."""
        fired: list[str] = []

        def parse(*args: Any, **options: Any) -> Any:
            if options["secret"].startswith("bad"):
                fired.append(options["secret"])
                raise ZeroDivisionError(CANARY)
            return parsing.parse(*args, **options)

        def parse_base64(*args: Any, **options: Any) -> Any:
            parse(*args, **options) if options["secret"].startswith("bad") else None
            return parsing.parse_base64(*args, **options)

        monkeypatch.setattr("alert_refresh.targets.folder.parts.parse", parse)
        monkeypatch.setattr("alert_refresh.targets.folder.manifest.parse_base64", parse_base64)
        return fired

    @pytest.mark.parametrize("names", [["bad"], ["bad", "a", "b"], ["a", "bad", "b"], ["a", "b", "bad"]])
    @pytest.mark.parametrize("together", [False, True], ids=["files", "documents"])
    def test_a39_a_manifest_is_a_fault_of_its_own(
        self, world: World, refused: list[str], names: list[str], together: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        if together:
            write(world.root / "all.yaml", *map(secret, names))
        else:
            for number, name in enumerate(names):
                write(world.root / f"{number}.yaml", secret(name))
        for _ in range(3):
            assert world.names() == [name for name in names if name != "bad"]
        assert world.rejected() == [("default/bad", "secret", "unreadable")]
        assert refused == ["bad"]
        (record,) = [one for one in caplog.records if one.levelno == logging.ERROR]
        assert "parse" in vars(record)["stack"] and CANARY not in f"{vars(record)}"

    def test_a39_a_mounted_secret_is_a_fault_of_its_own(
        self, world: World, refused: list[str], caplog: pytest.LogCaptureFixture
    ) -> None:
        for name in ("a", "bad", "c"):
            mount(world.root / name, "..1", SLACK)
        for _ in range(3):
            assert world.names() == ["a", "c"]
        assert world.rejected() == [("default/bad", "secret", "unreadable")]
        assert len([one for one in caplog.records if one.levelno == logging.ERROR]) == 1
        assert refused == ["bad"]

    def test_a39_a_target_it_held_stays_stale(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        write(world.root / "a.yaml", secret("a"), secret("b"))
        assert world.names() == ["a", "b"]
        real = parsing.parse_base64

        def refuse(*args: Any, **options: Any) -> Any:
            if options["secret"] == "a":
                raise RuntimeError(CANARY)
            return real(*args, **options)

        monkeypatch.setattr("alert_refresh.targets.folder.manifest.parse_base64", refuse)
        write(world.root / "a.yaml", secret("a", note="x"), secret("b", note="x"), secret("c"))
        assert world.names() == ["~a", "b", "c"]
        assert faults(world, "a") == [("secret", "unreadable")]

    @pytest.mark.parametrize("where", ["load", "find"])
    def test_a39_a_file_whose_loading_raises_has_a_separate_fault(
        self, world: World, monkeypatch: pytest.MonkeyPatch, where: str
    ) -> None:
        write(world.root / "a.yaml", secret("a"))
        write(world.root / "b.yaml", secret("b"))
        assert world.names() == ["a", "b"]
        real = getattr(parts, where)

        def refuse(name: str, *args: Any, **options: Any) -> Any:
            if name == "a.yaml":
                raise AttributeError(CANARY)
            return real(name, *args, **options)

        monkeypatch.setattr(parts, where, refuse)
        write(world.root / "a.yaml", secret("a", note="x"))
        write(world.root / "b.yaml", secret("bb"))
        assert world.names() == ["~a", "bb"]
        assert faults(world, "a") == [("file", "unreadable")]

    def test_a39_an_object_that_cannot_even_be_looked_at_is_one_of_the_file(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = documents.load

        class Odd(dict[str, Any]):
            def get(self, *_: Any) -> Any:
                raise LookupError

        def load(*args: Any) -> list[Any]:
            return [*real(*args), Odd(kind="Secret", metadata={"name": "odd"})]

        monkeypatch.setattr(parts, "load", load)
        write(world.root / "a.yaml", secret("a"))
        assert world.names() == []
        assert world.rejected() == [("a.yaml", "file", "unreadable")]

    def test_p17_an_item_that_exhausts_memory_fails_the_attempt(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(world.root / "a.yaml", secret("a"))
        served = world.refresh()

        def exhaust(*_: Any, **__: Any) -> Any:
            raise MemoryError

        monkeypatch.setattr("alert_refresh.targets.folder.manifest.parse_base64", exhaust)
        write(world.root / "a.yaml", secret("a", note="x"))
        with pytest.raises(MemoryError):
            world.refresh()
        assert world.snapshot is served

    def test_the_deadline_is_not_a_fault_of_the_file_that_is_being_read(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def late(name: str, content: bytes, check: Any) -> Any:
            world.clock.advance(60)
            check()

        monkeypatch.setattr(parts, "load", late)
        write(world.root / "a.yaml", secret("a"))
        with pytest.raises(Transient) as raised:
            world.refresh()
        assert raised.value.error_type == "timeout"

    def test_a_date_for_a_number_is_a_fault_of_its_secret(self, world: World) -> None:
        body = '{"url":"https://hooks.slack.com/services/T0/B4e","expires":2025-11-25}'
        data = base64.b64encode(body.encode()).decode()
        write(world.root / "a.yaml", secret("a"), secret("b", data={"config": data}), secret("c"))
        mount(world.root / "m", "..1", {"config": body.encode()})
        assert world.names() == ["a", "c"]
        assert world.rejected() == [("default/b", "config", "schema"), ("default/m", "config", "schema")]


NAMES = {
    b"b\xe4d": r"b\xe4d",
    b"two\nlines": r"two\nlines",
    b"\xff" * 250: r"\xff" * 250,
    rb"back\slash": r"back\\slash",
    "\u202egpj".encode(): r"\xe2\x80\xaegpj",
}
named = pytest.mark.parametrize(("name", "text"), NAMES.items(), ids=["latin-1", "lines", "long", "slash", "bidi"])


class TestOddNames:
    @named
    def test_f09_a_file_with_any_name_is_served(self, world: World, name: bytes, text: str) -> None:
        write(world.root / "a.yaml", secret("a"))
        (world.root / os.fsdecode(name + b".yaml")).write_text(json.dumps(secret("odd")))
        assert world.names() == ["a", "odd"]
        assert world.names() == ["a", "odd"]
        assert world.rejected() == []

    @named
    def test_f09_its_faults_show_its_name_escaped(
        self, world: World, name: bytes, text: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        path = world.root / os.fsdecode(name + b".json")
        path.write_text(
            json.dumps({"kind": "List", "items": [secret("odd"), secret("b", metadata={"labels": LABELS})]})
        )
        write(world.root / "a.yaml", secret("a"))
        assert world.names() == ["a", "odd"]
        assert [origin for origin, *_ in world.rejected()] == [f"{text}.json/2"]
        path.write_text("{")
        assert world.names() == ["a", "~odd"]
        path.unlink()
        path.mkdir()
        path.rmdir()
        path.symlink_to("nowhere")
        assert world.names() == ["a", "~odd"]
        assert f"file '{text}.json' is missing" in world.served("odd").faults[0].message
        assert world.snapshot is not None
        assert msgspec.json.encode([one.message for one in world.served("odd").faults])
        for record in caplog.records:
            f"{record.getMessage()} {vars(record)}".encode()
            assert "\n" not in record.getMessage()

    @named
    def test_f09_a_mounted_secret_in_a_folder_with_any_name_is_served(
        self, world: World, name: bytes, text: str
    ) -> None:
        write(world.root / "a.yaml", secret("a"))
        mount(world.root / os.fsdecode(name), "..1", SLACK | {"name": b"odd"})
        assert world.names() == ["a", "odd"]
        assert world.served("odd").secret == text
        mount(world.root / os.fsdecode(name), "..2", SLACK)
        assert world.names() == ["a", "~odd"]
        assert faults(world, "odd") == [("name", "bad_name")]

    @named
    def test_f09_a_key_of_a_mounted_secret_may_be_called_anything(self, world: World, name: bytes, text: str) -> None:
        write(world.root / "a.yaml", secret("a"))
        key = os.fsdecode(b"header-" + name)[:200]
        mount(world.root / "m", "..1", {"webhook-url": b"https://hooks.example.com/x", key: b"\xff"})
        mount(world.root / "n", "..1", {f"{key}.yaml": json.dumps(secret("inside")).encode()})
        assert world.names() == ["a", "inside"]
        assert [origin for origin, *_ in world.rejected()] == ["default/m"]
        assert world.snapshot is not None
        for fault in world.snapshot.rejected[0].faults:
            assert fault.field.isprintable() and fault.field.encode()

    def test_f09_they_are_in_the_order_of_their_shown_names(self, world: World) -> None:
        for name in NAMES:
            (world.root / os.fsdecode(name + b".yaml")).write_text("kind: [")
        world.refresh()
        assert [origin for origin, *_ in world.rejected()] == sorted(f"{text}.yaml" for text in NAMES.values())

    def test_f09_the_folder_itself_may_be_called_anything(self, tmp_path: Path) -> None:
        world = World(tmp_path / os.fsdecode(b"f\xe4\n"))
        mount(world.root, "..1", SLACK | {"name": b"odd"})
        assert world.names() == ["odd"]
        assert world.served("odd").secret == r"f\xe4\n"


class TestFoldersThatMayNotBeEntered:
    def test_f10_a_mounted_secret_keeps_its_target_with_the_reason(self, public: World) -> None:
        mount(public.root / "m", "..1", SLACK)
        mount(public.root / "n", "..1", SLACK)
        assert public.names() == ["m", "n"]
        (public.root / "m").chmod(0)
        with as_nobody():
            assert public.names() == ["~m", "n"]
            assert public.names() == ["~m", "n"]
            (message,) = {one.message for one in public.served("m").faults}
            assert message == "storage: folder 'm' cannot be read: Permission denied"
        (public.root / "m").chmod(0o755)
        assert public.names() == ["m", "n"]

    def test_f10_so_do_the_manifests_of_a_mounted_volume(self, public: World) -> None:
        mount(public.root / "m", "..1", {"a.yaml": json.dumps(secret("a")).encode()})
        assert public.names() == ["a"]
        (public.root / "m").chmod(0)
        with as_nobody():
            assert public.names() == ["~a"]
        (public.root / "m").chmod(0o755)

    def test_f10_so_does_one_behind_a_symlink_that_may_not_be_followed(self, public: World) -> None:
        (public.root / ".real").mkdir()
        mount(public.root / ".real" / "m", "..1", SLACK)
        (public.root / "m").symlink_to(".real/m")
        assert public.names() == ["m"]
        (public.root / ".real").chmod(0)
        with as_nobody():
            assert public.names() == ["~m"]
        (public.root / ".real").chmod(0o755)

    def test_f10_a_folder_that_held_nothing_is_rejected_and_affects_no_other(self, public: World) -> None:
        write(public.root / "a.yaml", secret("a"))
        (public.root / "a.yaml").chmod(0o644)
        (public.root / "lost+found").mkdir()
        (public.root / "lost+found").chmod(0)
        mount(public.root / "z", "..1", SLACK)
        with as_nobody():
            assert public.names() == ["a", "z"]
            assert public.rejected() == [("lost+found", "file", "storage")]
        (public.root / "lost+found").chmod(0o755)
        assert public.names() == ["a", "z"]
        assert public.rejected() == []

    def test_f10_the_root_folder_is_not_an_item(self, public: World) -> None:
        mount(public.root, "..1", SLACK)
        public.refresh()
        public.root.chmod(0)
        with as_nobody(), pytest.raises(Permanent) as raised:
            public.refresh()
        assert raised.value.error_type == "storage"
        public.root.chmod(0o755)


def flat(name: str, *more: str) -> str:
    """A flat Secret as people write it; `more` lines come last."""
    lines = ["apiVersion: v1", "kind: Secret", f"metadata: {{name: {name}, labels: {{publishing-target: 'true'}}}}"]
    lines += ["stringData:", "  type: slack", f"  url: https://hooks.example.com/{CANARY}", *more]
    return "\n".join(lines) + "\n"


class Watched(World):
    """A world whose clock shows the time of the last write, and whose watch gets its events from the test."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.trigger = Trigger.FILE
        self.reported: list[Trigger] = []
        (watch,) = self.source.watches(FakeSink(self.reported.append))
        assert isinstance(watch, FolderWatch)
        self.watch = watch

    def now(self, file: Path, later: float = 0.0) -> None:
        """It is that long after the last change of the file."""
        self.clock.wall_offset = file.stat().st_mtime + later - self.clock.monotonic()


class TestFilesThatAreBeingWritten:
    @pytest.fixture
    def world(self, tmp_path: Path) -> Watched:
        return Watched(tmp_path)

    def test_f11_a_file_keeps_what_it_held_until_it_has_rested(self, world: Watched) -> None:
        file = world.root / "a.yaml"
        write(file, secret("one"), secret("two"), secret("three"))
        write(world.root / "b.yaml", secret("b"))
        assert world.names() == ["b", "one", "three", "two"]
        with file.open("w") as writer:
            writer.write("\n---\n".join(json.dumps(secret(name)) for name in ("one", "two")))
            writer.flush()
            world.watch._read_events()
            for later in (0.0, 0.2, SETTLED - 0.01):
                write(world.root / "b.yaml", secret(f"b{round(later * 100)}"))
                world.watch._read_events()
                world.now(file, later)
                assert world.names() == [f"b{round(later * 100)}", "one", "three", "two"]
            writer.write("\n---\n" + json.dumps(secret("four")))
            writer.flush()
            world.now(file)
            assert "three" in world.names()
            world.now(file, SETTLED)
            assert world.names() == ["b49", "four", "one", "two"]

    def test_f11_a_secret_that_is_cut_before_its_last_line_is_not_served_enabled(self, world: Watched) -> None:
        file = world.root / "a.yaml"
        file.write_text(flat("a", "  enabled: 'false'"))
        world.watch._read_events()
        assert world.refresh().items["a"].enabled is False
        with file.open("w") as writer:
            writer.write(flat("a"))
            writer.flush()
            world.watch._read_events()
            world.now(file, 0.3)
            assert world.refresh().items["a"].enabled is False
            writer.write("  enabled: 'false'\n")
        world.watch._read_events()
        world.now(file, 0.1)
        assert world.refresh().items["a"].enabled is False
        assert world.rejected() == []

    def test_f11_a_file_is_taken_over_as_soon_as_its_writer_closed_it(self, world: Watched) -> None:
        file = world.root / "a.yaml"
        write(file, secret("a"))
        world.refresh()
        file.write_text(json.dumps(secret("b")))
        world.now(file)
        assert world.names() == ["a"], "the watch has no event yet"
        assert world.watch._read_events() is True
        assert world.names() == ["b"]

    def test_f11_a_file_renamed_into_place_is_complete_immediately(self, world: Watched) -> None:
        file = world.root / "a.yaml"
        write(file, secret("a"))
        world.refresh()
        write(file, secret("b"))
        world.watch._read_events()
        world.now(file)
        assert world.names() == ["b"]

    def test_f11_a_new_file_comes_with_its_end(self, world: Watched) -> None:
        write(world.root / "b.yaml", secret("b"))
        assert world.names() == ["b"]
        file = world.root / "a.yaml"
        with file.open("w") as writer:
            writer.write(flat("a"))
            writer.flush()
            world.watch._read_events()
            world.now(file)
            assert world.names() == ["b"]
            assert world.rejected() == []
            writer.write("  enabled: 'false'\n")
        world.watch._read_events()
        assert world.names() == ["a", "b"]
        assert world.served("a").enabled is False

    def test_f11_one_that_was_broken_before_stays_so_until_it_rests(self, world: Watched) -> None:
        file = world.root / "a.yaml"
        write(file, secret("a"))
        world.refresh()
        file.write_text("kind: [")
        world.watch._read_events()
        assert world.names() == ["~a"]
        with file.open("w") as writer:
            writer.write(flat("a"))
            writer.flush()
            world.watch._read_events()
            world.now(file)
            assert world.names() == ["~a"]
            world.now(file, SETTLED)
            assert world.names() == ["a"]

    def test_a_file_that_changes_between_two_looks_at_it_is_looked_at_again(
        self, world: Watched, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = world.root / "a.yaml"
        write(file, secret("a"))
        world.refresh()
        calls = []

        def read(*args: Any) -> bytes:
            calls.append(args)
            if len(calls) == 1:
                file.write_text(flat("half"))
                world.now(file)
            return read_file(*args)

        monkeypatch.setattr(parts, "read_file", read)
        write(file, secret("b"))
        world.watch._read_events()
        assert world.names() == ["a"], "what it became meanwhile is being written"
        assert len(calls) == 1

    @pytest.mark.parametrize("trigger", [Trigger.STARTUP, Trigger.MANUAL])
    def test_f11_the_first_refresh_and_a_manual_one_wait_once_until_it_is_at_rest(
        self, world: Watched, trigger: Trigger
    ) -> None:
        if trigger is Trigger.MANUAL:
            write(world.root / "b.yaml", secret("b"))
            world.refresh()
        file = world.root / "a.yaml"
        file.write_text(flat("a"))
        world.now(file, 0.1)
        world.trigger = trigger
        found: list[list[str]] = []
        thread = threading.Thread(target=lambda: found.append(world.names()))
        thread.start()
        world.clock.wait_for_sleeper(SETTLED)
        world.clock.advance(SETTLED)
        thread.join(20)
        assert found == [["a"] if trigger is Trigger.STARTUP else ["a", "b"]]

    def test_f11_without_a_watch_every_refresh_waits_for_it(self, tmp_path: Path) -> None:
        world = World(tmp_path)
        file = tmp_path / "a.yaml"
        write(file, secret("a"))
        world.refresh()
        world.trigger = Trigger.PERIODIC
        file.write_text(flat("b"))
        world.clock.wall_offset = file.stat().st_mtime - world.clock.monotonic()
        found: list[list[str]] = []
        thread = threading.Thread(target=lambda: found.append(world.names()))
        thread.start()
        world.clock.wait_for_sleeper(SETTLED)
        world.clock.advance(SETTLED)
        thread.join(20)
        assert found == [["b"]]

    @pytest.mark.parametrize("restored", [False, True])
    def test_f11_one_that_does_not_rest_at_the_start_is_named_and_what_was_restored_stays(
        self, world: Watched, restored: bool
    ) -> None:
        file = world.root / "a.yaml"
        if restored:
            write(file, secret("a"))
            world.snapshot = replace(world.refresh(), memo=None)
        write(world.root / "c.yaml", secret("c"))
        world.watch._read_events()
        file.write_text(flat("b"))
        world.now(file)
        found: list[list[str]] = []
        thread = threading.Thread(target=lambda: found.append(world.names()))
        thread.start()
        world.clock.wait_for_sleeper(SETTLED)
        file.write_text(flat("bb"))
        world.clock.wall_offset = file.stat().st_mtime - SETTLED - world.clock.monotonic()
        world.clock.advance(SETTLED)
        thread.join(20)
        assert found == [["~a", "c"] if restored else ["c"]]
        if not restored:
            assert world.rejected() == [("a.yaml", "file", "storage")]
        world.watch._read_events()
        assert world.names() == ["bb", "c"]

    def test_a_stop_ends_the_wait_for_its_rest(self, world: Watched) -> None:
        file = world.root / "a.yaml"
        file.write_text(flat("a"))
        world.now(file)
        stopping = threading.Event()
        stopping.set()
        world.stopping = stopping
        with pytest.raises(Stopping):
            world.refresh()
        world.source.close()


class TestObjectsThatLostWhatNamesThem:
    """F12: the targets of objects that are recognized stay, stale; removed ones are gone, with the reason logged."""

    @pytest.mark.parametrize(
        ("metadata", "field"),
        [
            ({"labels": LABELS}, "metadata.name"),
            ({"name": None, "labels": LABELS}, "metadata.name"),
            ({"name": "", "labels": LABELS}, "metadata.name"),
            ({"name": 5, "labels": LABELS}, "metadata.name"),
            ({"name": ["a"], "labels": LABELS}, "metadata.name"),
            ({"name": "a", "namespace": 5, "labels": LABELS}, "metadata.namespace"),
            ({"name": "a", "labels": {"publishing-target": True}}, "metadata.labels"),
            ({"name": "a", "labels": "publishing-target"}, "metadata.labels"),
        ],
    )
    @pytest.mark.parametrize("others", [[], ["b", "c"]], ids=["alone", "several"])
    def test_f12_a_lost_or_wrong_name_is_a_fault_of_the_target(
        self, world: World, metadata: dict[str, Any], field: str, others: list[str]
    ) -> None:
        write(world.root / "a.yaml", *map(secret, ("a", *others)))
        world.refresh()
        write(world.root / "a.yaml", secret("a", metadata=metadata), *map(secret, others))
        for _ in range(2):
            assert world.names() == ["~a", *others]
        assert faults(world, "a") == [(field, "schema")]
        assert world.rejected() == []
        write(world.root / "a.yaml", secret("a", metadata=metadata, note="x"), *map(secret, others))
        assert world.names() == ["~a", *others]
        write(world.root / "a.yaml", *map(secret, ("a", *others)))
        assert world.names() == ["a", *others]

    @pytest.mark.parametrize("kind", [..., None, 5, "", []])
    def test_f12_so_is_a_lost_kind_or_one_of_a_wrong_type(self, world: World, kind: Any) -> None:
        write(world.root / "a.yaml", secret("a"), secret("b"))
        world.refresh()
        document = {key: value for key, value in secret("a", kind=kind).items() if value is not ...}
        write(world.root / "a.yaml", document, secret("bb"))
        assert world.names() == ["~a", "bb"]
        assert faults(world, "a") == [("kind", "schema")]
        write(world.root / "a.yaml", document)
        assert "~a" in world.names()

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"metadata": {"name": "a"}}, "the label selector does not select it"),
            ({"metadata": {"name": "a", "labels": {"publishing-target": "false"}}}, "the label selector does not"),
            ({"kind": "ConfigMap"}, "its kind is not Secret of v1"),
            ({"apiVersion": "external-secrets.io/v1"}, "its kind is not Secret of v1"),
        ],
    )
    def test_f12_one_that_is_not_meant_any_more_is_gone_and_the_log_says_why(
        self, world: World, changes: dict[str, Any], reason: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        write(world.root / "a.yaml", secret("a"), secret("b"))
        world.refresh()
        write(world.root / "a.yaml", secret("a", **changes), secret("b"))
        for _ in range(3):
            assert world.names() == ["b"]
        ((message, error),) = messages(caplog)
        assert message == "Secret is gone: 'default/a'" and error.startswith(reason)

    def test_f12_one_that_left_its_file_is_gone_and_the_log_says_why(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        write(world.root / "a.yaml", secret("a"), secret("b"))
        write(world.root / "c.yaml", secret("c"))
        world.refresh()
        write(world.root / "a.yaml", secret("b"))
        assert world.names() == ["b", "c"]
        (world.root / "c.yaml").unlink()
        for _ in range(2):
            assert world.names() == ["b"]
        assert messages(caplog) == [
            ("Secret is gone: 'default/a'", "the file no longer holds it"),
            ("Secret is gone: 'default/c'", "its file is gone"),
        ]

    def test_f12_one_that_moved_to_another_file_is_not_gone(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        write(world.root / "a.yaml", secret("a"), secret("b"))
        world.refresh()
        write(world.root / "a.yaml", secret("b"))
        write(world.root / "c.yaml", secret("a"))
        assert world.names() == ["a", "b"]
        assert messages(caplog) == []

    def test_f12_many_that_are_gone_are_not_as_many_lines(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        write(world.root / "a.yaml", *(secret(f"t{number:02}") for number in range(30)))
        world.refresh()
        (world.root / "a.yaml").unlink()
        world.refresh()
        assert messages(caplog)[-1][0] == "10 more Secrets are gone" and len(messages(caplog)) == 21

    def test_f12_of_several_the_one_that_lost_its_name_is_found_by_its_content(self, world: World) -> None:
        write(world.root / "a.yaml", secret("a"), secret("b"), secret("c"))
        world.refresh()
        nameless = secret("b", metadata={"labels": LABELS})
        write(world.root / "a.yaml", secret("c"), nameless)
        assert world.names() == ["~b", "c"]

    def test_f12_a_flat_one_is_found_by_its_content_too(self, world: World) -> None:
        def flat(name: str | None, path: str) -> dict[str, Any]:
            metadata = {"labels": LABELS} | ({} if name is None else {"name": name})
            strings = {"type": "slack", "url": f"https://hooks.example.com/{path}"}
            return secret("x", metadata=metadata, data=None, stringData=strings)

        write(world.root / "a.yaml", flat("a", "1"), flat("b", "2"), flat("c", "3"))
        assert world.names() == ["a", "b", "c"]
        write(world.root / "a.yaml", flat(None, "3"), flat("a", "1"))
        assert world.names() == ["a", "~c"]

    def test_f12_an_object_that_no_lost_secret_is_left_for_is_rejected(self, world: World) -> None:
        write(world.root / "a.yaml", secret("a"))
        world.refresh()
        write(world.root / "a.yaml", secret("a"), secret("b", metadata={"labels": LABELS}))
        assert world.names() == ["a"]
        assert world.rejected() == [("a.yaml/2", "metadata.name", "schema")]

    @pytest.mark.parametrize("place", [0, 1, 2])
    def test_f12_an_object_that_was_nameless_before_is_not_the_one_that_left(self, world: World, place: int) -> None:
        stranger = secret("x", metadata={"labels": LABELS}, data={"config": "!"})
        documents = [secret("a"), secret("b")]
        documents.insert(place, stranger)
        write(world.root / "a.yaml", *documents)
        assert world.names() == ["a", "b"]
        write(world.root / "a.yaml", *(one for one in documents if one["metadata"].get("name") != "a"))
        for _ in range(2):
            assert world.names() == ["b"]
        write(world.root / "a.yaml", stranger)
        assert world.names() == []

    def test_f12_one_invalid_object_does_not_affect_others_in_its_file(self, world: World) -> None:
        write(world.root / "a.yaml", secret("a"), secret("b"))
        world.refresh()
        write(world.root / "a.yaml", 5, {"kind": "List", "items": {}}, [secret("x")], secret("c"))
        assert "c" in world.names()

    def test_f12_after_a_restart_a_nameless_object_may_be_any_that_is_missing(self, world: World) -> None:
        write(world.root / "a.yaml", secret("a"), secret("b"))
        world.snapshot = replace(world.refresh(), memo=None)
        write(world.root / "a.yaml", secret("a", metadata={"labels": LABELS}), secret("b"))
        for _ in range(2):
            assert world.names() == ["~a", "b"]
        assert faults(world, "a") == [("metadata.name", "schema")]
        write(world.root / "a.yaml", secret("b"))
        assert world.names() == ["b"]


def test_json_of_a_name_that_no_text_can_hold_is_refused(world: World) -> None:
    text = json.dumps(secret("x", stringData={"config": json.dumps(config("x"))}))
    for number, odd in enumerate(('"\\ud800"', '"\\udce4"')):
        for end in ("json", "yaml"):
            (world.root / f"{number}.{end}").write_text(text.replace('"name": "x"', f'"name": {odd}'))
    assert world.names() == []
    assert {field for _, field, _ in world.rejected()} == {"file"}
