"""Fixtures and options of all tests: no leaked threads, no answer that is not described, soak tests on request."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import freezegun
import hypothesis
import pytest
from flask.testing import FlaskClient

from tests import openapi

if TYPE_CHECKING:
    from collections.abc import Iterator

    from werkzeug.test import TestResponse

THREAD_GRACE = 20.0
"""Seconds the threads of a test may take to end once it is over."""

# freeze_time would import every model of these with a false datetime, and fail in the middle.
freezegun.configure(extend_ignore_list=["kubernetes", "pydantic", "pydantic_core"])

hypothesis.settings.register_profile("ci", derandomize=True, deadline=None, database=None)
hypothesis.settings.register_profile(
    "soak",
    deadline=None,
    max_examples=2000,
    stateful_step_count=50,
    print_blob=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("ci")


def soaking(config: pytest.Config) -> bool:
    """Whether soak tests were requested, with `-m soak`."""
    return "soak" in (config.option.markexpr or "")


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # As in the background of a shell; the programs that tests start would ignore it too.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if soaking(config):
        hypothesis.settings.load_profile("soak")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # Tests of processes wait longest. Begun first, they are not what is waited for at the end.
    items.sort(key=lambda item: not item.nodeid.startswith("tests/process/"))
    if soaking(config):
        return
    long = [item for item in items if item.get_closest_marker("soak")]
    items[:] = [item for item in items if item not in long]
    config.hook.pytest_deselected(items=long)


def leaks(thread: threading.Thread) -> bool:
    """Whether leaking this thread is an error: it is not a daemon thread, or it has an explicit name, as ours do."""
    return not thread.daemon or not thread.name.startswith(("Thread-", "Dummy-"))


@pytest.fixture(autouse=True)
def no_thread_is_left_behind() -> Iterator[None]:
    """Fail a test that leaks threads; one that abandons a hanging attempt must release it in the end."""
    before = set(threading.enumerate())
    yield
    until = time.monotonic() + THREAD_GRACE
    left = [thread for thread in threading.enumerate() if thread not in before and leaks(thread)]
    for thread in left:
        thread.join(max(0.0, until - time.monotonic()))
    names = sorted(thread.name for thread in left if thread.is_alive())
    assert not names, f"threads left behind: {names}"


@pytest.fixture(autouse=True, scope="session")
def every_answer_is_described() -> Iterator[None]:
    """Fail a test whose client gets an answer from the app that `openapi.json` does not describe."""
    opened = FlaskClient.open

    def open_and_check(client: FlaskClient, *arguments: Any, **options: Any) -> TestResponse:
        response = opened(client, *arguments, **options)
        openapi.check_response(client.application, response)
        return response

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FlaskClient, "open", open_and_check)
        yield


@pytest.fixture
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """The programs that a test starts do not measure coverage: others do in the same places, and it takes long.

    The mark `no_cover`, of pytest-cov, is the same for what a test does itself.
    """
    for name in [name for name in os.environ if name.startswith("COVERAGE")]:
        monkeypatch.delenv(name)
