"""URLs are checked as raw strings, without DNS."""

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
        "https://xn--bcher-kva.xn--p1ai/",
        "https://example.\u0440\u0444/",
        "https://monitoring.example.com/",
        "https://kube-state.example.com/",
        "https://t.me/",
        "https://192.88.98.1/",
        "https://svc.example.com/",
        "https://local.example.com/",
        "https://example.com/a$b?price=$5&c=%20%41#x",
        "https://example.com/\u00e9",
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
        "http://localhost.localdomain/",
        "http://LOCALHOST./",
        "http://db.localdomain6/",
        "http://nas.home.arpa/",
        "http://wiki.corp/",
        "http://alertmanager.monitoring.svc.example.org/",
        "http://224.0.0.1/",
        "http://239.255.255.250/",
        "http://255.255.255.255/",
        "http://240.0.0.1/",
        "http://100.64.0.1/",
        "http://[ff02::1]/",
        "http://[ff0e::1]/",
        "http://[fec0::1]/",
        "http://[100::1]/",
        "http://[4000::1]/",
        "http://[2001:db8::1]/",
        "http://[2002:0a00:0001::]/",
        "http://[2002:7f00:1::1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[64:ff9b:1:a00:1::]/",
        "http://[2600::5efe:192.168.0.1]/",
        "http://[2600::200:5efe:10.0.0.1]/",
        "http://[::10.0.0.1]/",
        "http://0x7F000001/",
        "http://017700000001/",
        "http://10.0x1/",
        "http://\uff11\uff12\uff17.1/",
        "http://alertmanager.monitoring/",
        "http://alertmanager.monitoring:9093/api",
        "http://Alertmanager.MONITORING./",
        "http://kubernetes.default/",
        "http://pod-0.alertmanager.monitoring/",
        "http://dns.kube-system/",
        "http://app.team-a/",
        "http://app.team1/",
        "http://app.x/",
        "http://192.88.99.1/",
        "http://[64:ff9b::8.8.8.8]/",
        "http://[2002:808:808::1]/",
        "http://[2002:c058:6301::]/",
        "http://[2600::5efe:8.8.8.8]/",
        "http://[2600::200:5efe:8.8.8.8]/",
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
        "http://0x/",
        "http://example.0x7f/",
        "http://127.0.0.08/",
        "http://4294967296/",
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


@pytest.mark.parametrize(
    "part",
    [
        "${SLACK_URL}", "$SLACK_URL", "$(SLACK_URL)", "#{slack}", "<token>", "<your token here>", "{{ slack }}",
        "{{.Values.url}}", "{token}", "[[token]]", "%SLACK_URL%", "@@TOKEN@@", "%(SLACK_URL)s", "%(port)d",
    ],
)  # fmt: skip
@pytest.mark.parametrize("where", ["{}", "https://{}/x", "https://example.com/{}", "https://example.com/a?b={}"])
def test_a_placeholder_that_was_not_filled_in_is_reported(part: str, where: str) -> None:
    url = where.replace("{}", part)
    message = check(url) or ""
    assert message.startswith("bad_url: has a placeholder that was not filled in")
    assert part not in message or part == "${NAME}"


@pytest.mark.parametrize(
    "character",
    [
        "\u200b",
        "\u200d",
        "\u2060",
        "\u202e",
        "\u2066",
        "\u200e",
        "\u00ad",
        "\u2003",
        "\u3000",
        "\ue000",
        "\ud800",
        "\u034f",
        "\ufe0f",
        "\u115f",
        "\u1160",
        "\u3164",
        "\uffa0",
        "\u180b",
        "\u2800",
        "\U000e0100",
    ],
)
@pytest.mark.parametrize("where", ["https://exa{}mple.com/", "https://example.com/a{}b", "https://example.com/{}"])
def test_an_invisible_character_is_reported_by_its_code_point(character: str, where: str) -> None:
    assert check(where.replace("{}", character)) == f"bad_url: has the invisible character U+{ord(character):04X}"


@pytest.mark.parametrize(
    "url", ["https://https://hooks.example.com/x", "https://http://a.example", "HTTP://HTTPS://a", "http://https:/x"]
)
def test_a_scheme_that_is_written_twice_is_reported(url: str) -> None:
    assert check(url) == "bad_url: the host or port is malformed; the scheme is written twice"
    assert check("https://https/x") is check("https://https:443/x") is check("https://a/https://b") is None


@pytest.mark.parametrize("private", [False, True])
@pytest.mark.parametrize(
    "url", ["http://[::ffff:a9fe:a9fe]/", "http://[2002:a9fe:a9fe::]/", "http://[64:ff9b::a9fe:1]/"]
)
def test_cloud_metadata_in_another_form_is_called_that(url: str, private: bool) -> None:
    assert check(url, deny_private=private) == "url_forbidden: a link-local or cloud metadata address"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_line_end_at_the_end_is_reported(end: str) -> None:
    assert check(f"https://example.com/x{end}") == "bad_url: ends with a line end"
