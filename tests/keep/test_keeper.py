"""The keeper: what is served survives a restart, and keeping it delays and harms nothing."""

from __future__ import annotations

import errno
import json
import logging
import os
import threading
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from alert_refresh.engine import Hold, Partial, Permanent, Snapshot, Transient
from alert_refresh.files import write as atomic_file
from alert_refresh.keep import keeper as keeping
from alert_refresh.keep import outcomes_file, snapshot_file
from alert_refresh.keep.folder import StateFolder
from alert_refresh.keep.key import Key
from alert_refresh.keep.snapshot_file import Kept
from tests.fakes import FakeClock, snapshot
from tests.keep.world import FILE, KIND, TextCodec, World
from tests.stage import eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEY = Key(bytes(range(32)))


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop writes what is still to be written also where the disk is busy with others."""
    monkeypatch.setattr(keeping, "STOP_WITHIN", 60.0)


def broken(number: int) -> Snapshot[str]:
    raise Permanent("the source is away", "network")


def unchanged(number: int) -> Snapshot[str]:
    return snapshot("the same")


def logged(caplog: pytest.LogCaptureFixture, message: str) -> list[Any]:
    return [record for record in caplog.records if record.getMessage() == message]


def has_failed(world: World, times: int) -> bool:
    return world.kind.failures == times


def waits(world: World, outcomes: int) -> bool:
    """Whether so many outcomes wait for being written."""
    return len(world.keeper._outcomes) == outcomes


class CountedWrites:
    """Counts writes of snapshots, and makes them fail with `error` while there is one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.error: OSError | None = None
        write = atomic_file.write

        def counted(path: Path, data: bytes) -> None:
            if path.name != FILE:
                write(path, data)
                return
            self.count += 1
            if self.error is not None:
                raise self.error
            write(path, data)

        monkeypatch.setattr(atomic_file, "write", counted)


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> CountedWrites:
    return CountedWrites(monkeypatch)


# A restart


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
def test_what_was_served_is_served_at_once_after_a_restart(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, key: Key | None
) -> None:
    caplog.set_level(logging.INFO)
    with World(tmp_path, lambda n: snapshot("content", a="1", b="2"), key=key).start() as before:
        served = before.worker.current()
        assert not before.worker.get_status().restored
    assert served is not None
    clock = FakeClock()
    clock.advance(90)
    with World(tmp_path, broken, key=key, clock=clock).restore() as after:
        assert after.worker.current() == served
        status = after.worker.get_status()
        assert status.restored and status.last_success_at == before.clock.time()
        assert status.last_success == 0 and status.last is not None and status.last.result == "success"
        [record] = logged(caplog, "Restored fake")
        assert (record.kind, record.items, record.generation, record.age_seconds) == ("fake", 2, served.generation, 90)
        after.worker.start()
        after.attempt_ends()
        status = after.worker.get_status()
        assert status.restored and status.snapshot == served and status.consecutive_failures == 1
        after.source.answer = lambda n: snapshot("content", a="1", b="2")
        after.change()
        status = after.worker.get_status()
        assert not status.restored and status.snapshot is not None
        assert status.snapshot.generation == served.generation, "it is the same content"


def test_a_change_is_the_next_generation_after_a_restart(tmp_path: Path) -> None:
    with World(tmp_path).start() as before:
        first = before.worker.current()
    with World(tmp_path, lambda n: snapshot("another")).start() as after:
        second = after.worker.current()
        assert first is not None and second is not None and second.generation == first.generation + 1


def test_without_anything_kept_nothing_is_restored_and_nothing_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with World(tmp_path).restore() as world:
        status = world.worker.get_status()
        assert (status.snapshot, status.last, status.last_success_at, status.restored) == (None, None, None, False)
    assert caplog.records == []


def test_why_it_failed_and_how_often_is_known_after_a_restart(tmp_path: Path) -> None:
    with World(tmp_path, broken).start() as before:
        before.change()
        assert before.worker.get_status().consecutive_failures == 2
    with World(tmp_path, broken).restore() as after:
        status = after.worker.get_status()
        assert status.last == replace(before.outcomes[-1], seen_at=None) and status.consecutive_failures == 2
        assert not status.restored and status.snapshot is None
        after.worker.start()
        after.attempt_ends()
        assert after.outcomes[0].consecutive_failures == 3
        assert after.outcomes[0].streak_before == 2


def test_the_age_of_what_did_not_change_counts_from_the_last_success(tmp_path: Path) -> None:
    with World(tmp_path, unchanged).start() as before:
        before.rests()
        before.clock.advance(1000)
        before.change()
        succeeded_at = before.clock.time()
        before.source.answer = broken
        before.clock.advance(50)
        before.change()
    with World(tmp_path, clock=before.clock).restore() as after:
        status = after.worker.get_status()
        assert status.last_success_at == succeeded_at
        assert status.last_success == before.clock.monotonic() - 50
        assert status.consecutive_failures == 1


def test_without_outcomes_the_age_is_that_of_the_snapshot_itself(tmp_path: Path) -> None:
    with World(tmp_path, unchanged).start():
        pass
    (tmp_path / outcomes_file.NAME).unlink()
    with World(tmp_path).restore() as after:
        status = after.worker.get_status()
        assert status.restored and status.last is None
        assert status.last_success_at == after.clock.time()


def test_a_clock_that_went_back_makes_no_negative_age(tmp_path: Path) -> None:
    with World(tmp_path, unchanged).start():
        pass
    clock = FakeClock()
    clock.wall_offset -= 1e6
    with World(tmp_path, max_age=1.0, clock=clock).restore() as after:
        assert after.worker.get_status().last_success == clock.monotonic()
        assert after.worker.get_status().restored


def test_a_part_that_was_published_is_kept_too(tmp_path: Path) -> None:
    def partly(number: int) -> Snapshot[str]:
        raise Partial(snapshot("a part"), Transient("the rest is away", "network"))

    with World(tmp_path, partly).start():
        pass
    with World(tmp_path).restore() as after:
        assert after.served == {"item": "a part"}
        assert after.worker.get_status().last_success is None


def test_what_a_watch_publishes_is_kept(tmp_path: Path) -> None:
    with World(tmp_path, unchanged).start() as before:
        before.rests()
        assert before.worker.publish(snapshot("published"), before.worker.current(), seen_at=0.0)
        before.rests()
    with World(tmp_path).restore() as after:
        assert after.served == {"item": "published"}


@pytest.mark.parametrize("rejected", [True, False])
def test_held_removals_are_kept(tmp_path: Path, rejected: bool) -> None:
    hold = Hold(("gone", "lost"), 1_700_000_000.0, rejected)
    with World(tmp_path, unchanged).start() as before:
        before.rests()
        served, last = before.worker.current(), before.worker.get_status().last
        before.worker.restore(served, last=last, last_success_at=None, hold=hold)
        before.keeper.look(KIND.name)
        before.rests()
    with World(tmp_path).restore() as after:
        assert after.worker.get_status().hold == hold


def test_a_second_start_of_the_same_process_keeps_on_keeping(tmp_path: Path) -> None:
    with World(tmp_path).start() as world:
        world.worker.stop(30)
        world.keeper.stop()
        world.keeper.start({KIND.name: world.worker}, {KIND.name: TextCodec})
        world.worker.start()
        world.attempt_ends()
        assert world.served == {"item": "version-2"}
    assert len(world.outcomes) == 2
    with World(tmp_path).restore() as after:
        assert after.served == {"item": "version-2"}
    assert len((tmp_path / outcomes_file.NAME).read_bytes().splitlines()) == 2


# What is refused


def changed(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    return lambda file: file.write_bytes(change(file.read_bytes()))


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def huge(file: Path) -> None:
    os.truncate(file, 2**40)


def of_another_kind(file: Path) -> None:
    file.write_bytes(snapshot_file.pack("rules", 1, Kept(b"[]", 0.0), None))


def of_another_codec(file: Path) -> None:
    file.write_bytes(snapshot_file.pack(KIND.name, 1, Kept(b"no JSON", 0.0), None))


def encrypted(file: Path) -> None:
    file.write_bytes(snapshot_file.pack(KIND.name, 1, Kept(b"[]", 0.0), KEY))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "empty": emptied,
    "one bit": changed(lambda data: data[:-9] + bytes((data[-9] ^ 4,)) + data[-8:]),
    "truncated": changed(lambda data: data[: len(data) // 2]),
    "trailing junk": changed(lambda data: data + b"\0"),
    "JSON": changed(lambda data: b'{"generation": 1, "items": {}}'),
    "huge": huge,
    "another kind": of_another_kind,
    "another codec": of_another_codec,
    "encrypted": encrypted,
    "readable by others": lambda file: file.chmod(0o604),
    "a symbolic link": lambda file: file.symlink_to(file.rename(file.with_name("real"))),
    "a hard link": lambda file: file.with_name("real").hardlink_to(file),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_p10_p11_a_file_that_is_refused_is_moved_aside_and_the_start_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    with World(tmp_path, unchanged).start() as before:
        pass
    for _ in range(2):
        DAMAGE[damage](tmp_path / FILE)
        left = os.lstat(tmp_path / FILE).st_ino
        caplog.clear()
        with World(tmp_path, unchanged, clock=before.clock).restore() as after:
            [record] = logged(caplog, "snapshot_rejected")
            assert (record.levelno, record.kind) == (logging.WARNING, "fake") and record.error
            assert after.served is None and not after.worker.get_status().restored
            assert after.worker.get_status().last is not None, "the outcomes are another file"
            assert os.lstat(tmp_path / f"{FILE}.rejected").st_ino == left
            assert not (tmp_path / FILE).exists()
            after.worker.start()
            after.attempt_ends()
            after.rests()
        with World(tmp_path).restore() as third:
            assert third.served == {"item": "the same"}
        (tmp_path / "real").unlink(missing_ok=True)


def test_a_codec_that_fails_in_an_unknown_way_ends_neither_the_start_nor_the_keeper(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Faulty(TextCodec):
        def load(self, content: bytes) -> Snapshot[Any]:
            raise ZeroDivisionError

        def dump(self, snapshot: Snapshot[Any]) -> bytes:
            raise ZeroDivisionError

    reported: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: reported.append(args.exc_type))
    with World(tmp_path, unchanged).start():
        pass
    with World(tmp_path, codec=Faulty).start() as after:
        eventually(lambda: len(reported) == 2, "both reports")
        eventually(lambda: after.kind.failures == 1, "the count")
        assert after.served == {"item": "version-1"}
    assert set(reported) == {ZeroDivisionError}


def test_one_that_is_too_old_is_refused_and_stays(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with World(tmp_path, unchanged).start() as before:
        before.rests()
        before.clock.advance(100)
        before.change()
    for age, served in ((60.0, True), (60.1, False)):
        clock = FakeClock()
        clock.advance(100 + age)
        with World(tmp_path, max_age=60, clock=clock).restore() as after:
            assert (after.served is not None) is served is after.worker.get_status().restored
            assert after.worker.get_status().last is not None
    [record] = logged(caplog, "snapshot_rejected")
    assert record.error == "it is 60 s old, and ALERT_REFRESH_SNAPSHOT_MAX_AGE is 60 s"
    assert (tmp_path / FILE).exists()


def test_a_folder_that_cannot_be_used_is_one_warning_and_everything_else_works(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for folder, mode in ((tmp_path, 0o777), (tmp_path / "none", 0)):
        caplog.clear()
        if mode:
            folder.chmod(mode)
        with World(folder).start() as world:
            eventually(partial(has_failed, world, 1), "a failure")
            world.change()
            eventually(partial(has_failed, world, 2), "one more")
            assert world.served == {"item": "version-2"}
        said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert said == [
            "The state folder cannot be used: nothing is restored",
            "The outcomes of refreshes cannot be written",
            "The snapshot of fake cannot be written",
        ]


def test_a_folder_that_does_not_answer_holds_up_no_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with World(tmp_path, unchanged).start():
        pass
    release, reached = threading.Event(), threading.Event()
    read = StateFolder.read

    def hangs(folder: StateFolder, name: str, limit: int) -> bytes | None:
        reached.set()
        assert release.wait(60)
        return read(folder, name, limit)

    monkeypatch.setattr(StateFolder, "read", hangs)
    monkeypatch.setattr(keeping, "RESTORE_WITHIN", 0.05)
    try:
        with World(tmp_path, broken).start() as world:
            assert reached.wait(20)
            release.set()
            assert world.served is None and not world.worker.get_status().restored
    finally:
        release.set()
    assert len(logged(caplog, "The state folder does not answer: nothing is restored")) == 1


def test_p07_leftovers_of_a_killed_write_are_removed_at_the_start(tmp_path: Path) -> None:
    for name in (FILE, outcomes_file.NAME):
        atomic_file.temporary_for(tmp_path / name).touch()
    with World(tmp_path).restore():
        assert list(tmp_path.iterdir()) == []


# Writing


def test_after_a_write_the_thread_rests_nine_times_as_long_and_then_writes_the_latest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, fsync = FakeClock(), os.fsync

    def slow(descriptor: int) -> None:
        clock.advance(0.01)
        fsync(descriptor)

    with World(tmp_path, clock=clock) as world:
        world.restore()
        world.worker.restore(snapshot("restored"), last=None, last_success_at=None)
        monkeypatch.setattr(os, "fsync", slow)
        world.keeper.look(KIND.name)
        assert clock.wait_for_sleeper() == pytest.approx(0.18), "the file and the folder: 0.02 s"
        for content in ("second", "third"):
            world.worker.restore(snapshot(content), last=None, last_success_at=None)
            world.keeper.look(KIND.name)
        assert b"restored" in world.file.read_bytes()
        clock.advance(0.18)
        world.rests()
        assert b"third" in world.file.read_bytes()


def test_a_stop_ends_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    with World(tmp_path, clock=clock).restore() as world:
        world.worker.restore(snapshot("first"), last=None, last_success_at=None)
        monkeypatch.setattr(os, "fsync", lambda _: clock.advance(100))
        world.keeper.look(KIND.name)
        assert clock.wait_for_sleeper() == keeping.LONGEST_REST
        world.worker.restore(snapshot("second"), last=None, last_success_at=None)
        world.keeper.stop()
        assert b"second" in world.file.read_bytes()


def test_only_what_changed_is_written(tmp_path: Path, writes: CountedWrites) -> None:
    with World(tmp_path, unchanged).start() as world:
        for _ in range(3):
            world.change()
        world.rests()
        assert writes.count == 1
        world.source.answer = lambda n: snapshot("another")
        world.change()
        world.rests()
        assert writes.count == 2
    with World(tmp_path, lambda n: snapshot("another")).start() as world:
        world.rests()
    assert writes.count == 2, "what was restored and is the same now is not written again"


def test_p08_a_refresh_succeeds_while_nothing_can_be_written(
    tmp_path: Path, writes: CountedWrites, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with World(tmp_path, unchanged).start() as world:
        world.rests()
        old, written_at = world.file.read_bytes(), world.kind.written_at
        assert (written_at, world.kind.failures, world.not_written()) == (world.clock.time(), 0, 0)
        writes.error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        world.clock.advance(10)
        world.source.answer = lambda n: snapshot("another")
        for failures in (1, 2, 3):
            world.change()
            eventually(partial(has_failed, world, failures), "a failure")
            assert world.outcomes[-1].result == "success" and world.served == {"item": "another"}
            assert (world.file.read_bytes(), world.kind.written_at) == (old, written_at)
            assert world.not_written() == 1
        [record] = logged(caplog, "The snapshot of fake cannot be written")
        assert (record.levelno, record.kind, record.error) == (logging.WARNING, "fake", "No space left on device")
        writes.error = None
        world.change()
        world.rests()
        assert (world.kind.failures, world.kind.written_at, world.not_written()) == (3, world.clock.time(), 0)
        assert len(logged(caplog, "The snapshot of fake can be written again")) == 1
        writes.error = OSError(errno.EIO, "")
        world.source.answer = lambda n: snapshot("a third")
        world.change()
        eventually(lambda: world.kind.failures == 4, "a failure")
        assert len(logged(caplog, "The snapshot of fake cannot be written")) == 2
        writes.error = None
    with World(tmp_path).restore() as after:
        assert after.served == {"item": "a third"}, "a stop tries once more"


@pytest.fixture
def blocked(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A disk that answers nobody until `release`; `reached` is set once somebody waits for it."""

    class Blocked:
        reached, release = threading.Event(), threading.Event()

    fsync = os.fsync

    def wait(descriptor: int) -> None:
        Blocked.reached.set()
        assert Blocked.release.wait(60)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", wait)
    yield Blocked
    Blocked.release.set()


def test_c12_a_disk_that_blocks_delays_no_refresh_and_nothing_piles_up(
    tmp_path: Path, blocked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "QUEUED", 5)
    with World(tmp_path).start() as world:
        assert blocked.reached.wait(20)
        for number in range(2, 30):
            world.clock.advance(1)
            world.change()
            assert world.served == {"item": f"version-{number}"}
        mailbox: Any = world.keeper._mailbox
        assert world.clock.time() == world.outcomes[-1].started_at
        assert mailbox._queue.qsize() <= 2 and mailbox.dropped == 0
        assert len(world.keeper._outcomes) == 5 and world.keeper.dropped > 0
        blocked.release.set()
        world.rests()
    with World(tmp_path).restore() as after:
        assert after.served == {"item": "version-29"}
        last = after.worker.get_status().last
        assert last is not None and last.request_id == world.outcomes[-1].request_id


def test_a_stop_waits_for_a_blocked_disk_no_longer_than_its_bound(
    tmp_path: Path, blocked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "STOP_WITHIN", 0.05)
    with World(tmp_path).start() as world:
        assert blocked.reached.wait(20)
        world.keeper.stop()
        assert not world.file.exists()


def test_outcomes_that_could_not_be_written_are_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with World(tmp_path, unchanged).start() as world:
        world.rests()
        tmp_path.chmod(0o777)
        for count in (1, 2):
            world.change()
            eventually(lambda: logged(caplog, "The outcomes of refreshes cannot be written"), "a failure")
            eventually(partial(waits, world, count), "it is put back")
        tmp_path.chmod(0o700)
        world.change()
        world.rests()
    lines = [json.loads(line) for line in (tmp_path / outcomes_file.NAME).read_text().splitlines()]
    assert [line["request_id"] for line in lines] == [one.request_id for one in world.outcomes]
    told = [record.getMessage() for record in caplog.records if "outcomes" in record.getMessage()]
    assert told == ["The outcomes of refreshes cannot be written", "The outcomes of refreshes can be written again"]


def test_an_outcome_that_cannot_be_written_at_all_is_counted_and_hinders_no_other(tmp_path: Path) -> None:
    def answer(number: int) -> Snapshot[str]:
        raise Permanent("no UTF-8: \udc80" if number == 1 else "away", "network")

    with World(tmp_path, answer).start() as world:
        eventually(lambda: world.keeper.dropped == 1, "the count")
        world.change()
        world.rests()
    with World(tmp_path).restore() as after:
        assert after.worker.get_status().last == replace(world.outcomes[1], seen_at=None)


def test_what_a_stop_left_queued_hinders_no_later_start(
    tmp_path: Path, blocked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "STOP_WITHIN", 0.05)
    with World(tmp_path).start() as world:
        assert blocked.reached.wait(20)
        world.change()
        world.worker.stop(30)
        world.keeper.stop()
        blocked.release.set()
        world.keeper.start({KIND.name: world.worker}, {KIND.name: TextCodec})
        world.worker.start()
        world.attempt_ends()
        world.rests()
    with World(tmp_path).restore() as after:
        assert after.served == {"item": "version-3"}


def test_a_kind_without_a_codec_is_not_kept_but_its_outcomes_are(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.keeper.start({KIND.name: world.worker}, {})
    world.worker.start()
    eventually(lambda: world.outcomes, "an outcome")
    world.worker.stop(10)
    world.keeper.stop()
    assert [path.name for path in tmp_path.iterdir()] == [outcomes_file.NAME]
