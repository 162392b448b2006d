"""An exception while one item is parsed becomes the fault of that item."""

from __future__ import annotations

import logging
from typing import NoReturn

import pytest

from alert_refresh.engine import Fault, Permanent, Transient
from alert_refresh.targets import bulkhead as module
from alert_refresh.targets.bulkhead import Bulkhead
from alert_refresh.targets.secret.json_text import Unusable

CANARY = "canary-4f1c"


def raising(error: BaseException) -> NoReturn:
    raise error


def test_what_was_parsed_is_returned() -> None:
    assert Bulkhead().hold("ns/s", "secret", lambda: 5) == 5


def test_what_is_known_to_be_unusable_is_a_fault_and_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    found = Bulkhead().hold("ns/s", "file", lambda: raising(Unusable("schema: is not valid JSON")))
    assert found == (Fault("file", "schema: is not valid JSON"),)
    assert not caplog.records


@pytest.mark.parametrize("error", [ValueError(CANARY), KeyError(CANARY), RecursionError(CANARY), OSError(5, CANARY)])
def test_anything_else_is_an_unreadable_item_and_is_logged_with_frames_and_without_its_message(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    found = Bulkhead().hold("ns/s\n", "secret", lambda: raising(error))
    name = type(error).__name__
    assert found == (Fault("secret", f"unreadable: parsing it raised {name}"),)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == f"Parsing 'ns/s\\n' raised an unexpected {name}"
    assert "in raising" in vars(record)["stack"]
    assert CANARY not in f"{vars(record)}"


def test_it_is_logged_once_for_each_item_and_place_in_the_code(caplog: pytest.LogCaptureFixture) -> None:
    one = Bulkhead()
    for _ in range(3):
        one.hold("ns/a", "secret", lambda: raising(ValueError()))
        one.hold("ns/b", "secret", lambda: raising(ValueError()))
        one.hold("ns/b", "secret", lambda: [][0])
    assert len(caplog.records) == 3


def test_its_state_is_bounded(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 2)
    one = Bulkhead()
    for item in ("a", "b", "c", "c", "a"):
        one.hold(item, "secret", lambda: raising(ValueError()))
    assert len(caplog.records) == 4


@pytest.mark.parametrize("error", [Transient("late", "timeout"), Permanent("no"), MemoryError(), KeyboardInterrupt()])
def test_what_is_the_reason_of_the_attempt_or_the_process_passes(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(type(error)) as raised:
        Bulkhead().hold("ns/s", "secret", lambda: raising(error))
    assert raised.value is error
    assert not caplog.records
