"""A body is read to its end by the deadline; otherwise its connection is closed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from alert_refresh.engine import Deadline, SystemClock, Transient
from alert_refresh.targets.kubernetes.body import KubeReader, shut_down
from alert_refresh.targets.kubernetes.client import KubeClient
from alert_refresh.targets.kubernetes.list import PROTOBUF, path_of
from tests.fakes import FakeClock
from tests.kube import KubeServer, faults, fill, kubeconfig

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATH = path_of("default")


@pytest.fixture
def kube() -> Iterator[KubeServer]:
    with KubeServer() as server:
        fill(server.store, 10)
        yield server


@pytest.fixture
def client(tmp_path: Path, kube: KubeServer) -> Iterator[KubeClient]:
    made = KubeClient(str(kubeconfig(tmp_path / "kubeconfig", kube.url)), clock=SystemClock())
    yield made
    made.reset()


@pytest.mark.parametrize("close", [False, True])
def test_a_body_that_drips_in_protobuf_ends_at_the_deadline(kube: KubeServer, client: KubeClient, close: bool) -> None:
    rule = kube.fault(faults.drip(0.05, close=close))
    reader = KubeReader(client)
    with (
        pytest.raises(Transient) as raised,
        reader.get(PATH, {}, Deadline(SystemClock(), 2.0), PROTOBUF) as answer,
    ):
        answer.whole()
    assert raised.value.error_type == "timeout" and rule.fired == 1


def test_a_deadline_that_passes_before_the_body_is_read_closes_the_connection(
    kube: KubeServer, client: KubeClient
) -> None:
    clock = FakeClock()

    def late(exchange: Any) -> bool:
        clock.advance(9)
        return faults.page(b"x" * 100)(exchange)

    kube.fault(late, times=1)
    reader = KubeReader(client)
    with pytest.raises(Transient) as raised, reader.get(PATH, {}, Deadline(clock, 5), PROTOBUF):
        pytest.fail("it is too late to read")
    assert raised.value.error_type == "timeout"
    with reader.get(PATH, {}, Deadline(clock, 5), PROTOBUF) as answer:
        assert answer.whole().startswith(b"k8s\0")
    assert kube.connections == 2


def test_shutting_down_a_response_that_was_read_is_not_an_error(kube: KubeServer, client: KubeClient) -> None:
    response = client.get(PATH, {}, connect=30, read=30)
    assert response.read()
    shut_down(response)
    assert client.get(PATH, {}, connect=30, read=30).read()
    assert kube.connections == 1, "the connection can still be used"
