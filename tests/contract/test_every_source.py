"""The contract of `Source` that the engine relies on, tested for every source."""

from __future__ import annotations

import gc
import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest

from alert_refresh.engine import (
    AttemptError,
    Deadline,
    Partial,
    Permanent,
    Request,
    Snapshot,
    SystemClock,
    Transient,
    Trigger,
)
from tests.contract.worlds import CANARY, WORLDS, World
from tests.fakes import FakeSink
from tests.stage import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from alert_refresh.engine import Watch


HANGING = [world for world in WORLDS if world.hang]
WATCHING = [world for world in WORLDS if world.watches]

HANGS = 1.5
"""Seconds given to an attempt that gets no answer; a busy machine must send its request within them."""

hanging = pytest.mark.parametrize("world", HANGING, indirect=True)
watching = pytest.mark.parametrize("world", WATCHING, indirect=True)


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    one: World = request.param(tmp_path)
    yield one
    one.source.close()
    one.close()


def refresh(
    world: World, previous: Snapshot[Any] | None = None, *, seconds: float = 60.0, scope: str | None = None
) -> Snapshot[Any]:
    request = Request(Trigger.MANUAL, scope=scope)
    return world.source.refresh(previous, request, Deadline(SystemClock(), seconds))


def test_a_refresh_returns_the_whole_truth_in_a_frozen_snapshot(world: World) -> None:
    snapshot = refresh(world)
    assert isinstance(snapshot, Snapshot)
    assert set(snapshot.items) == {"first", "second"}
    assert isinstance(snapshot.items, MappingProxyType)
    assert snapshot.rejected == ()
    assert snapshot.digest
    assert snapshot.taken_at > 0
    assert snapshot.generation == 0  # that is the state's to give
    assert CANARY not in repr(snapshot.stats)
    assert all(
        isinstance(value, int | float) and math.isfinite(value) and value >= 0 for value in snapshot.stats.values()
    )


def test_its_name_is_one_word(world: World) -> None:
    assert world.source.name.isalpha()
    assert world.source.name.islower()


def test_equal_content_has_an_equal_digest_with_and_without_a_memory(world: World) -> None:
    first = refresh(world)
    assert refresh(world, first).digest == refresh(world).digest == first.digest


def test_changed_content_has_another_digest_and_old_content_its_old_one(world: World) -> None:
    first = refresh(world)
    world.write(2)
    second = refresh(world, first)
    assert second.digest != first.digest
    assert second.digest == refresh(world).digest
    assert second.items["first"] == first.items["first"]
    assert second.items["second"] != first.items["second"]
    world.write(1)
    assert refresh(world, second).digest == first.digest


@pytest.mark.parametrize("scope", ["second", "unknown"])
def test_a_refresh_of_one_part_is_whole_too_and_the_next_one_of_everything_is_as_any(world: World, scope: str) -> None:
    first = refresh(world, scope=scope)
    assert first.digest == refresh(world).digest
    world.write(2)
    part = refresh(world, first, scope=scope)
    assert set(part.items) == {"first", "second"} and part.items["first"] == first.items["first"]
    everything = refresh(world, part)
    assert everything.digest == refresh(world).digest != first.digest


def test_what_was_published_before_is_left_as_it_was(world: World) -> None:
    first = refresh(world)
    items = dict(first.items)
    world.write(2)
    refresh(world, first)
    assert dict(first.items) == items


def test_the_memo_of_another_source_is_ignored(world: World) -> None:
    strange: Snapshot[Any] = Snapshot(items={}, digest="strange", memo=object(), generation=5)
    assert set(refresh(world, strange).items) == {"first", "second"}


def each_fault(world: World) -> Iterator[tuple[str, Any]]:
    found = world.faults()
    assert found
    yield from found.items()


def test_every_fault_is_an_error_of_the_engine_and_contains_no_secret(world: World) -> None:
    good = refresh(world)
    for word, fault in each_fault(world):
        with fault() as fired:
            with pytest.raises((Transient, Permanent, Partial)) as raised:
                refresh(world, good, seconds=HANGS if word == world.hang else 60.0)
            assert fired(), f"{word}: the fault was not met"
            error = raised.value.cause if isinstance(raised.value, Partial) else raised.value
            assert isinstance(error, AttemptError)
            assert str(error), word
            assert error.error_type in world.kind.error_types, word
            assert CANARY not in f"{error} {error!r} {error.args}", word
        assert refresh(world, good).digest == good.digest, f"{word}: no refresh after it was over"


def test_an_attempt_whose_time_is_over_fails_as_a_timeout(world: World) -> None:
    with pytest.raises(Transient) as raised:
        refresh(world, seconds=0.0)
    assert raised.value.error_type == "timeout"


@hanging
def test_an_attempt_ends_with_its_deadline_without_any_response(world: World) -> None:
    with world.faults()[world.hang]() as fired:
        began = time.monotonic()
        with pytest.raises(Transient) as raised:
            refresh(world, seconds=HANGS)
        assert HANGS <= time.monotonic() - began < HANGS + 15
        assert raised.value.error_type == "timeout"
        assert fired()


def test_it_can_be_refreshed_in_several_threads_concurrently(world: World) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: refresh(world).digest, range(20)))
    assert len(set(found)) == 1


def test_close_may_come_first_and_twice_and_a_refresh_after_it_works(world: World) -> None:
    world.source.close()
    digest = refresh(world).digest
    world.source.close()
    world.source.close()
    assert refresh(world).digest == digest


def test_it_holds_nothing_open_after_close(world: World) -> None:
    refresh(world)
    world.source.close()
    before = open_files()
    for _ in range(5):
        refresh(world)
        world.source.close()
    eventually(lambda: open_files() <= before, "the end of what was opened")


def open_files() -> int:
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


def watch_of(world: World, notify: Callable[[Trigger], None]) -> Watch:
    (watch,) = world.source.watches(FakeSink(notify))
    return watch


@pytest.mark.parametrize("world", [world for world in WORLDS if not world.watches], indirect=True)
def test_a_source_that_cannot_watch_says_so(world: World) -> None:
    assert not world.source.watches(FakeSink())


def running(watch: Watch) -> threading.Thread:
    thread = threading.Thread(target=watch.run, name="contract-watch")
    thread.start()
    return thread


@watching
def test_a_watch_stopped_before_it_runs_never_runs(world: World) -> None:
    watch = watch_of(world, lambda _: None)
    watch.stop()
    thread = running(watch)
    thread.join(30)
    assert not thread.is_alive()


@watching
def test_a_watch_stopped_while_it_runs_ends_immediately_and_reports_nothing_more(world: World) -> None:
    seen: list[Trigger] = []
    watch = watch_of(world, seen.append)
    thread = running(watch)
    watch.stop()
    thread.join(30)
    assert not thread.is_alive()
    before = len(seen)
    world.write(2)
    assert len(seen) == before


@watching
def test_a_watch_reports_each_change_also_one_before_it_ran(world: World) -> None:
    seen: list[Trigger] = []
    watch = watch_of(world, seen.append)
    world.write(2)
    thread = running(watch)
    try:
        eventually(lambda: seen, "the first change")
        for version in range(3, 6):
            before = len(seen)
            world.write(version)
            eventually(partial(lambda before: len(seen) > before, before), "a change")
        assert set(seen) <= {Trigger.WATCH, Trigger.FILE}
    finally:
        watch.stop()
        thread.join(30)
    assert not thread.is_alive()


@watching
def test_watches_that_were_stopped_hold_nothing_open(world: World) -> None:
    watch_of(world, lambda _: None).stop()
    before = open_files()
    for _ in range(5):
        watch = watch_of(world, lambda _: None)
        thread = running(watch)
        watch.stop()
        thread.join(30)
        del watch, thread
    eventually(lambda: open_files() <= before, "the end of what was opened")
