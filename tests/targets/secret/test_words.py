"""Names in the messages of faults."""

from __future__ import annotations

import pytest

from tests.targets.secret.samples import config, only_fault


@pytest.mark.parametrize("field", ["https://hooks.example.com/x", "x" * 65, "two words", "a\nb"])
def test_a_field_that_may_be_a_credential_is_not_shown(field: str) -> None:
    fault = only_fault(config(**{field: 1}))
    assert fault.field == "a name that is not shown"
    assert field not in fault.message


def test_a_field_that_is_not_ascii_is_escaped() -> None:
    fault = only_fault(config(naнe=1))
    assert fault.field == "na\\u043de"
