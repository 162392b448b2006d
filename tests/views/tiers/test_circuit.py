"""The circuit breaker."""

from __future__ import annotations

from alert_refresh.engine import Backoff
from alert_refresh.views.tiers.circuit import Circuit
from tests.fakes import FakeClock


def test_a_circuit_waits_longer_after_each_failure_and_lets_one_call_through() -> None:
    clock = FakeClock()
    circuit = Circuit(clock, Backoff(1, 8))
    assert circuit.closed() and circuit.healthy
    waits = []
    for _ in range(6):
        circuit.failed()
        waits.append(circuit.left())
        assert not circuit.closed()
        clock.advance(circuit.left())
        assert circuit.closed(), "the one call"
        assert not circuit.closed(), "and no other meanwhile"
        clock.advance(1)
    assert waits == [1, 2, 4, 8, 8, 8]
    assert circuit.worked() and not circuit.worked()
    assert circuit.closed() and circuit.failed() and not circuit.failed()
