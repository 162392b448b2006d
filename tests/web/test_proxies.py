from __future__ import annotations

from typing import Any

import pytest

from alert_refresh.daemon import read_config
from alert_refresh.engine import ConfigErrors
from alert_refresh.web.proxies import TrustedProxies, address
from tests.web.world import ADMIN, TARGETS, World

NAME = "ALERT_REFRESH_TRUSTED_PROXIES"
PROXIES = "10.0.0.0/8, 192.168.1.1,fd00::/8"
PROXY = "10.1.2.3"


def client(forwarded: str, peer: str = PROXY, proxies: str = PROXIES) -> str:
    """The client of a request."""
    seen: dict[str, Any] = {}
    wrapped = TrustedProxies(
        lambda environ, _: seen.update(environ) or [], read_config({NAME: proxies}).trusted_proxies
    )
    wrapped({"REMOTE_ADDR": peer, "HTTP_X_FORWARDED_FOR": forwarded}, lambda *_: None)
    return str(seen["REMOTE_ADDR"])


@pytest.mark.parametrize(
    ("forwarded", "expected"),
    [
        ("", PROXY),
        ("203.0.113.9", "203.0.113.9"),
        ("1.1.1.1, 203.0.113.9", "203.0.113.9"),
        ("1.1.1.1, 203.0.113.9, 10.9.9.9", "203.0.113.9"),
        ("203.0.113.9,10.9.9.9,192.168.1.1,fd00::1", "203.0.113.9"),
        ("203.0.113.9, 192.168.1.2", "192.168.1.2"),
        ("10.7.7.7, 10.9.9.9", "10.7.7.7"),
        ("1.1.1.1, unknown, 10.9.9.9", "10.9.9.9"),
        ("1.1.1.1, , 10.9.9.9", "10.9.9.9"),
        ("1.1.1.1,", PROXY),
        ("1.1.1.1, unknown", PROXY),
        ("unknown", PROXY),
        ("203.0.113.9:4711", "203.0.113.9"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:80, [fd00::1]:80", "2001:db8::1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("203.0.113.9, ::ffff:10.0.0.1", "203.0.113.9"),
        ("fe80::1%eth0", "fe80::1"),
        ("[fe80::1%25eth0]:80", "fe80::1"),
        ("fe80::1%<script>", "fe80::1"),
        ("010.0.0.1", PROXY),
        ("1.2.3", PROXY),
        ("1.2.3.4:x", PROXY),
        ("1.2.3.4:123456", PROXY),
        ("1.2.3.4 5.6.7.8", PROXY),
        ('"1.2.3.4"', PROXY),
        ("[1.2.3.4", PROXY),
        ("[]", PROXY),
        ("203.0.113.9\t , \t10.0.0.1", "203.0.113.9"),
        (", ".join(["9.9.9.9"] * 2000 + ["203.0.113.9"]), "203.0.113.9"),
    ],
)
def test_h11_the_client_is_the_right_most_entry_that_is_not_a_proxy_s(forwarded: str, expected: str) -> None:
    assert client(forwarded) == expected


@pytest.mark.parametrize("peer", ["203.0.113.5", "::1", "192.168.1.2", "::ffff:11.0.0.1", "nonsense"])
def test_h11_the_headers_of_a_client_that_is_not_a_proxy_are_ignored(peer: str) -> None:
    assert client("1.1.1.1", peer) == peer


@pytest.mark.parametrize("peer", ["10.0.0.1", "::ffff:10.0.0.1", "fd12::1", "192.168.1.1", ""])
def test_a_proxy_is_believed_however_its_address_is_written_and_on_a_unix_socket(peer: str) -> None:
    assert client("1.1.1.1", peer) == "1.1.1.1"


@pytest.mark.parametrize(
    ("proxies", "peer"),
    [
        ("10.0.0.1/8", "10.200.0.1"),
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.0/104", "10.5.5.5"),
        ("::1/128", "::1"),
        ("0.0.0.0/0,::/0", "203.0.113.9"),
        ("10.0.0.0/8,", "10.5.5.5"),
    ],
)
def test_a_network_may_be_written_in_any_way(proxies: str, peer: str) -> None:
    assert client("1.1.1.1", peer, proxies) == "1.1.1.1"


@pytest.mark.parametrize(
    "value", ["x", "10.0.0.0/33", "10.0.0.0/8 fd00::/8", "*", "all", "10.0.0.0/8,nonsense", "10.1", "unix:"]
)
def test_p19_what_is_not_a_network_is_a_fault_of_the_setting(value: str) -> None:
    with pytest.raises(ConfigErrors, match="is not a list of networks"):
        read_config({NAME: value})


def test_what_is_not_an_address_is_none() -> None:
    for text in ("", " ", "x", "1", "::g", "[", "%", ":", "1.2.3.4%eth0"):
        assert address(text) is None


def ips(world: World, caplog: pytest.LogCaptureFixture, logger: str) -> list[Any]:
    return [vars(record)["ip"] for record in caplog.records if record.name == logger]


def test_h11_the_logs_of_access_audit_and_wrong_tokens_name_the_client(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    environ = {NAME: "127.0.0.0/8", "ALERT_REFRESH_ADMIN_TOKEN": ADMIN}
    with World(environ=environ).start() as world:
        headers = {"X-Forwarded-For": "1.1.1.1, 203.0.113.9"}
        assert world.post(token=ADMIN, headers=headers).status_code == 202
        assert world.post(token="wrong", headers=headers).status_code == 401
        world.get("/status", headers=headers)
        world.get("/status", headers=headers, environ_overrides={"REMOTE_ADDR": "198.51.100.1"})
        names = ("alert_refresh.access", "alert_refresh.audit", "alert_refresh.web.auth")
        access, audit, wrong = (ips(world, caplog, name) for name in names)
    assert access == ["203.0.113.9"] * 3 + ["198.51.100.1"]
    assert audit == ["203.0.113.9"] * 2
    assert wrong == ["203.0.113.9"]


def test_h11_several_headers_are_one_list_in_their_order(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "alert_refresh.access")
    with World(environ={NAME: "127.0.0.0/8"}) as world:
        sent = [("X-Forwarded-For", "1.1.1.1"), ("X-Forwarded-For", "203.0.113.9")]
        world.client.get("/healthz", headers=sent)
        assert ips(world, caplog, "alert_refresh.access") == ["203.0.113.9"]


def test_h11_without_the_setting_nothing_is_believed(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "alert_refresh.access")
    with World() as world:
        headers = {"X-Forwarded-For": "1.1.1.1", "X-Forwarded-Proto": "https"}
        for peer in ("127.0.0.1", ""):
            answer = world.client.get("/healthz", headers=headers, environ_overrides={"REMOTE_ADDR": peer})
            assert "Strict-Transport-Security" not in answer.headers
        assert "1.1.1.1" not in ips(world, caplog, "alert_refresh.access")


@pytest.mark.parametrize(
    ("proto", "peer", "secure"),
    [
        ("https", "127.0.0.1", True),
        ("HTTPS", "127.0.0.1", True),
        ("http, https", "127.0.0.1", True),
        ("https, http", "127.0.0.1", False),
        ("http", "127.0.0.1", False),
        ("nonsense", "127.0.0.1", False),
        ("", "127.0.0.1", False),
        ("https", "203.0.113.9", False),
    ],
)
def test_a_proxy_reports_whether_the_client_uses_tls(proto: str, peer: str, secure: bool) -> None:
    with World(environ={NAME: "127.0.0.0/8"}) as world:
        headers = {"X-Forwarded-Proto": proto, "X-Forwarded-Host": "evil.example", "X-Forwarded-Prefix": "/x"}
        answer = world.client.get(f"{TARGETS}/status", headers=headers, environ_overrides={"REMOTE_ADDR": peer})
        assert ("Strict-Transport-Security" in answer.headers) == secure
        assert answer.status_code == 200
        assert "evil" not in str(answer.headers) + answer.text
