"""Names in the messages of faults."""

from __future__ import annotations

import pytest

from tests.targets.secret.samples import config, read


@pytest.mark.parametrize("field", ["https://hooks.example.com/x", "x" * 65, "two words", "a\nb"])
def test_a_field_that_may_be_a_credential_is_not_shown(field: str) -> None:
    [fault] = read(config(**{field: 1}))  # type: ignore[misc]
    assert fault.field == "a name that is not shown"
    assert field not in fault.message


def test_a_field_that_is_not_ascii_is_escaped() -> None:
    [fault] = read(config(naнe=1))  # type: ignore[misc]
    assert fault.field == "na\\u043de"
