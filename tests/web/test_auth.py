from __future__ import annotations

import hashlib
import hmac
import logging
from typing import TYPE_CHECKING, Any

import pytest

from alert_refresh.web import auth
from tests.web.world import ADMIN, READ, TARGETS, World

if TYPE_CHECKING:
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
def test_h02_a_token_in_the_query_is_no_token(name: str) -> None:
    with World(environ=BOTH).start() as world:
        assert world.post(f"?{name}={ADMIN}").status_code == 401
        assert world.post(f"?{name}=whatever", token=ADMIN).status_code == 400
        assert world.get(f"?reveal=true&{name}={READ}").status_code == 400


def test_the_scheme_is_bearer_in_any_case() -> None:
    with World(environ=BOTH).start() as world:
        for scheme in ("bearer", "BEARER"):
            assert ask(world, "GET", f"{TARGETS}?reveal=true", f"{scheme} {READ}").status_code == 200


def test_the_read_token_may_not_refresh_and_is_told_so() -> None:
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


def test_get_head_and_options_are_open_whatever_token_they_carry() -> None:
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


def test_h25_a_token_file_is_read_again_and_two_tokens_are_valid_in_overlap(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old-token\n")
    environ = {"ALERT_REFRESH_ADMIN_TOKEN_FILE": str(file), "ALERT_REFRESH_READ_TOKEN": READ}
    with World(environ=environ).start() as world:

        def codes() -> list[int]:
            path = f"{TARGETS}?reveal=true"
            return [ask(world, "GET", path, f"Bearer {token}").status_code for token in ("old-token", "new-token")]

        assert codes() == [200, 401]
        file.write_text("old-token\r\n\n  new-token  \n")
        assert codes() == [200, 401], "looked at no more than once a second"
        world.clock.advance(1)
        assert codes() == [200, 200]
        replacement = tmp_path / "next"
        replacement.write_text("new-token")
        replacement.rename(file)
        world.clock.advance(1)
        assert codes() == [401, 200]


def test_a_token_file_that_is_gone_or_empty_lets_nobody_in_and_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, auth.__name__)
    file = tmp_path / "token"
    file.write_text("one-token")
    with World(environ={"ALERT_REFRESH_ADMIN_TOKEN_FILE": str(file)}).start() as world:
        assert world.post(token="one-token").status_code == 202
        world.attempt_ends()
        for change in (lambda: file.unlink(), lambda: file.write_text(" \n")):
            change()
            world.clock.advance(1)
            for token in ("one-token", "", None):
                assert world.post(token=token).status_code == 401
        file.write_text("two-token")
        world.clock.advance(1)
        assert world.post(token="two-token").status_code == 429
    lines = [(record.levelname, record.getMessage()) for record in caplog.records if "file" in record.getMessage()]
    assert lines == [
        ("WARNING", f"The token file {file} holds no token: nobody is let in by it"),
        ("INFO", f"The token file {file} holds a token again"),
    ]
