"""Faults of the rules file, and of the path from it to the readers."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from alert_refresh.engine import (
    AttemptError,
    Deadline,
    Interval,
    Permanent,
    RefreshSettings,
    Request,
    Snapshot,
    SystemClock,
    Trigger,
    Worker,
)
from alert_refresh.engine.state import RefreshState
from alert_refresh.files import at_rest, read
from alert_refresh.rules import Settings, source
from alert_refresh.rules.forms import text_file
from alert_refresh.rules.hot_cache import HotCache
from alert_refresh.rules.rule import check
from alert_refresh.rules.rule_set import RuleSet, rule_set
from alert_refresh.rules.source import FileSource
from alert_refresh.targets import KIND as TARGETS
from tests.fakes import FakeSource, ruled
from tests.rules.examples import packed, rules
from tests.rules.world import World
from tests.stage import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def kept(world: World, error_type: str) -> str:
    """Assert that the last attempt failed with this error type and the ten rules of the first version are served."""
    outcome = world.outcomes[-1]
    assert outcome.error_type == error_type and outcome.consecutive_failures >= 1 and outcome.error is not None
    assert world.word == "one" and len(world.loaded.rules) == 10 and not world.status.in_progress
    assert world.metrics()[f'alert_refresh_errors_total{{error_type="{error_type}",kind="rules"}}'] >= 1
    assert world.get("/status").json["error"] == outcome.error
    assert world.get("/rule-000001").status_code == 200
    return outcome.error


def heals(world: World, data: bytes, word: str = "two") -> None:
    """Assert that a valid file is loaded as soon as it exists."""
    assert world.put(data).error is None
    assert world.word == word and world.status.consecutive_failures == 0


def test_rf01_a_file_missing_at_the_start_leaves_the_rules_not_ready_until_it_comes(tmp_path: Path) -> None:
    with World(tmp_path, None).start() as world:
        assert world.outcomes[0].error == "file 'rules.warm' is missing" and world.outcomes[0].error_type == "storage"
        assert world.client.get("/readyz").get_json()["waiting_for"] == ["rules"]
        assert world.get().json["error"] == "not_loaded" and world.get("/status").json["last_refresh"] is None
        assert world.metrics()["guard_scheduler_last_refresh_timestamp_ms"] == 0
        heals(world, packed(10), "one")
        assert world.client.get("/readyz").status_code == 200


def test_rf01_a_folder_missing_at_the_start_is_watched_for(tmp_path: Path) -> None:
    with World(tmp_path / "a", None) as world:
        (tmp_path / "a").rmdir()
        world.start()
        assert world.outcomes[0].error_type == "storage"
        (tmp_path / "b").mkdir()
        (tmp_path / "b" / "rules.warm").write_bytes(packed(10))
        (tmp_path / "b").rename(tmp_path / "a")
        world.attempt_ends()
        assert world.word == "one"


def test_rf01_a_file_deleted_later_keeps_what_is_loaded(tmp_path: Path) -> None:
    with World(tmp_path).start() as world:
        world.file.unlink()
        world.attempt_ends()
        assert kept(world, "storage") == "file 'rules.warm' is missing"
        heals(world, packed(10, word="two"))


def steps(data: bytes, count: int) -> Iterator[bytes]:
    """Data in so many parts."""
    size = -(-len(data) // count)
    return (data[at : at + size] for at in range(0, len(data), size))


def in_place(file: Path, parts: Iterator[bytes], pause: float) -> float:
    """Truncate a file and write it again in slow parts; returns the longest rest between two of them, in seconds."""
    rests = []
    with file.open("wb", buffering=0) as written:
        rested = time.monotonic()
        for part in parts:
            written.write(part)
            threading.Event().wait(pause)
            rests.append(time.monotonic() - rested)
            rested = time.monotonic()
    return max(rests)


def rewritten(file: Path, loops: int, version: Callable[[int], Iterator[bytes]], pause: float) -> tuple[int, int, int]:
    """Read while a writer rewrites in place: how many versions were loaded, loads of less than one, and refusals.

    A part of a version whose writer rested for as long as a complete file does may be loaded: that is not counted.
    """
    clock = SystemClock()
    reader = FileSource(file, Settings(RefreshSettings(), 300, file, 100, None), clock)
    seen, rested, refused = set(), set(), 0
    torn: list[set[str]] = []
    previous: Snapshot[Any] | None = None
    ended = threading.Event()

    def write() -> None:
        try:
            for loop in range(loops):
                if in_place(file, version(loop), pause) >= at_rest.SETTLED > 0:
                    rested.add(f"v{loop}")
                eventually(partial(lambda word: word in seen, f"v{loop}"), "a load of what is complete")
        finally:
            ended.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not ended.is_set() or previous is None:
        try:
            previous = reader.refresh(previous, Request(Trigger.FILE), Deadline(clock, 30))
        except AttemptError:
            refused += 1
            continue
        words = {one.description for one in previous.items.values()}
        seen |= words
        if len(previous.items) != 200 or len(words) != 1:
            torn.append(words)
    writer.join()
    return len(seen), sum(not words & rested for words in torn), refused


@pytest.mark.parametrize("loops", [25, pytest.param(500, marks=pytest.mark.soak)])
def test_rf02_a_warm_file_rewritten_in_place_is_loaded_whole_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loops: int
) -> None:
    monkeypatch.setattr(at_rest, "SETTLED", 0.0)
    file = tmp_path / "rules.warm"
    file.write_bytes(packed(200, word="first"))
    seen, torn, refused = rewritten(file, loops, lambda loop: steps(packed(200, word=f"v{loop}"), 20), 0.001)
    assert seen >= loops and refused > 10 and not torn


@pytest.mark.parametrize("loops", [5, pytest.param(500, marks=pytest.mark.soak)])
def test_rf02_text_rewritten_in_place_is_loaded_only_once_it_is_unchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loops: int
) -> None:
    def version(loop: int) -> Iterator[bytes]:
        """Ten JSON lines per part, so that every prefix of the file is valid."""
        lines = text_file.to_json_lines(rules(200, word=f"v{loop}")).encode().splitlines(keepends=True)
        yield from (b"".join(lines[at : at + 10]) for at in range(0, 200, 10))

    monkeypatch.setattr(at_rest, "SETTLED", 0.15)
    file = tmp_path / "rules.jsonl"
    file.write_bytes(b"".join(version(-1)))
    seen, torn, _ = rewritten(file, loops, version, 0.002)
    assert seen >= loops and not torn
    monkeypatch.setattr(at_rest, "SETTLED", 0.0)
    file.write_bytes(next(version(loops)))
    part = FileSource(file, Settings(RefreshSettings(), 300, file, 100, None), SystemClock())
    loaded = part.refresh(None, Request(Trigger.FILE), Deadline(SystemClock(), 30))
    assert len(loaded.items) == 10, "without waiting for the end a part is loaded"


@pytest.mark.parametrize(
    ("number", "reason"),
    [(errno.EACCES, "Permission denied"), (errno.EIO, "Input/output error"), (errno.ESTALE, "Stale")],
)
def test_rf03_rf07_a_file_that_cannot_be_read_keeps_what_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, reason: str
) -> None:
    fired: list[int] = []

    def fail(descriptor: int, what: str, limit: int) -> bytes:
        os.close(descriptor)
        fired.append(number)
        raise OSError(number, os.strerror(number))

    with World(tmp_path).start() as world:
        with monkeypatch.context() as broken:
            broken.setattr(read, "read_descriptor", fail)
            world.put(packed(10, word="two"))
            assert f"cannot be read: {reason}" in kept(world, "storage") and fired
        world.file.chmod(0o600)  # what an administrator does, and the watch sees it
        world.attempt_ends()
        assert world.word == "two"


def test_rf03_a_folder_in_the_files_place_is_not_a_file(tmp_path: Path) -> None:
    with World(tmp_path).start() as world:
        world.file.unlink()
        world.attempt_ends()
        world.file.mkdir()
        world.attempt_ends()
        assert "not a regular file" in kept(world, "storage")
        world.file.rmdir()
        world.attempt_ends()
        heals(world, packed(10, word="two"))


def test_rf04_a_sparse_file_of_a_gigabyte_is_too_large_immediately(tmp_path: Path) -> None:
    with World(tmp_path).start() as world:
        began = time.perf_counter()
        huge = tmp_path / ".huge"
        huge.touch()
        os.truncate(huge, 1 << 30)
        huge.replace(world.file)
        world.attempt_ends()
        assert time.perf_counter() - began < 10
        assert "larger than" in kept(world, "too_large")
        heals(world, packed(10, word="two"))


def test_rf04_a_file_that_grows_while_it_is_read_is_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, fired = os.fstat, list[int]()

    def grow(descriptor: int) -> os.stat_result:
        state = read(descriptor)
        if not fired and state.st_size == world.file.stat().st_size:
            fired.append(descriptor)
            with world.file.open("ab") as file:
                file.write(b"more")
        return state

    with World(tmp_path).start() as world:
        with monkeypatch.context() as growing:
            growing.setattr("alert_refresh.files.read.os.fstat", grow)
            world.refresh()
        assert "changed while it was read" in (world.outcomes[1].error or "")
        assert fired and world.word == "one"


def test_rf04_a_warm_file_beyond_the_cap_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with World(tmp_path).start() as world:
        monkeypatch.setattr(source, "LARGEST", 2000)
        world.put(packed(100))
        kept(world, "too_large")


def sealed(raw: object, count: int, version: int = 1) -> bytes:
    """A warm file with a valid checksum and any content."""
    body = msgspec.msgpack.encode(raw)
    head = (
        b"ARRULES\0" + version.to_bytes(2, "big") + bytes(2) + count.to_bytes(4, "big") + len(body).to_bytes(8, "big")
    )
    return head + hashlib.sha256(head + body).digest() + body


def one_bad() -> list[Any]:
    found: list[Any] = [{"id": f"r{number}"} for number in range(1000)]
    found[617] = {"id": "r617", "priority": "canary-content"}
    return found


@pytest.mark.parametrize(
    ("data", "error_type", "said"),
    [
        (sealed(one_bad(), 1000), "validate", 'rules[617] (id "r617").priority'),
        (msgspec.json.encode(one_bad()), "validate", 'rules[617] (id "r617").priority'),
        (
            sealed([{"id": "a"}, {"id": "b"}, {"id": "a"}], 3),
            "validate",
            'rules[2] (id "a").id: is also the id of rules[0]',
        ),
        (sealed([{"id": "a", "priority": float("nan")}], 1), "validate", 'rules[0] (id "a").priority'),
        (sealed([{"id": "canary content"}], 1), "validate", "rules[0].id"),
        (sealed([{"id": "a", "match": [["a", "=~", "canary("]]}], 1), "validate", 'rules[0] (id "a").match[0]'),
        (
            b"- id: a\n- {id: b, priority: .nan}\n- 5\n",
            "validate",
            'rules[1] (id "b").priority: must be a whole number',
        ),
        (sealed([{"id": "a"}], 1, version=2), "parse", "unknown version 2"),
        (b"- id: a\n  targets: [canary]\n  targets: []\n", "validate", "targets: is repeated"),
        (b'{"rules": [],\n"rules": [{"id": "canary"}]}', "parse", '"rules" is repeated (lines 1, 2)'),
        (b"rules: []\nrules: [{id: canary}]\n", "parse", '"rules" is repeated (lines 1, 2)'),
        (b"route: {receiver: canary}\nreceivers: []\n", "parse", "is an Alertmanager configuration"),
        (b"- {id: a, match: ['a=\"canary']}\n", "validate", "match[0]: column 3: this double quote is not closed"),
        (packed(10)[:-1], "parse", "truncated"),
        (packed(10)[:-1] + b"x", "parse", "checksum mismatch"),
        (b"", "parse", "is empty"),
    ],
)
def test_rf05_a_bad_file_keeps_all_old_rules_and_names_the_cause_not_the_content(
    tmp_path: Path, data: bytes, error_type: str, said: str
) -> None:
    with World(tmp_path).start() as world:
        before = world.status.snapshot
        world.put(data)
        cause = kept(world, error_type)
        assert said in cause and "canary" not in cause
        assert world.status.snapshot is before
        heals(world, packed(10), "one")  # the very same bytes as are loaded


@pytest.mark.parametrize("target", ["../outside.warm", "/etc/shadow"])
def test_rf06_a_link_out_of_the_folder_is_refused(tmp_path: Path, target: str) -> None:
    (tmp_path / "outside.warm").write_bytes(packed(10, word="outside"))
    with World(tmp_path / "in").start() as world:
        link = world.file.with_name(".link")
        link.symlink_to(target)
        link.replace(world.file)
        world.attempt_ends()
        assert "leads out of its folder" in kept(world, "storage")


def test_rf06_a_link_inside_the_folder_is_followed(tmp_path: Path) -> None:
    with World(tmp_path).start() as world:
        (tmp_path / "second.warm").write_bytes(packed(10, word="two"))
        (tmp_path / ".link").symlink_to("second.warm")
        (tmp_path / ".link").replace(world.file)
        assert world.attempt_ends().error is None and world.word == "two"


def test_rf06_a_fifo_does_not_block(tmp_path: Path) -> None:
    with World(tmp_path).start() as world:
        os.mkfifo(tmp_path / ".fifo")
        (tmp_path / ".fifo").replace(world.file)
        world.attempt_ends()
        assert "not a regular file" in kept(world, "storage")


def test_rf07_content_that_changed_under_the_same_time_and_size_is_loaded(tmp_path: Path) -> None:
    with World(tmp_path).start() as world:
        state = world.file.stat()
        data = packed(10, word="two")
        assert len(data) == state.st_size
        temporary = world.file.with_name(".new")
        temporary.write_bytes(data)
        os.utime(temporary, ns=(state.st_mtime_ns, state.st_mtime_ns))
        temporary.replace(world.file)
        world.attempt_ends()
        assert world.file.stat().st_mtime_ns == state.st_mtime_ns and world.word == "two"


def test_rf07_a_modification_time_that_goes_back_does_not_matter(tmp_path: Path) -> None:
    with World(tmp_path).start() as world:
        temporary = world.file.with_name(".new")
        temporary.write_bytes(packed(10, word="two"))
        os.utime(temporary, (0, 0))
        temporary.replace(world.file)
        world.attempt_ends()
        assert world.word == "two"


def two_versions() -> list[Snapshot[Any]]:
    """Two versions of 200 rules, which differ in every description."""
    cache = HotCache(50, {})
    versions: list[Snapshot[Any]] = []
    for word in ("one", "two"):
        checked = check(rules(200, word=word), {})
        loaded = RuleSet(checked, word, cache, rule_set(versions[-1]) if versions else None)
        versions.append(Snapshot(items=loaded.rules, digest=word, memo=loaded))
    return versions


def swap(state: RefreshState[Any], run: int, snapshot: Snapshot[Any]) -> None:
    request = Request(Trigger.FILE, run=run)
    state.due(run)
    state.finish(state.begin(state.status().pending or request, 1, Deadline(SystemClock(), 30)), ruled(snapshot), None)


@pytest.mark.parametrize("swaps", [2000, pytest.param(10_000, marks=pytest.mark.soak)])
def test_rf08_readers_during_swaps_see_one_whole_set_each_time(swaps: int) -> None:
    clock, versions = SystemClock(), two_versions()
    state: RefreshState[Any] = RefreshState("rules", clock, Interval(300), 0)
    run = state.open()

    swap(state, run, versions[0])
    ended, wrong = threading.Event(), []
    times: list[int] = []

    def read() -> None:
        number = 0
        while not ended.is_set():
            number = (number + 37) % 200
            began = time.perf_counter_ns()
            found = rule_set(state.status().snapshot)
            first = None if found is None else found.get(f"rule-{number:06d}")
            times.append(time.perf_counter_ns() - began)
            if found is None or first is None or len(found.all()) != 200:
                wrong.append("gap")
                continue
            second = found.get(f"rule-{199 - number:06d}")
            if second is None or second.description != first.description:
                wrong.append("mix")

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    eventually(lambda: len(times) > 100, "reading")
    for number in range(swaps):
        swap(state, run, versions[(number + 1) % 2])
    eventually(lambda: len(times) > 1000, "reading enough")
    ended.set()
    for reader in readers:
        reader.join()
    snapshot = state.status().snapshot
    assert snapshot is not None and snapshot.generation - swaps == pytest.approx(clock.time() * 1000, abs=600_000)
    assert wrong == []
    assert sorted(times)[len(times) // 2] < 1_000_000  # a microsecond or two: no reader waits for a swap


@pytest.mark.parametrize("blocked", ["rules", "targets"])
def test_c09_a_kind_that_is_blocked_forever_does_not_delay_another(tmp_path: Path, blocked: str) -> None:
    release = threading.Event()

    def block(*_: object) -> Snapshot[Any]:
        release.wait(60)
        raise Permanent("was blocked", "storage")

    with World(tmp_path) as world:
        targets = FakeSource()
        worker: Worker[Any] = Worker(TARGETS, targets, RefreshSettings(), clock=world.clock)
        world.daemon.workers["targets"] = worker
        ticks: dict[str, list[float]] = {"rules": [], "targets": []}
        hanging: Any = world.daemon.workers[blocked].source
        hanging.refresh = block
        for name, one in world.daemon.workers.items():
            one.listen(partial(lambda name, outcome: ticks[name].append(world.clock.monotonic()), name))
        world.daemon.start()
        other = "targets" if blocked == "rules" else "rules"
        try:
            eventually(lambda: len(ticks[other]) == 1, "the first refresh")
            eventually(lambda: world.daemon.workers[blocked].get_status().in_progress, "the blocked refresh")
            interval = world.daemon.workers[other].settings.interval
            for due in (30, 30 + interval, 30 + 2 * interval):
                world.clock.wait_for_sleeper(due - world.clock.monotonic())
                world.clock.advance(due - world.clock.monotonic())
                eventually(partial(lambda due: ticks[other][-1] == due, due), f"the tick at {due}")
            assert ticks[other] == [0, 30, 30 + interval, 30 + 2 * interval]
            assert world.daemon.workers[blocked].get_status().succeeded == 0
            assert world.client.get("/metrics").status_code == 200
        finally:
            release.set()
