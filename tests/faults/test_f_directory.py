"""Faults of a folder of manifests."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from alert_refresh.engine import AttemptError, Permanent, RefreshSettings, Transient, Trigger, Worker
from alert_refresh.files import watch
from alert_refresh.files.read import read_file
from alert_refresh.targets import KIND
from alert_refresh.targets.folder import parts, walk
from tests.fakes import FakeSink
from tests.targets.folder.folders import World, mount, secret, write
from tests.unprivileged import as_nobody

if TYPE_CHECKING:
    from collections.abc import Iterator

QUICKLY = 5.0
"""Seconds of the processor in which a bad file must be refused, a hundred times what it should take."""


@pytest.fixture
def ten(tmp_path: Path) -> World:
    """Ten good targets, served."""
    return filled(World(tmp_path / "root"))


def filled(world: World) -> World:
    world.root.mkdir(exist_ok=True)
    for number in range(10):
        write(world.root / f"{number}.yaml", secret(f"t{number}"))
    assert world.names() == NAMES
    return world


NAMES = [f"t{number}" for number in range(10)]
REST = NAMES[1:]


def fails(world: World) -> AttemptError:
    """Refresh and fail; the items served before are still served."""
    served = world.snapshot
    with pytest.raises(AttemptError) as raised:
        world.refresh()
    assert world.snapshot is served
    assert str(world.root) not in str(raised.value)
    return raised.value


SWAPS = 3
"""During one refresh at most, which is fewer than the scans that it makes, however slow the machine is."""


@contextmanager
def swapping(root: Path, several: bool) -> Iterator[tuple[list[int], threading.Event]]:
    """Put a new version in place every few milliseconds; yields the versions, and what one sets that read one."""
    versions: list[int] = []
    stop, read = threading.Event(), threading.Event()

    def version() -> None:
        number = len(versions) + 1
        text = f"v{number}"
        values = {
            "type": b"webhook",
            "name": text.encode(),
            "format": b"webhook",
            "url": f"https://{text}.example.com/".encode(),
            "headers": f"X-Version: {text}".encode(),
            "routing-key": text.encode(),
            "filter_config": json.dumps({"version": text}).encode(),
        }
        if several:
            values = {f"{n}.yaml": json.dumps(secret(f"{text}-{n}")).encode() for n in range(5)}
        mount(root, f"..{text}", values)
        versions.append(number)

    def run() -> None:
        while not stop.wait(0.002):
            if len(versions) % SWAPS == 0:
                read.clear()
                read.wait(20)
            version()

    version()
    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield versions, read
    finally:
        stop.set()
        read.set()
        thread.join()


@pytest.mark.parametrize("several", [False, True], ids=["keys", "manifests"])
def test_f01_a_version_is_read_whole_while_data_is_swapped(tmp_path: Path, several: bool) -> None:
    seen: set[str] = set()
    with swapping(tmp_path / "mounted", several) as (versions, read):
        while len(versions) < 100 or len(seen) <= 20:
            items = World(tmp_path / "mounted").refresh().items
            read.set()
            if several:
                assert {name.partition("-")[0] for name in items} == {next(iter(items)).partition("-")[0]}
                assert len(items) == 5
            else:
                [one] = items.values()
                assert one.url.reveal() == f"https://{one.name}.example.com/"
                assert {value.reveal() for value in one.headers.values()} == {one.name}
                assert one.filter_config == {"version": one.name}
            seen.add(next(iter(items)))


def test_f01_a_swap_in_the_middle_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path / "m")
    mount(world.root, "..1", {"type": b"slack", "url": b"https://one.example.com"})
    real, calls = os.listdir, []

    def swap(path: Any) -> list[str]:
        names = real(path)
        if isinstance(path, int):
            calls.append(path)
            if len(calls) == 1:
                mount(world.root, "..2", {"type": b"slack", "url": b"https://two.example.com"})
            if len(calls) == 2:
                (world.root / "..3").mkdir()
                (world.root / "..3" / "url").write_text("https://three.example.com")
                (world.root / "..3" / "type").write_text("webhook")
                (world.root / "new").symlink_to("..3")
                (world.root / "new").rename(world.root / "..data")
        return names

    monkeypatch.setattr(os, "listdir", swap)
    [target] = world.refresh().items.values()
    assert len(calls) == 3
    assert (target.type, target.url.reveal()) == ("webhook", "https://three.example.com")


def test_f02_a_file_that_vanishes_while_it_is_read_is_gone_and_no_fault(
    ten: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(ten.root / "0.yaml", secret("t0", note="changed"))
    real = read_file
    removed: list[Path] = []

    def vanish(root: Path, path: Path, limit: int) -> bytes:
        if path.name == "0.yaml" and not removed:
            path.unlink()
            removed.append(path)
        return real(root, path, limit)

    monkeypatch.setattr(parts, "read_file", vanish)
    assert ten.names() == REST
    assert removed and ten.rejected() == []


def test_f02_a_file_that_always_vanishes_is_its_own_fault(ten: World) -> None:
    (ten.root / "0.yaml").unlink()
    (ten.root / "0.yaml").symlink_to("nowhere")
    assert ten.names() == ["~t0", *REST]


def test_f02_an_empty_folder_is_an_empty_answer(ten: World) -> None:
    for path in ten.root.iterdir():
        path.unlink()
    assert ten.names() == []


def test_f03_without_inotify_changes_are_found_by_the_schedule(
    ten: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tried = []

    def none_left(**_: Any) -> None:
        tried.append(1)
        raise OSError(errno.EMFILE, "no inotify instances left")

    monkeypatch.setattr(watch, "INotify", none_left)
    settings = RefreshSettings(interval=60.0, warmup=0.0)
    ended = threading.Semaphore(0)
    worker = Worker(KIND, ten.source, settings, clock=ten.clock, listeners=[lambda _: ended.release()])
    for _ in range(2):
        worker.start()
        assert ended.acquire(timeout=30)
        write(ten.root / "0.yaml", secret("t0", data={}))
        ten.clock.wait_for_sleeper(60.0)
        ten.clock.advance(60.0)
        assert ended.acquire(timeout=30)
        snapshot = worker.get_status().snapshot
        assert snapshot is not None and snapshot.items["t0"].stale_since is not None
        worker.stop()
    assert len(tried) == 2
    assert [record.getMessage() for record in caplog.records if "watched" in record.getMessage()] == [
        "The folder cannot be watched; changes are found by the periodic refresh"
    ]


def test_f03_with_inotify_a_change_is_found_immediately(ten: World) -> None:
    seen = threading.Event()
    (watch,) = ten.source.watches(FakeSink(lambda trigger: seen.set() if trigger is Trigger.FILE else None))
    thread = threading.Thread(target=watch.run)
    thread.start()
    write(ten.root / "0.yaml", secret("t0", data={}))
    assert seen.wait(20)
    watch.stop()
    thread.join(20)


def test_f04_a_half_written_file_keeps_the_targets_it_held(ten: World) -> None:
    text = (ten.root / "0.yaml").read_text()
    for end in (0, 1, len(text) // 3, len(text) // 2, len(text) - 2):
        (ten.root / "0.yaml").write_text(text[:end])
        assert ten.names() == ["~t0", *REST], end
    (ten.root / "0.yaml").write_text(text)
    assert ten.names() == NAMES


def test_f04_temporary_and_hidden_files_are_not_read(ten: World) -> None:
    for name in (".0.yaml.swp", "0.yaml~", "#0.yaml#", ".x.yaml", "x.yaml.tmp", "4913"):
        (ten.root / name).write_text("kind: [")
    (ten.root / "..2024").mkdir()
    (ten.root / "..2024" / "x.yaml").write_text("kind: [")
    assert ten.names() == NAMES
    assert ten.rejected() == []


def test_f04_only_regular_files_inside_the_folder_are_read(ten: World) -> None:
    outside = ten.root.parent / "outside.yaml"
    write(outside, secret("outside"))
    (ten.root / "a.yaml").symlink_to(outside)
    (ten.root / "b.yaml").symlink_to("b.yaml")
    os.mkfifo(ten.root / "c.yaml")
    (ten.root / "d.yaml").symlink_to("/dev/zero")
    (ten.root / "f.yaml").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(ten.root / "e.yaml"))
        assert ten.names() == NAMES
    assert ten.rejected() == [(f"{name}.yaml", "file", "storage") for name in "abcde"]


BOMBS = {
    "alias bomb": "a: &a [x,x,x,x,x,x,x,x,x]\n"
    + "".join(
        f"{b}: &{b} [{','.join(f'*{a}' for _ in range(9))}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    ),
    "recursive anchor": "a: &a [*a]",
    "unknown alias": "a: *b",
    "python object": "a: !!python/object/apply:os.system ['touch /tmp/alert-refresh-was-here']",
    "python list": "!!python/tuple [a]",
    "python map": "!!python/dict {a: b}",
    "flow nesting": "[" * 2000 + "]" * 2000,
    "block nesting": "\n".join(" " * depth + "a:" for depth in range(2000)),
    "duplicate keys": "kind: Secret\nkind: Secret",
    "merge key": "a: &a {b: c}\nd:\n  <<: *a",
    "complex key": "? [a]\n: b",
    "binary": "a: !!binary aGVsbG8=",
}


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS.keys())
def test_f05_yaml_that_attacks_is_refused_quickly(ten: World, text: str) -> None:
    (ten.root / "x.yaml").write_text(text)
    began = time.thread_time()
    assert ten.names() == NAMES
    assert time.thread_time() - began < QUICKLY
    assert [(origin, field) for origin, field, _ in ten.rejected()] == [("x.yaml", "file")]
    assert not Path("/tmp/alert-refresh-was-here").exists()


def test_f05_a_file_has_a_limit_of_nodes(ten: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alert_refresh.targets.folder.documents.MAX_NODES", 100)
    (ten.root / "x.yaml").write_text("\n".join("- x" for _ in range(101)))
    ten.refresh()
    assert ten.rejected() == [("x.yaml", "file", "too_complex")]


def test_f05_aliases_have_a_limit_of_their_own(ten: World) -> None:
    for aliases in (9, 11):
        text = "kind: Other\nanchor: &a [" + "x," * 999 + "]\naliases: [" + "*a," * aliases + "]"
        (ten.root / f"{aliases}.yaml").write_text(text)
    ten.refresh()
    assert ten.rejected() == [("11.yaml", "file", "too_complex")]


def test_f05_several_documents_and_a_few_aliases_are_fine(ten: World) -> None:
    document = json.dumps(secret("x", metadata={"name": "x"}, data=None)).replace(
        '"name": "x"', '"name": "x", "labels": *labels'
    )
    text = f"kind: Other\nlabels: &labels {{publishing-target: 'true'}}\n---\n{json.dumps(secret('x'))}\n"
    (ten.root / "x.yaml").write_text(text)
    assert "x" in ten.names()
    (ten.root / "y.yaml").write_text(document)
    ten.refresh()
    assert ten.rejected() == [("y.yaml", "file", "too_complex")], "an alias does not reach into another document"


@pytest.mark.parametrize("value", ["true", "null", "", "1234", "2001-01-01", "1:30", "1e5", "[a]", "{}"])
@pytest.mark.parametrize("where", ["data", "stringData"])
def test_f06_values_that_are_not_strings_are_refused(ten: World, where: str, value: str) -> None:
    (ten.root / "x.yaml").write_text(
        f"kind: Secret\nmetadata: {{name: x, labels: {{publishing-target: 'true'}}}}\n"
        f"{where}:\n  type: slack\n  name: {value}\n  url: https://hooks.example.com\n"
    )
    assert ten.names() == NAMES
    assert ten.rejected() == [("default/x", "name", "schema")]


@pytest.fixture
def readable() -> Iterator[World]:
    """Ten targets in a folder that everyone may read."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        Path(name).chmod(0o755)
        world = filled(World(Path(name) / "root"))
        world.root.chmod(0o755)
        yield world


def test_f07_a_file_that_may_not_be_read_keeps_its_targets(readable: World) -> None:
    write(readable.root / "0.yaml", secret("t0"))
    (readable.root / "0.yaml").chmod(0)
    write(readable.root / "new.yaml", secret("new"))
    (readable.root / "new.yaml").chmod(0)
    with as_nobody():
        assert readable.names() == ["~t0", *REST]
        assert readable.rejected() == [("new.yaml", "file", "storage")]
    for name in ("0.yaml", "new.yaml"):
        (readable.root / name).chmod(0o644)
    assert readable.names() == ["new", *NAMES]


def test_f07_a_folder_that_may_not_be_read_fails_the_refresh(readable: World) -> None:
    readable.root.chmod(0)
    with as_nobody():
        error = fails(readable)
    readable.root.chmod(0o755)
    assert isinstance(error, Permanent) and error.error_type == "storage"
    assert readable.names() == NAMES


def test_f07_a_folder_that_is_gone_or_a_file_fails_the_refresh(ten: World) -> None:
    ten.root.rename(ten.root.with_name("away"))
    error = fails(ten)
    assert isinstance(error, Transient) and error.error_type == "storage"
    ten.root.write_text("x")
    error = fails(ten)
    assert isinstance(error, Permanent) and error.error_type == "storage"
    ten.root.unlink()
    ten.root.with_name("away").rename(ten.root)
    assert ten.names() == NAMES


def test_f07_a_mounted_secret_that_may_not_be_read_keeps_its_target(readable: World) -> None:
    mount(readable.root / "m", "..1", {"type": b"slack", "url": b"https://hooks.example.com/x"})
    assert "m" in readable.names()
    (readable.root / "m" / "..1" / "url").chmod(0)
    with as_nobody():
        assert "~m" in readable.names()


def test_f07_when_this_process_can_open_no_more_files_the_refresh_fails(
    ten: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(ten.root / "0.yaml", secret("t0", note="changed"))
    real = os.open

    def full(path: Any, *args: Any, **options: Any) -> int:
        if str(path).endswith("0.yaml"):
            raise OSError(errno.EMFILE, "Too many open files")
        return real(path, *args, **options)

    monkeypatch.setattr(os, "open", full)
    error = fails(ten)
    assert isinstance(error, Transient) and error.error_type == "storage"


@pytest.mark.parametrize("name", ["x.yaml", "x.json"])
def test_f08_a_huge_file_is_rejected_without_being_read(ten: World, name: str) -> None:
    with (ten.root / name).open("wb") as file:
        file.truncate(1 << 30)
    began = time.thread_time()
    assert ten.names() == NAMES
    assert time.thread_time() - began < QUICKLY
    assert ten.rejected() == [(name, "file", "too_large")]
    (ten.root / name).unlink()
    assert ten.names() == NAMES


def test_f08_a_file_that_became_huge_keeps_its_targets_and_no_other_from_changing(ten: World) -> None:
    with (ten.root / "0.yaml").open("ab") as file:
        file.truncate(parts.MAX_FILE + 1)
    write(ten.root / "1.yaml", secret("one"))
    assert ten.names() == ["one", "~t0", *NAMES[2:]]
    assert [fault.message.partition(":")[0] for fault in ten.served("t0").faults] == ["too_large"]
    write(ten.root / "0.yaml", secret("t0"))
    assert ten.names() == ["one", "t0", *NAMES[2:]]


def test_f08_a_huge_value_of_a_mounted_secret_is_a_fault_of_that_secret(ten: World) -> None:
    mount(ten.root / "m", "..1", {"type": b"slack", "url": b"https://hooks.example.com/x"})
    assert ten.names() == ["m", *NAMES]
    with (ten.root / "m" / "..1" / "url").open("wb") as file:
        file.truncate(1 << 30)
    assert ten.names() == ["~m", *NAMES]


def test_f08_the_values_of_a_mounted_secret_have_a_limit_together(ten: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "MAX_FILE", 5000)
    mount(ten.root / "m", "..1", {"url": b"x" * 3000, "note": b"x" * 3000})
    assert ten.names() == NAMES
    assert ten.rejected() == [("m", "file", "too_large")]


def test_f08_a_huge_value_of_a_mounted_secret_that_is_the_folder_is_a_fault_of_it(tmp_path: Path) -> None:
    world = World(tmp_path / "m")
    mount(world.root, "..1", {"type": b"slack", "url": b"https://hooks.example.com/x"})
    assert world.names() == ["m"]
    with (world.root / "..1" / "note").open("wb") as file:
        file.truncate(1 << 30)
    assert world.names() == ["~m"]


def test_f08_all_files_together_have_a_limit(ten: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "MAX_TOTAL", 100)
    assert fails(ten).error_type == "too_large"


def test_f08_more_files_than_the_limit_fail_the_refresh(ten: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "MAX_ENTRIES", 9)
    assert fails(ten).error_type == "too_large"


def test_f08_a_hundred_thousand_files_are_too_many(tmp_path: Path) -> None:
    root = tmp_path / "many"
    root.mkdir()
    (root / "0.yaml").touch()
    descriptor = os.open(root, os.O_DIRECTORY)
    try:
        for number in range(1, walk.MAX_ENTRIES + 1):
            os.link("0.yaml", f"{number}.yaml", src_dir_fd=descriptor, dst_dir_fd=descriptor)
    finally:
        os.close(descriptor)
    began = time.thread_time()
    with pytest.raises(Permanent) as raised:
        World(root).refresh()
    assert time.thread_time() - began < QUICKLY
    assert raised.value.error_type == "too_large"
    shutil.rmtree(root)
