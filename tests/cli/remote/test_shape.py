"""What counts as an answer of alert-refresh: the fields that commands use, with their types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alert_refresh.cli.remote.shape import Each, IfThere, OrNull, fits

if TYPE_CHECKING:
    from alert_refresh.cli.remote.shape import Shape

JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda of: st.lists(of) | st.dictionaries(st.text(), of),
)


@pytest.mark.parametrize(
    ("shape", "good", "bad"),
    [
        (str, ["", "a"], [None, 1, ["a"], {}]),
        (bool, [True, False], [None, 1, "true"]),
        (float, [0, -1, 1.5, 10**17], [None, "1", float("inf"), float("nan"), 10**400]),
        ({"a": str}, [{"a": "x"}, {"a": "x", "other": 1}], [{}, {"a": None}, {"a": 1}, [], None]),
        ({"a": OrNull(str)}, [{"a": None}, {"a": "x"}], [{}, {"a": 1}]),
        ({"a": IfThere(str)}, [{}, {"a": "x"}], [{"a": None}, {"a": 1}]),
        ([{"a": str}], [[], [{"a": "x"}]], [[{"a": "x"}, {}], {}, "text", None]),
        (Each(OrNull(float)), [{}, {"a": 1, "b": None}], [{"a": "1"}, [], None]),
    ],
)
def test_a_value_fits_a_shape_or_does_not(shape: Shape, good: list[Any], bad: list[Any]) -> None:
    assert [fits(one, shape) for one in good] == [True] * len(good)
    assert [fits(one, shape) for one in bad] == [False] * len(bad)


@given(JSON)
def test_any_json_fits_or_does_not(value: Any) -> None:
    shape: Shape = {"a": [Each(OrNull({"b": IfThere(float)}))]}
    assert fits(value, shape) in (True, False)
    assert fits({"a": value}, {"a": object})
