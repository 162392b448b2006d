"""The tree of errors, and what each of them holds."""

from __future__ import annotations

import pytest

from alert_refresh import engine
from alert_refresh.engine import ConfigError, ConfigErrors, Partial, RefreshError, Transient, errors
from tests.fakes import snapshot


def test_every_error_is_in_the_tree_and_says_when_it_is_raised() -> None:
    classes = [value for value in vars(errors).values() if getattr(value, "__module__", "") == errors.__name__]
    assert len(classes) > 10
    for one in classes:
        assert issubclass(one, RefreshError)
        assert (one.__doc__ or "").startswith("Raised when ")


def test_every_public_name_exists_and_the_list_is_sorted() -> None:
    assert all(hasattr(engine, name) for name in engine.__all__)
    assert sorted(engine.__all__) == list(engine.__all__)


def test_a_partial_shows_its_cause() -> None:
    cause = Transient("namespace b: forbidden", "auth")
    partial = Partial(snapshot(), cause)
    assert str(partial) == "namespace b: forbidden"
    assert partial.cause is cause


def test_config_errors_name_field_value_and_reason() -> None:
    one, two = ConfigError("interval", "0", "must be greater than 0"), ConfigError("timeout", "x", "is no duration")
    assert str(one) == "interval='0': must be greater than 0"
    both = ConfigErrors([one, two])
    assert both.faults == (one, two)
    assert str(one) in str(both)
    assert str(two) in str(both)


@pytest.mark.parametrize("error", [errors.RefreshInProgress(1.0, 2.0), errors.RateLimitExceeded(2.0)])
def test_a_refusal_says_when_to_come_back(error: errors.RefreshInProgress | errors.RateLimitExceeded) -> None:
    assert error.retry_after == 2.0
