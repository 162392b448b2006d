"""A JSON object that is immutable."""

from __future__ import annotations

import pytest

from alert_refresh.credential import Credential
from tests.targets.secret.samples import config, good


def test_what_a_reader_gets_cannot_be_changed() -> None:
    found = good(config(headers={"a": "b"}, filter_config={"list": [1]}))
    with pytest.raises(AttributeError):
        found.name = "other"  # type: ignore[misc]  # it is frozen
    with pytest.raises(TypeError):
        found.headers["a"] = Credential("x")  # type: ignore[index]  # it is frozen
    found.filter_config["list"].append(2)
    assert found.filter_config == {"list": [1]}
    assert len(found.filter_config) == 1 and list(found.filter_config) == ["list"]
