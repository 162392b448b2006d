"""The format of log lines, their sampling, and their destination."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import sys
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alert_refresh.credential import Credential
from alert_refresh.daemon import read_config
from alert_refresh.observe import logs
from alert_refresh.observe.formats import LONGEST, Console, Json, escape, timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HOSTILE = 'a\n{"level":"x"}\r\x1b[31m\u2028\u2029\u202e\x00\x7f\x85\ud800'


def record(message: str = "hello", *args: object, level: int = logging.INFO, **fields: object) -> logging.LogRecord:
    made = logging.getLogger("alert_refresh.test").makeRecord(
        "alert_refresh.test", level, __file__, 1, message, args, None, extra=fields
    )
    made.created, made.msecs = 1762597845.123, 123.0
    return made


def as_json(one: logging.LogRecord) -> dict[str, Any]:
    line = Json().format(one)
    assert len(line.splitlines()) == 1
    return dict(json.loads(line))


def test_a_line_begins_with_time_level_logger_and_message() -> None:
    assert list(as_json(record("hello %s", "you", kind="targets", attempt=2)).items()) == [
        ("timestamp", "2025-11-08T10:30:45.123Z"),
        ("level", "INFO"),
        ("logger", "alert_refresh.test"),
        ("message", "hello you"),
        ("kind", "targets"),
        ("attempt", 2),
    ]


def test_a_field_that_is_none_is_left_out_and_one_that_is_false_is_not() -> None:
    shown = as_json(record(error=None, alert=False, generation=0))
    assert "error" not in shown
    assert (shown["alert"], shown["generation"]) == (False, 0)


@pytest.mark.parametrize("formatter", [Json(), Console()], ids=["json", "console"])
def test_h10_a_record_with_any_content_is_one_printable_line(formatter: logging.Formatter) -> None:
    one = record("path " + HOSTILE, ip=HOSTILE, settings={"A": HOSTILE, "B": [HOSTILE]})
    line = formatter.format(one)
    assert line.isprintable()
    assert len(line.splitlines()) == 1
    assert line.encode()


def test_h10_json_gives_back_what_was_logged() -> None:
    assert as_json(record(HOSTILE, ip=HOSTILE))["message"] == HOSTILE
    assert as_json(record(HOSTILE, ip=HOSTILE))["ip"] == HOSTILE


@given(st.text(), st.dictionaries(st.text(min_size=1), st.text()))
def test_h10_any_text_is_one_line(text: str, fields: dict[str, str]) -> None:
    one = record("%s", text, fields=fields)
    for formatter in (Json(), Console()):
        line = formatter.format(one)
        assert line.isprintable()


@given(st.text())
def test_escaped_text_prints_and_text_that_prints_is_left_alone(text: str) -> None:
    assert escape(text).isprintable()
    if text.isprintable():
        assert escape(text) == text


def raised(error: BaseException) -> Any:
    try:
        raise error
    except BaseException:
        return sys.exc_info()


@pytest.mark.parametrize("formatter", [Json(), Console()], ids=["json", "console"])
def test_an_exception_is_shown_as_type_and_place_without_its_message(formatter: logging.Formatter) -> None:
    one = record("failed")
    one.exc_info = raised(ValueError("canary"))
    line = formatter.format(one)
    assert "ValueError" in line
    assert "raise error" in line
    assert "canary" not in line
    assert len(line.splitlines()) == 1


@pytest.mark.parametrize("formatter", [Json(), Console()], ids=["json", "console"])
def test_a_credential_in_any_place_stays_hidden(formatter: logging.Formatter) -> None:
    secret = Credential("canary")
    line = formatter.format(record("%s", secret, one=secret, many={"a": [secret]}, other=Path("/x")))
    assert "canary" not in line
    assert "***" in line


def test_a_value_json_does_not_know_shows_its_type_alone() -> None:
    assert as_json(record(thing=ValueError("canary")))["thing"] == "<ValueError>"


def test_a_very_long_field_is_cut() -> None:
    shown = as_json(record("x" * 100_000, path="y" * 100_000))
    assert len(shown["message"]) == len(shown["path"]) == LONGEST


def test_the_console_line_is_short() -> None:
    line = Console().format(
        record("Targets refreshed successfully", attempt=1, error="a b", took=0.5, s={"A": "1", "B": ""})
    )
    assert line[12:] == ' INFO    Targets refreshed successfully  attempt=1 error="a b" took=0.5 s={A=1, B=""}'
    assert Console().format(record("Done"))[12:] == " INFO    Done"


def test_a_timestamp_has_milliseconds_even_when_they_are_zero() -> None:
    assert timestamp(0) == "1970-01-01T00:00:00.000Z"


# Which lines are kept


def kept(share: float, ids: list[str | None], level: int = logging.DEBUG) -> list[bool]:
    sampled = logs.Sampled(share)
    return [sampled.filter(record(level=level, **({} if one is None else {"request_id": one}))) for one in ids]


def test_debug_lines_of_one_request_are_kept_or_dropped_together() -> None:
    ids = [f"id-{number}" for number in range(2000)]
    once, again = kept(0.1, list(ids)), kept(0.1, list(ids))
    assert once == again
    assert 150 < sum(once) < 250


def test_debug_lines_without_a_request_are_thinned_evenly() -> None:
    assert sum(kept(0.1, [None] * 1000)) == 100
    assert sum(kept(0.25, [None] * 8)) == 2


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (1.0, 100)])
def test_the_share_may_be_none_or_all(share: float, expected: int) -> None:
    assert sum(kept(share, [f"id-{number}" for number in range(100)])) == expected
    assert sum(kept(share, [None] * 100)) == expected


@pytest.mark.parametrize("level", [logging.INFO, logging.WARNING, logging.ERROR])
def test_lines_above_debug_are_always_kept(level: int) -> None:
    assert all(kept(0.0, ["a", None], level))


# Where they go


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read, write = os.pipe()
    yield read, write
    for fd in (read, write):
        try:
            os.close(fd)
        except OSError:
            continue


@pytest.fixture
def logging_restored() -> Iterator[None]:
    root, ours = logging.root, logging.getLogger("alert_refresh")
    before = root.handlers[:], root.level, ours.level, threading.excepthook, sys.unraisablehook, warnings.showwarning
    yield
    root.handlers[:], root.level, ours.level = before[:3]
    root.setLevel(before[1])
    ours.setLevel(before[2])
    threading.excepthook, sys.unraisablehook, warnings.showwarning = before[3:]


def lines_of(fd: int) -> list[dict[str, Any]]:
    return [json.loads(line) for line in os.read(fd, 1 << 20).decode().splitlines()]


@pytest.mark.usefixtures("logging_restored")
def test_everything_goes_through_one_formatter_and_libraries_only_with_warnings_and_without_text(
    pipe: tuple[int, int],
) -> None:
    read, write = pipe
    stdout = logs.Stdout(write)
    logs.configure(read_config({"ALERT_REFRESH_LOG_LEVEL": "DEBUG", "ALERT_REFRESH_DEBUG_SAMPLE": "1"}), stdout)
    stdout.start()
    logging.getLogger("alert_refresh.x").debug("ours")
    logging.getLogger("urllib3").info("theirs")
    logging.getLogger("gunicorn.error").warning("theirs, louder")
    logging.getLogger("alert_refresh.x").info("%d", "no number")
    stdout.stop(30)
    assert [(line["logger"], line["message"]) for line in lines_of(read)] == [
        ("alert_refresh.x", "ours"),
        ("gunicorn.error", logs.REDACTED % "gunicorn.error"),
        ("alert_refresh.x", "A log line could not be formatted"),
    ]
    assert stdout.dropped == 0


def log_everywhere(error: BaseException) -> None:
    """Make libraries log a canary in every way, with all levels enabled."""
    for name in ("root", "kubernetes.client.rest", "urllib3.connectionpool", "py.warnings", "alert_refresher"):
        library = logging.getLogger(None if name == "root" else name)
        before = library.level
        library.setLevel(logging.DEBUG)
        try:
            for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL):
                library.log(level, "canary %s", "canary", extra={"token": "canary"}, stack_info=True)
                library.log(level, {"canary": 1})
            library.error("canary", exc_info=(type(error), error, error.__traceback__))
        finally:
            library.setLevel(before)


@pytest.mark.usefixtures("logging_restored")
@pytest.mark.parametrize("format_", ["json", "console"])
def test_h31_what_libraries_log_is_shown_by_logger_level_and_place_and_never_by_its_text(
    pipe: tuple[int, int], format_: str
) -> None:
    read, write = pipe
    stdout = logs.Stdout(write)
    logs.configure(read_config({"ALERT_REFRESH_LOG_LEVEL": "DEBUG", "ALERT_REFRESH_LOG_FORMAT": format_}), stdout)
    log_everywhere(raised(ValueError("canary"))[1])
    stdout.start()
    stdout.stop(30)
    text = os.read(read, 1 << 20).decode()
    assert len(text.splitlines()) == 5 * 7
    assert "canary" not in text
    assert "DEBUG" not in text and "INFO" not in text
    assert text.count("place") == 5 * 7 and text.count("test_logs.py:") >= 5 * 7
    assert text.count("ValueError") == 5
    if format_ == "json":
        line = json.loads(text.splitlines()[7])
        del line["timestamp"]
        assert re.fullmatch(r"test_logs\.py:[0-9]+", line.pop("place"))
        assert line == {
            "level": "WARNING",
            "logger": "kubernetes.client.rest",
            "message": logs.REDACTED % "kubernetes.client.rest",
        }


@pytest.mark.usefixtures("logging_restored")
def test_h31_what_is_warned_of_is_logged_by_its_category_and_place(pipe: tuple[int, int]) -> None:
    read, write = pipe
    stdout = logs.Stdout(write)
    logs.configure(read_config({}), stdout)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = logs._log_warning  # type: ignore[assignment]  # as in `logs`
        warnings.warn("canary", ResourceWarning, stacklevel=1)
        warnings.warn_explicit("canary", UserWarning, "/canary-folder/module.py", 7)
    stdout.start()
    stdout.stop(30)
    one, other = lines_of(read)
    assert (one["message"], one["level"]) == ("ResourceWarning was issued", "WARNING")
    assert one["place"].startswith("test_logs.py:")
    assert (other["message"], other["place"]) == ("UserWarning was issued", "module.py:7")
    assert "canary" not in json.dumps([one, other])


@pytest.mark.usefixtures("logging_restored")
def test_a_command_has_its_lines_for_people_and_leaves_everything_as_it_was() -> None:
    lines: list[str] = []
    before = logging.root.handlers[:], threading.excepthook, warnings.showwarning
    with contextlib.suppress(KeyError), logs.command(lines.append):
        logging.getLogger("alert_refresh.x").warning("ours")
        logging.getLogger("alert_refresh.x").info("not this")
        logging.error("canary")
        threading.excepthook(threading.ExceptHookArgs([*raised(ValueError("canary")), None]))
        raise KeyError
    assert (logging.root.handlers[:], threading.excepthook, warnings.showwarning) == before
    assert [re.sub(r"^\S+ \w+ +", "", line).split("  ")[0] for line in lines] == [
        "ours",
        logs.REDACTED % "root",
        "Thread died of ValueError",
    ]
    assert "canary" not in "".join(lines)


@pytest.mark.usefixtures("logging_restored")
def test_the_console_format_is_for_people(pipe: tuple[int, int]) -> None:
    read, write = pipe
    stdout = logs.Stdout(write)
    logs.configure(read_config({"ALERT_REFRESH_LOG_FORMAT": "console"}), stdout)
    logging.getLogger("alert_refresh").info("hello", extra={"kind": "targets"})
    logging.getLogger("alert_refresh").debug("not this")
    stdout.start()
    stdout.stop(30)
    assert os.read(read, 4096).decode().endswith(" INFO    hello  kind=targets\n")


@pytest.mark.usefixtures("logging_restored")
@pytest.mark.parametrize("hook", ["thread", "unraisable"])
def test_what_is_not_caught_is_reported_without_its_message(pipe: tuple[int, int], hook: str) -> None:
    read, write = pipe
    stdout = logs.Stdout(write)
    logs.configure(read_config({}), stdout)
    error = raised(ValueError("canary"))
    if hook == "thread":
        threading.excepthook(threading.ExceptHookArgs([*error, threading.current_thread()]))
    else:
        sys.unraisablehook(_Unraisable(error))  # type: ignore[arg-type]  # a stand-in
    stdout.start()
    stdout.stop(30)
    (line,) = lines_of(read)
    assert "ValueError" in line["message"]
    assert "raise error" in line["stack"]
    assert "canary" not in json.dumps(line)


class _Unraisable:
    def __init__(self, error: Any) -> None:
        self.exc_type, self.exc_value, self.exc_traceback = error
        self.err_msg = self.object = "canary"


def fill(write: int) -> int:
    """Fill a pipe; returns the bytes it holds."""
    os.set_blocking(write, False)
    total = 0
    try:
        while True:
            total += os.write(write, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(write, True)
        return total


def drain(read: int, size: int) -> bytes:
    found = b""
    while len(found) < size:
        found += os.read(read, size - len(found))
    return found


def until(true: Callable[[], bool]) -> None:
    for _ in range(3000):
        if true():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it never came true")


def test_p20_lines_that_do_not_fit_are_counted_and_reported_once_there_is_room(pipe: tuple[int, int]) -> None:
    read, write = pipe
    held = fill(write)
    stdout = logs.Stdout(write, size=5)
    stdout.format = lambda one: f"{one.getMessage()} {vars(one)['dropped']}"
    stdout.start()
    for number in range(50):
        stdout.put(f"line {number}")
    assert stdout.dropped >= 44
    missing = stdout.dropped
    drain(read, held)
    stdout.stop(30)
    lines = os.read(read, 1 << 20).decode().splitlines()
    assert lines[1] == f"Log lines were dropped {missing}"
    assert len(lines) == 50 - missing + 1


def test_p20_a_closed_pipe_is_survived_and_counted(pipe: tuple[int, int]) -> None:
    read, write = pipe
    os.close(read)
    stdout = logs.Stdout(write)
    stdout.start()
    stdout.put("one")
    stdout.put("two")
    until(lambda: stdout.dropped == 2)
    stdout.stop(30)


def test_p20_the_end_does_not_wait_for_a_full_pipe(pipe: tuple[int, int]) -> None:
    read, write = pipe
    held = fill(write)
    stdout = logs.Stdout(write, size=2)
    stdout.start()
    for number in range(5):
        stdout.put(str(number))
    stdout.stop(0.1)
    drain(read, held)
