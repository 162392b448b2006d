"""A target hides its credentials, and its digest identifies its content."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from alert_refresh.engine import Fault
from alert_refresh.targets.target import Target, as_config
from tests.targets.secret.samples import CANARY, GOOD, config, good


def test_a_target_does_not_show_its_credentials() -> None:
    found = good(config(headers={"a": CANARY}))
    assert CANARY not in f"{found} {found!r} {found.headers} {found.url}"
    assert "severity" in repr(good(config(filter_config={"severity": 1})).filter_config)


def test_equal_content_has_an_equal_digest_however_it_is_written() -> None:
    filters = {"severity": ["critical"], "a": 1}
    one = good(config(headers={"a": "1", "b": "2"}, filter_config=filters))
    other = good(
        {
            "config": json.dumps(
                GOOD | {"filter_config": {"a": 1, "severity": ["critical"]}, "headers": {"b": "2", "a": "1"}}, indent=3
            )
        }
    )
    assert one.digest == other.digest
    assert one == other
    by_hand = Target(
        one.name,
        one.type,
        one.format,
        one.url,
        headers=one.headers,
        filter_config=filters,
        namespace="ns",
        secret="the-secret",
        shape="config",
    )
    assert by_hand.digest == one.digest


@pytest.mark.parametrize(
    "change",
    [
        {"name": "b"},
        {"format": "webhook"},
        {"url": "https://x"},
        {"enabled": False},
        {"headers": {"a": "b"}},
        {"filter_config": {"a": 1}},
    ],
)
def test_other_content_has_another_digest(change: dict[str, Any]) -> None:
    assert good(config(**change)).digest != good(config()).digest


def test_where_a_target_comes_from_is_in_its_digest() -> None:
    digests = {
        good(config()).digest,
        good(config(), secret="other").digest,
        good({"target": GOOD}).digest,
    }
    assert len(digests) == 3


def test_becoming_stale_does_not_change_the_content() -> None:
    fresh = good(config())
    stale = fresh.stale(5.0, (Fault("config", "schema: x"),))
    assert (stale.stale_since, stale.faults, stale.digest) == (5.0, (Fault("config", "schema: x"),), fresh.digest)
    assert fresh.stale_since is None


def test_a_config_can_be_made_from_a_target() -> None:
    written = GOOD | {"enabled": False, "headers": {"a": "b"}, "filter_config": {"x": [1]}}
    assert as_config(good({"config": copy.deepcopy(written)})) == written
