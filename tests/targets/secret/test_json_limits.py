"""Limits of JSON from a Secret."""

from __future__ import annotations

import json
from typing import Any

import pytest

from alert_refresh.targets.secret import json_limits as limits
from tests.targets.secret.samples import GOOD, config, faults, good


def test_values_at_the_limits_are_accepted() -> None:
    padding = limits.MAX_BYTES - len(json.dumps(GOOD | {"filter_config": {"note": ""}}))
    assert len(good(config(filter_config={"note": "x" * padding})).filter_config["note"]) == padding
    assert faults(config(filter_config={"note": "x" * (padding + 1)})) == {"config": ["target_too_large"]}
    deep: Any = 1
    for _ in range(limits.MAX_DEPTH - 2):
        deep = [deep]
    assert good(config(filter_config={"deep": deep}))
    assert faults(config(filter_config={"deep": [deep]})) == {"config": ["too_complex"]}


@pytest.mark.parametrize(
    "number", ["2025-11-25", "1.2.3", "1-", "1e5e5", "0x1f", "007", "1_000", "--1", "12:30", "1.", "1e", "-", "+5"]
)
def test_s06_a_malformed_number_is_not_json(number: str) -> None:
    for field in ("expires", "filter_config"):
        value = number if field == "expires" else f'{{"a": {number}}}'
        assert faults({"config": f'{json.dumps(GOOD)[:-1]}, "{field}": {value}}}'}) == {"config": ["schema"]}
    assert faults({"type": "slack", "url": GOOD["url"], "filter_config": f'{{"a": {number}}}'}) == {
        "filter_config": ["schema"]
    }


def test_brackets_in_strings_do_not_count() -> None:
    assert good(config(filter_config={"pattern": '[{"\\' * 500}))
    assert good(config(filter_config={"pattern": "," * 20_000}))


@pytest.mark.parametrize(
    "number", ["9223372036854775807", "-9223372036854775808", "1e3", "0", "-1", "0.5", "12345678901234567890e-3"]
)
def test_numbers_that_every_reader_knows(number: str) -> None:
    text = json.dumps(GOOD)[:-1] + f', "filter_config": {{"n": {number}}}}}'
    assert good({"config": text}).filter_config["n"] == json.loads(number)
