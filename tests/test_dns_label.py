"""DNS labels as Kubernetes validates them."""

from __future__ import annotations

import pytest

from alert_refresh.dns_label import DNS_LABEL


@pytest.mark.parametrize("name", ["a", "0", "team-a", "a--b", "a" * 63])
def test_valid_labels(name: str) -> None:
    assert DNS_LABEL.fullmatch(name)


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a.b", "a_b", "a\n", "ä", "a" * 64])
def test_invalid_labels(name: str) -> None:
    assert not DNS_LABEL.fullmatch(name)
