"""Lists and events, in any order, end with what the server has."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alert_refresh.targets.assemble import Candidate
from alert_refresh.targets.kubernetes.store import Event, Store, apply, merge, number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alert_refresh.targets.kubernetes.store import Known
    from alert_refresh.targets.revise import Change


def made(uid: str, version: int) -> Candidate:
    return Candidate("default", uid, uid, "", ())


class Server:
    """What a server did: a write per version, and what each version looked like."""

    def __init__(self, writes: Sequence[tuple[str, bool]], begin: int = 100) -> None:
        self.begin = begin
        self.events: list[Event] = []
        self.states: list[Known] = [{}]
        for version, (uid, deleted) in enumerate(writes, begin + 1):
            state = dict(self.states[-1])
            if not deleted:
                candidate = made(uid, version)
                state[uid] = str(version), candidate
                self.events.append(Event(uid, str(version), candidate))
            elif uid in state:
                del state[uid]
                self.events.append(Event(uid, str(version), None))
            self.states.append(state)

    @property
    def version(self) -> int:
        return self.begin + len(self.states) - 1

    def listed(self, version: int, serial: int = 1) -> Store:
        """A list at that version; its Secrets are parsed again, as those of a list are."""
        state = self.states[version - self.begin]
        return Store({uid: (text, copy(found)) for uid, (text, found) in state.items()}, version, serial)

    def after(self, version: int) -> list[Event]:
        return [event for event in self.events if int(event.version) > version]


def versions(listed: Store) -> dict[str, str]:
    return {uid: version for uid, (version, _) in listed.known.items()}


def patched(before: Store, changes: Sequence[Change]) -> dict[str, Candidate]:
    """What `changes` make of what was known before."""
    found = {candidate.uid: candidate for _, candidate in before.known.values()}
    for old, new in changes:
        if old is not None:
            assert found.pop(old.uid) is old
        if new is not None:
            assert new.uid not in found
            found[new.uid] = new
    return found


def check(before: Store, after: Store, changes: Sequence[Change]) -> None:
    """The changes are exactly the differences of the two."""
    found = patched(before, changes)
    assert found.keys() == after.known.keys()
    assert all(found[uid] is candidate for uid, (_, candidate) in after.known.items())


writes = st.lists(st.tuples(st.sampled_from("ab"), st.booleans()), min_size=1, max_size=8)


steps = st.lists(st.tuples(st.sampled_from(["events", "list", "replay"]), st.integers(0, 3)), min_size=2, max_size=12)


@settings(max_examples=500)
@given(writes, st.integers(0, 3), steps)
def test_any_interleaving_of_lists_and_events_ends_with_what_the_server_has(
    done: list[tuple[str, bool]], first: int, taken: list[tuple[str, int]]
) -> None:
    server = Server(done)
    known = server.listed(min(server.begin + first, server.version))
    begun, pending = known.version, server.after(known.version)
    for serial, (what, size) in enumerate([*taken, ("events", len(pending))], 2):
        if what == "list":
            # Never older than the one before, which was served when this one was asked for; maybe than the events.
            known_at = min(known.version + size, server.version)
            after, changes = merge(server.listed(known_at, serial), known)
            assert (after.serial, after.version) == (serial, known_at)
        elif what == "events":
            after, changes = apply(known, pending[:size])
            pending = pending[size:]
        else:
            received = [event for event in server.events if begun < int(event.version)]
            old = server.events[: len(server.events) - len(received)]
            received = received[: len(received) - len(pending)]
            after, changes = apply(known, [*received[size:], *old[size:], *reversed(received)])
        check(known, after, changes)
        known = after
    assert versions(known) == {uid: version for uid, (version, _) in server.states[-1].items()}


@given(writes, st.data())
def test_old_events_change_nothing(done: list[tuple[str, bool]], data: st.DataObject) -> None:
    server = Server(done)
    known = server.listed(server.version)
    old = data.draw(st.lists(st.sampled_from(server.events), max_size=8)) if server.events else []
    assert apply(known, old) == (known, [])


@given(writes, st.data())
def test_corrections_without_an_event_stay_unconfirmed_and_those_with_one_do_not(
    done: list[tuple[str, bool]], data: st.DataObject
) -> None:
    server = Server(done)
    first = server.listed(data.draw(st.integers(server.begin, server.version)))
    known, _ = merge(server.listed(server.version, 2), first)
    differing = {
        uid for uid in first.known.keys() | known.known.keys() if versions(first).get(uid) != versions(known).get(uid)
    }
    assert known.unconfirmed.keys() == differing
    received, _ = apply(known, server.after(first.version))
    assert not received.unconfirmed
    assert versions(received) == versions(known)


def test_an_unchanged_list_is_the_same_dictionary_and_no_change() -> None:
    known = Store({"a": ("5", made("a", 5))}, 10, 1)
    after, changes = merge(Store(known.known, 20, 2), known)
    assert after.known is known.known and after.version == 20 and not changes
    equal = Store({"a": ("5", made("a", 5))}, 20, 2)
    after, changes = merge(equal, known)
    assert after.known is known.known and not changes


def test_a29_a_recreated_secret_is_not_removed_by_the_deletion_of_its_predecessor() -> None:
    known = Store({"new": ("20", made("new", 20))}, 20, 1)
    replay = [Event("old", "15", made("old", 15)), Event("old", "18", None), Event("new", "18", None)]
    assert apply(known, replay) == (known, [])


def test_events_survive_a_list_that_is_older() -> None:
    known, _ = apply(Store({"a": ("5", made("a", 5))}, 10, 1), [Event(one, "12", made(one, 12)) for one in "ab"])
    listed = Store({"a": ("5", made("a", 5))}, 11, 2)
    after, changes = merge(listed, known)
    assert versions(after) == {"a": "12", "b": "12"} and not changes and not after.unconfirmed


def test_a_list_corrects_what_is_older() -> None:
    known = Store({one: ("5", made(one, 5)) for one in "ab"}, 10, 1)
    after, changes = merge(Store({"a": ("12", made("a", 12)), "c": ("6", made("c", 6))}, 15, 2), known)
    assert versions(after) == {"a": "12", "c": "6"} and len(changes) == 3
    assert after.unconfirmed == {"a": 12, "b": 5, "c": 6}


def test_a_list_corrects_what_is_newer_than_its_entry_and_no_newer_than_the_list() -> None:
    """As after a restore that cannot be recognized by the list's version."""
    known = Store({"a": ("8", made("a", 8)), "b": ("9", made("b", 9)), "c": ("11", made("c", 11))}, 9, 1)
    after, changes = merge(Store({"a": ("5", made("a", 5)), "c": ("5", made("c", 5))}, 10, 2), known)
    assert versions(after) == {"a": "5", "c": "11"}
    assert [(one.old and one.old.uid, one.new and one.new.uid) for one in changes] == [("a", "a"), ("b", None)]


def test_a_deletion_survives_a_list_that_is_older() -> None:
    entry = "5", made("a", 5)
    known, changes = apply(Store({"a": entry}, 10, 1), [Event("a", "12", None)])
    assert not known.known and [change.new for change in changes] == [None]
    known, changes = merge(Store({"a": entry}, 11, 2), known)
    assert not known.known and not changes and known.gone == {"a": 12}
    known, _ = merge(Store({}, 13, 3), known)
    assert not known.gone


def test_a_deletion_of_something_unknown_is_remembered_for_the_list_that_shows_it() -> None:
    known, changes = apply(Store({}, 10, 1), [Event("a", "12", None)])
    assert not changes and known.gone == {"a": 12}
    known, changes = merge(Store({"a": ("11", made("a", 11))}, 11, 2), known)
    assert not known.known and not changes


def test_created_and_deleted_in_one_batch_is_no_change() -> None:
    before = Store({}, 10, 1)
    after, changes = apply(before, [Event("a", "11", made("a", 11)), Event("a", "12", None)])
    assert not changes and not after.known and after.gone == {"a": 12}


def test_without_numbers_the_list_wins() -> None:
    known = Store({"a": ("x1", made("a", 1)), "b": ("x2", made("b", 2))}, number("x2"), 1)
    new = Store({"a": ("x3", made("a", 3))}, number("x3"), 2)
    after, changes = merge(new, known)
    assert after.known == new.known and len(changes) == 2


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("12", 12), ("", -1), ("-1", -1), ("x", -1), ("²", -1)])
def test_a_version_is_a_number_or_older_than_all(text: str, value: int) -> None:
    assert number(text) == value
