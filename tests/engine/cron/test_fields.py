"""An expression that is wrong is refused with the field that is wrong, and what was expected."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alert_refresh.engine import CronError
from alert_refresh.engine.cron.expression import longest
from alert_refresh.engine.cron.fields import LONGEST, WORDS, five_fields

EXPECTED = "a range such as 1-5, a step such as */5"
FIELDS = "minute, hour, day of month, month and day of week"


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("*/5 * * * *", "*/5 * * * *"),
        ("  0\t9  * *   mon-Fri ", "0 9 * * MON-FRI"),
        ("0,30 0-23/2 1,15 JAN,6-8 0", "0,30 0-23/2 1,15 JAN,6-8 0"),
        ("5/15 0 L,LW * 5L,MON#1", "5/15 0 L,LW * 5L,MON#1"),
        ("@Daily", "0 0 * * *"),
        ("0 0 * 2-FEB,JAN-12 0-SUN", "0 0 * 2-FEB,JAN-12 0-SUN"),
        ("59 23 31 12 7", "59 23 31 12 7"),
    ],
)
def test_an_expression_has_five_fields_in_upper_case(text: str, fields: str) -> None:
    assert five_fields(text) == fields


def test_the_words_are_those_of_cron() -> None:
    assert set(WORDS) == {"@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually"}
    seconds = {word: longest(five_fields(word)) for word in WORDS}
    assert seconds["@hourly"] == 3600 and seconds["@daily"] == seconds["@midnight"] == 86400
    assert seconds["@weekly"] == 7 * 86400 and seconds["@monthly"] == 31 * 86400
    assert seconds["@yearly"] == seconds["@annually"] == 366 * 86400


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("61 * * * *", f"minute: '61' is none of *, a number from 0 to 59, {EXPECTED}"),
        ("* 24 * * *", f"hour: '24' is none of *, a number from 0 to 23, {EXPECTED}"),
        ("* * 0 * *", f"day of month: '0' is none of *, a number from 1 to 31, {EXPECTED}"),
        ("* * * 13 *", f"month: '13' is none of *, a number from 1 to 12, a name from JAN to DEC, {EXPECTED}"),
        ("* * * * 8", f"day of week: '8' is none of *, a number from 0 to 7, a name from SUN to SAT, {EXPECTED}"),
        ("? * * * *", f"minute: '?' is none of *, a number from 0 to 59, {EXPECTED}"),
        ("1,,2 * * * *", f"minute: '' is none of *, a number from 0 to 59, {EXPECTED}"),
        ("*-5 * * * *", f"minute: '*-5' is none of *, a number from 0 to 59, {EXPECTED}"),
        ("1-2-3 * * * *", f"minute: '1-2-3' is none of *, a number from 0 to 59, {EXPECTED}"),
        ("* \u0663 * * *", f"hour: '\\u0663' is none of *, a number from 0 to 23, {EXPECTED}"),
        ("1" * 30 + " * * * *", f"minute: '{'1' * 20}...' is none of *, a number from 0 to 59, {EXPECTED}"),
        ("* * * * FRI-SUN", "day of week: 'FRI-SUN' runs backwards; write it as two ranges, separated by a comma"),
        ("*/90 * * * *", "minute: the step of '*/90' must be from 1 to 59"),
        ("* */0 * * *", "hour: the step of '*/0' must be from 1 to 23"),
        ("*/5 * * * * *", f"has 6 fields; seconds and years are not known, only {FIELDS}"),
        ("0 0 12 * * ? 2026", f"has 7 fields; seconds and years are not known, only {FIELDS}"),
        ("5m", f"has 1 fields instead of five: {FIELDS}"),
        ("", f"has 0 fields instead of five: {FIELDS}"),
        ("CRON_TZ=UTC 0 0 * * *", "names a time zone; set ALERT_REFRESH_TIMEZONE instead"),
        ("@reboot", "@reboot is no time; there is a refresh at every start anyway"),
        ("@dayly", f"'@dayly' is none of {', '.join(WORDS)}; did you mean @daily?"),
        ("@5m", f"'@5m' is none of {', '.join(WORDS)}"),
        ("*" * (LONGEST + 1), f"is longer than {LONGEST} characters"),
    ],
)
def test_a_fault_names_the_field_and_what_was_expected(text: str, reason: str) -> None:
    with pytest.raises(CronError) as raised:
        five_fields(text)
    assert str(raised.value) == reason


@pytest.mark.parametrize("text", ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 */15 2 MON#5"])
def test_an_expression_that_is_never_due_is_refused(text: str) -> None:
    with pytest.raises(CronError, match="is never due"):
        longest(five_fields(text))


TERMS = ["*", "0", "1", "7", "12", "31", "59", "1-5", "5-1", "*/2", "*/7", "2/3", "1-9/4", "JAN", "FRI", "L", "LW",
         "5L", "TUE#2", "", "x", "*/", "-", "/", "60", "L/2", "MON-WED"]  # fmt: skip


@given(st.lists(st.lists(st.sampled_from(TERMS), min_size=1, max_size=2).map(",".join), min_size=5, max_size=5))
def test_what_is_accepted_here_is_accepted_by_cronsim_or_never_due(parts: list[str]) -> None:
    try:
        fields = five_fields(" ".join(parts))
    except CronError:
        return
    try:
        found = longest(fields)
    except CronError as error:
        found = float("is never due" in str(error))
    assert found > 0


@given(st.text())
def test_any_text_is_an_expression_or_a_fault(text: str) -> None:
    try:
        found = five_fields(text)
    except CronError as error:
        found = "5 words, or one line: " + str(error)
    assert len(found.split()) >= 5 and found.isprintable()
