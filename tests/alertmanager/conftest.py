"""One real Alertmanager for all tests of a file, and a server between it and the daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.alertmanager.server import Alertmanager, Between

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def alertmanager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alertmanager]:
    with Alertmanager(tmp_path_factory.mktemp("alertmanager")) as one:
        yield one


@pytest.fixture
def between(alertmanager: Alertmanager) -> Iterator[Between]:
    alertmanager.reset()
    with Between(alertmanager) as one:
        yield one
