from __future__ import annotations

import hashlib
import hmac
import logging
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest

from alert_refresh.web import auth
from alert_refresh.web.token_file import read_tokens
from tests.process.program import eventually
from tests.web.world import ADMIN, READ, TARGETS, World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BOTH = {"ALERT_REFRESH_ADMIN_TOKEN": ADMIN, "ALERT_REFRESH_READ_TOKEN": READ}
GUARDED = (("POST", f"{TARGETS}/refresh"), ("GET", f"{TARGETS}?reveal=true"), ("GET", f"{TARGETS}/one?reveal=true"))
WRONG = (
    "Bearer wrong-token",
    f"Bearer {ADMIN}x",
    f"Bearer {ADMIN[:-1]}",
    f"Bearer {ADMIN} ",
    f"Bearer  {ADMIN}",
    f"Bearer\t{ADMIN}",
    f" Bearer {ADMIN}",
    f"Basic {ADMIN}",
    f"Bearer {ADMIN},Bearer {ADMIN}",
    f"Bearer {ADMIN}, Bearer wrong",
    f"Bearer wrong, Bearer {ADMIN}",
    ADMIN,
    "Bearer",
    "Bearer ",
    "",
)


def ask(world: World, method: str, path: str, header: str | None, **arguments: Any) -> Any:
    headers = {} if header is None else {"Authorization": header}
    return world.client.open(path, method=method, headers=headers, **arguments)


@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_h01_guarded_routes_answer_401_alike_for_a_missing_and_a_wrong_token(method: str, path: str) -> None:
    with World(environ=BOTH).start() as world:
        bodies = []
        for header in (None, *WRONG):
            response = ask(world, method, path, header)
            assert response.status_code == 401
            assert response.headers["WWW-Authenticate"] == 'Bearer realm="alert-refresh"'
            body = dict(response.json)
            assert body.pop("request_id") == response.headers["X-Request-ID"]
            bodies.append(body)
        assert bodies == [{"error": "unauthorized", "message": "A valid bearer token is required"}] * len(bodies)
        assert ask(world, method, path, f"Bearer {ADMIN}").status_code in (200, 202)


@pytest.mark.parametrize("header", WRONG)
def test_h02_what_is_not_exactly_one_right_token_is_refused(header: str) -> None:
    with World(environ=BOTH).start() as world:
        assert ask(world, "POST", f"{TARGETS}/refresh", header).status_code == 401
        assert world.source.calls == 1


def test_h02_two_authorization_headers_are_refused_even_if_both_are_right() -> None:
    with World(environ=BOTH).start() as world:
        headers = [("Authorization", f"Bearer {ADMIN}"), ("Authorization", f"Bearer {ADMIN}")]
        assert world.client.post(f"{TARGETS}/refresh", headers=headers).status_code == 401


@pytest.mark.parametrize("name", ["token", "access_token", "authorization", "bearer"])
def test_h02_a_token_in_the_query_is_not_a_token(name: str) -> None:
    with World(environ=BOTH).start() as world:
        assert world.post(f"?{name}={ADMIN}").status_code == 401
        assert world.post(f"?{name}=whatever", token=ADMIN).status_code == 400
        assert world.get(f"?reveal=true&{name}={READ}").status_code == 400


def test_the_scheme_is_bearer_in_any_case() -> None:
    with World(environ=BOTH).start() as world:
        for scheme in ("bearer", "BEARER"):
            assert ask(world, "GET", f"{TARGETS}?reveal=true", f"{scheme} {READ}").status_code == 200


def test_the_read_token_may_not_refresh_and_gets_a_403() -> None:
    with World(environ=BOTH).start() as world:
        response = world.post(token=READ)
        assert (response.status_code, response.json["error"]) == (403, "forbidden")
        assert "WWW-Authenticate" not in response.headers


def test_one_token_for_both_is_the_admin_token() -> None:
    with World(environ=dict.fromkeys(BOTH, ADMIN)).start() as world:
        assert world.post(token=ADMIN).status_code == 202


def test_without_tokens_posts_are_open_and_nothing_is_revealed() -> None:
    with World().start() as world:
        for query, token in (("?reveal=true", None), ("/one?reveal=true", "any")):
            headers = {} if token is None else {"Authorization": f"Bearer {token}"}
            response = world.get(query, headers=headers)
            assert (response.status_code, response.json["error"]) == (403, "forbidden")
        assert world.post(token="any").status_code == 202
        assert world.metrics()["alert_refresh_wrong_tokens_total"] == 0


@pytest.mark.parametrize("one", BOTH)
@pytest.mark.parametrize("path", ["?reveal=true", "/one?reveal=true"])
def test_whichever_token_is_set_reveals(one: str, path: str) -> None:
    with World(environ={one: BOTH[one]}).start() as world:
        for token, code in ((BOTH[one], 200), ("wrong", 401), (None, 401)):
            headers = {} if token is None else {"Authorization": f"Bearer {token}"}
            response = world.get(path, headers=headers)
            assert response.status_code == code
            assert ("?key=1" in response.text) == (code == 200)


def test_get_head_and_options_are_open_with_any_token() -> None:
    with World(environ=BOTH).start() as world:
        for method in ("GET", "HEAD", "OPTIONS"):
            for path in (TARGETS, f"{TARGETS}/status", f"{TARGETS}/one", "/metrics", "/healthz", "/readyz", "/health"):
                assert ask(world, method, path, "Bearer wrong").status_code == 200


@pytest.mark.parametrize("byte", range(0x80, 0x100))
def test_h04_bytes_beyond_ascii_are_a_401(byte: int) -> None:
    with World(environ=BOTH).start() as world:
        for value in (f"Bearer {chr(byte)}", f"Bearer {ADMIN}{chr(byte)}", chr(byte) * 50):
            environ = {"HTTP_AUTHORIZATION": value}
            assert world.client.post(f"{TARGETS}/refresh", environ_overrides=environ).status_code == 401


def test_h04_text_that_no_server_should_hand_over_is_a_401_too() -> None:
    with World(environ=BOTH).start() as world:
        for value in ("Bearer \udcff", "Bearer 令牌", f"Bearer {ADMIN}\ud800"):
            environ = {"HTTP_AUTHORIZATION": value}
            assert world.client.post(f"{TARGETS}/refresh", environ_overrides=environ).status_code == 401


def test_h03_tokens_are_compared_as_digests_of_one_length_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    real = hmac.compare_digest

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return real(one, other)

    with World(environ=BOTH).start() as world:
        monkeypatch.setattr(hmac, "compare_digest", compare)
        for token in ("x", ADMIN, READ):
            compared.clear()
            world.post(token=token)
            sent, *known = (hashlib.sha256(one.encode()).digest() for one in (token, ADMIN, READ))
            assert compared == [(sent, one) for one in known], "every token is compared, whichever is right"


def test_h23_wrong_tokens_are_counted_and_logged_without_the_token_and_not_more_than_once_a_second(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with World(environ=BOTH).start() as world:
        caplog.set_level(logging.DEBUG)
        for _ in range(50):
            world.post(token="guess-1234")
        world.clock.advance(1)
        world.post(token="guess-1234")
        world.post()
        assert world.post(token=ADMIN).status_code == 202, "the right token is never locked out"
        assert world.metrics()["alert_refresh_wrong_tokens_total"] == 51
    lines = [vars(record) for record in caplog.records if record.name == auth.__name__]
    assert [(line["levelname"], line["ip"], line["not_logged"]) for line in lines] == [
        ("WARNING", "127.0.0.1", 0),
        ("WARNING", "127.0.0.1", 49),
    ]
    assert "guess-1234" not in str([vars(record) for record in caplog.records])


def codes(world: World, *tokens: str) -> list[int]:
    """The response to a request with `reveal` for each of these tokens."""
    return [ask(world, "GET", f"{TARGETS}?reveal=true", f"Bearer {token}").status_code for token in tokens]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("old-token\n")
    return path


@pytest.fixture
def world(file: Path) -> Iterator[World]:
    environ = {"ALERT_REFRESH_ADMIN_TOKEN_FILE": str(file), "ALERT_REFRESH_READ_TOKEN": READ}
    with World(environ=environ).start() as one:
        yield one


def messages(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(one.levelname, one.getMessage()) for one in caplog.records if one.name == auth.__name__]


def test_h25_a_token_file_is_read_again_and_two_tokens_are_valid_in_overlap(world: World, file: Path) -> None:
    both = ("old-token", "new-token")
    assert codes(world, *both) == [200, 401]
    file.write_text("old-token\r\n\n  new-token  \n")
    assert codes(world, *both) == [200, 401], "looked at no more than once a second"
    world.clock.advance(1)
    assert codes(world, *both) == [200, 200]
    replacement = file.with_name("next")
    replacement.write_text("new-token")
    replacement.rename(file)
    world.clock.advance(1)
    assert codes(world, *both) == [401, 200]


def test_h25_the_first_request_after_a_long_rest_knows_the_new_token(world: World, file: Path) -> None:
    world.clock.advance(3600)
    file.write_text("new-token")
    assert codes(world, "new-token", "old-token") == [200, 401]


def test_a_token_file_that_is_gone_or_empty_authorizes_no_request_and_is_logged_once(
    world: World, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, auth.__name__)
    assert codes(world, "old-token") == [200]
    for change in (lambda: file.unlink(), lambda: file.write_text(" \n")):
        change()
        world.clock.advance(1)
        assert codes(world, "old-token", "", READ) == [401, 401, 200]
    file.write_text("two-token")
    world.clock.advance(1)
    assert codes(world, "two-token") == [200]
    reported = [one for one in messages(caplog) if "file" in one[1]]
    assert reported == [
        ("WARNING", f"The token file {file} holds no token: no request is authorized by it"),
        ("INFO", f"The token file {file} holds a token again"),
    ]


def become_fifo(path: Path) -> None:
    os.mkfifo(path)


def become_folder(path: Path) -> None:
    path.mkdir()


def become_long(path: Path) -> None:
    with path.open("wb") as long:
        long.truncate(50_000_000)


def become_endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def become_circle(path: Path) -> None:
    path.symlink_to(path)


@pytest.mark.parametrize("change", [become_fifo, become_folder, become_long, become_endless, become_circle])
def test_h29_while_a_token_file_cannot_be_read_the_tokens_it_held_last_count(
    change: Callable[[Path], None], world: World, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, auth.__name__)
    file.unlink()
    change(file)
    for _ in range(3):
        world.clock.advance(1)
        assert codes(world, "old-token", "wrong") == [200, 401]
    file.rmdir() if change is become_folder else file.unlink()
    file.write_text("new-token")
    world.clock.advance(1)
    assert codes(world, "old-token", "new-token") == [401, 200]
    reported = [one for one in messages(caplog) if "file" in one[1]]
    assert reported == [
        ("WARNING", f"The token file {file} is unreadable or not a token file: the tokens read last are still valid"),
        ("INFO", f"The token file {file} holds a token again"),
    ]


class HeldRead:
    """Reads a token file when it is released, as on a mount that does not respond."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self.begun, self.gate = threading.Event(), threading.Event()
        monkeypatch.setattr(auth, "read_tokens", self)

    def __call__(self, path: Path) -> tuple[bytes, ...]:
        self.calls.append(threading.current_thread().name)
        self.begun.set()
        assert self.gate.wait(30)
        return read_tokens(path)


def test_h29_a_token_file_that_hangs_delays_one_request_for_half_a_second_and_no_other(
    world: World, file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, auth.__name__)
    held = HeldRead(monkeypatch)
    file.write_text("new-token")
    world.clock.advance(1)
    answers: list[list[int]] = []
    first = threading.Thread(target=lambda: answers.append(codes(world, "old-token")))
    first.start()
    assert held.begun.wait(30)
    world.clock.wait_for_sleeper(0.5)
    world.clock.advance(0.5)
    first.join()
    assert answers == [[200]]
    for _ in range(5):
        world.clock.advance(1)
        assert codes(world, "old-token", "new-token") == [200, 401]
    assert held.calls == ["token-reader"], "one thread hangs, regardless of the number of requests"
    held.gate.set()
    assert eventually(lambda: codes(world, "new-token") == [200])
    world.clock.advance(1)
    assert codes(world, "old-token", "new-token") == [401, 200]
    reported = [one for one in messages(caplog) if "file" in one[1]]
    assert reported == [
        ("WARNING", f"The token file {file} is slow to read: the tokens read last are still valid"),
        ("INFO", f"The token file {file} holds a token again"),
    ]


def test_the_first_requests_after_the_start_know_the_token_however_many_arrive_together(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = HeldRead(monkeypatch)
    answers: list[list[int]] = []
    clients = [threading.Thread(target=lambda: answers.append(codes(world, "old-token"))) for _ in range(8)]
    for client in clients:
        client.start()
    assert held.begun.wait(30)
    held.gate.set()
    for client in clients:
        client.join()
    assert answers == [[200]] * 8
    assert len(held.calls) == 1


@pytest.mark.parametrize("failure", [RuntimeError, MemoryError])
def test_p17_without_a_thread_to_read_the_file_the_tokens_known_count_and_it_is_read_later(
    failure: type[Exception], world: World, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text("new-token")

    def refuse(*_: object) -> None:
        raise failure

    with monkeypatch.context() as patch:
        patch.setattr(auth, "spawn", refuse)
        world.clock.advance(1)
        assert codes(world, "old-token", "new-token") == [200, 401]
    world.clock.advance(1)
    assert codes(world, "old-token", "new-token") == [401, 200]


def test_no_thread_reads_a_token_file_while_no_client_sends_a_token(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = HeldRead(monkeypatch)
    held.gate.set()
    for _ in range(5):
        world.clock.advance(10)
        assert world.get("/status").status_code == 200
    assert held.calls == []
    codes(world, "old-token")
    assert held.calls == ["token-reader"]
