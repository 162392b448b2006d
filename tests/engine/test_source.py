"""The settings of every kind, and their validation."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alert_refresh.engine import ConfigError, RefreshSettings


def test_the_defaults_are_the_documented_ones() -> None:
    settings = RefreshSettings()
    assert (settings.interval, settings.max_retries, settings.base_backoff, settings.max_backoff) == (300, 5, 30, 300)
    assert (settings.rate_limit, settings.timeout, settings.warmup, settings.jitter) == (60, 30, 30, False)


@pytest.mark.parametrize("field", ["interval", "base_backoff", "max_backoff", "timeout"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_a_duration_that_must_be_positive_names_itself(field: str, value: float) -> None:
    settings: Any = {field: value}
    with pytest.raises(ConfigError) as raised:
        RefreshSettings(**settings)
    assert raised.value.field == field
    assert raised.value.value == f"{value:g}"
    assert raised.value.reason == "must be greater than 0"


@pytest.mark.parametrize("field", ["max_retries", "rate_limit", "warmup"])
def test_zero_is_allowed_where_it_means_none(field: str) -> None:
    settings: Any = {field: 0}
    assert getattr(RefreshSettings(**settings), field) == 0
    settings = {field: -1}
    with pytest.raises(ConfigError, match="must not be negative"):
        RefreshSettings(**settings)


def test_the_cap_of_the_backoff_is_not_below_its_base() -> None:
    RefreshSettings(base_backoff=10, max_backoff=10)
    with pytest.raises(ConfigError) as raised:
        RefreshSettings(base_backoff=10, max_backoff=9)
    assert raised.value.field == "max_backoff"


@given(st.floats(), st.floats(), st.floats(), st.floats(), st.integers(-5, 5))
def test_settings_that_are_accepted_can_be_run(a: float, b: float, c: float, d: float, n: int) -> None:
    try:
        settings = RefreshSettings(interval=a, base_backoff=b, max_backoff=c, timeout=d, max_retries=n)
    except ConfigError:
        assert not (0 < a < 1e308 and 0 < b <= c < 1e308 and 0 < d < 1e308 and n >= 0)
    else:
        assert settings.retry_policy().max_backoff >= settings.base_backoff > 0 <= n
