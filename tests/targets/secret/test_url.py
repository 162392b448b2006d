"""URLs are judged on the raw string; nothing is looked up."""

from __future__ import annotations

import pytest

from alert_refresh.targets.secret.url import MAX_LENGTH, check


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.slack.com/services/T0/B0/x",
        "http://hooks.example.com",
        "https://hooks.example.com:8443/a?b=c#d",
        "HTTPS://Example.COM/",
        "https://example.com./x",
        "https://example.com:/x",
        "https://my_service.example.com/",
        "https://b\u00fccher.example/",
        "https://93.184.216.34/",
        "https://[2606:2800:220:1::1]:443/",
        "https://example.com/a@b",
        "https://example.com/%0d%0a",
        "https://" + "a" * 63 + ".example.com/",
    ],
)
def test_what_may_be_published_to(url: str) -> None:
    assert check(url, deny_private=True) is None


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:9093/",
        "http://127.0.0.1/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://0/",
        "http://[::1]/",
        "http://[::ffff:10.0.0.1]/",
        "http://[64:ff9b::a00:1]/",
        "http://[fc00::1]/",
        "http://10.1.2.3/",
        "http://192.168.0.1/",
        "http://alertmanager/",
        "http://alertmanager.monitoring.svc/",
        "http://alertmanager.monitoring.svc.cluster.local:9093/",
        "http://printer.local/",
        "http://box.internal/",
    ],
)
def test_the_inside_is_refused_only_when_asked(url: str) -> None:
    assert check(url) is None
    assert (check(url, deny_private=True) or "").startswith("url_forbidden: ")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "//example.com",
        "http:",
        "http:/",
        "http://",
        "http:///x",
        "http://:80/",
        "http://?x",
        "http://./",
        "http://a..b/",
        "http://.a/",
        "http://-a/",
        "http://a-/",
        "http://a b/",
        "http://a%2eb/",
        "http://256.1.1.1/",
        "http://1.2.3.4.5/",
        "http://a:x/",
        "http://a:-1/",
        "http://a:0/",
        "http://a:65536/",
        "http://a:123456/",
        "http://[x]/",
        "http://[1::2::3]/",
        "http://[::1/",
        "http://::1/",
        "http://a]/",
        "http://" + "a" * 64 + "/",
        "http://" + "a." * 130 + "b/",
        "https://example.com/" + "x" * MAX_LENGTH,
    ],
)
def test_malformed(url: str) -> None:
    assert (check(url) or "").startswith("bad_url: ")
