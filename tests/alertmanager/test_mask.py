from __future__ import annotations

import pytest

from alert_refresh.alertmanager.mask import masked
from tests.alertmanager.examples import ALL, configuration, target
from tests.alertmanager.test_render import TEMPLATE

CREDENTIALS = """
global:
  smtp_auth_username: CANARY
  smtp_auth_password: CANARY
  smtp_auth_secret: "CANARY"
  smtp_auth_identity: CANARY
  slack_api_url: https://hooks.slack.com/CANARY
  slack_app_token: CANARY
  pagerduty_url: https://example.com/CANARY
  opsgenie_api_key: CANARY
  wechat_api_secret: CANARY
  victorops_api_key: CANARY
  telegram_bot_token: CANARY
  rocketchat_token: CANARY
  rocketchat_token_id: CANARY
  mattermost_webhook_url: https://example.com/CANARY
  http_config:
    proxy_url: http://CANARY:CANARY@proxy.example.com:3128
    proxy_connect_header: {X-A: [CANARY]}
    bearer_token: CANARY
    authorization: {type: Bearer, credentials: CANARY}
    basic_auth: {username: CANARY, password: CANARY}
    oauth2: {client_id: id, client_secret: CANARY, token_url: "https://CANARY@example.com/CANARY",
      endpoint_params: {a: CANARY}, client_certificate_key: CANARY}
    tls_config: {key: CANARY, ca_file: /etc/ca.crt, key_file: /etc/key.pem}
    http_headers: {X-A: {values: [CANARY], secrets: ["CANARY"]}}
route: {receiver: d}
receivers:
- name: d
  webhook_configs:
  - url: https://example.com?token=CANARY
  - url: HTTP://example.com#CANARY
  - url: https://user:CANARY/CANARY@example.com/CANARY
  - url: https://example.com/{{ .CANARY }}/x
  - {url: 'https://CANARY@example.com', url_file: /etc/url}
  pagerduty_configs: [{routing_key: 0123, service_key: CANARY}]
  pushover_configs: [{user_key: CANARY, token: CANARY}]
  sns_configs: [{sigv4: {access_key: CANARY, secret_key: CANARY, profile: p}}]
  email_configs: [{auth_password: CANARY, auth_secret: CANARY, headers: {X: CANARY}}]
  telegram_configs: [{bot_token: CANARY, chat_id: 1}]
  discord_configs: [{webhook_url: 'https://discord.example.com/CANARY'}]
  incidentio_configs: [{alert_source_token: CANARY, url: 'https://example.com/CANARY'}]
  slack_configs: [{api_url: 'https://example.com/CANARY', title: 'see https://example.com/CANARY?x now', text: hello}]
"""


def test_no_credential_of_a_template_is_shown() -> None:
    shown = masked(CREDENTIALS.encode())
    assert "CANARY" not in shown
    assert "0123" not in shown
    for kept in (
        "type: Bearer", "ca_file: /etc/ca.crt", "key_file: /etc/key.pem", "https://example.com/***", "HTTP://example.com/***",
        "http://proxy.example.com:3128/***", "url_file: /etc/url", "text: hello", "chat_id: 1", "https://***",
        "https://discord.example.com/***", "profile: p", "see https://example.com/*** now", "client_id: id",
    ):  # fmt: skip
        assert kept in shown


def test_no_credential_of_a_target_is_shown() -> None:
    targets = [
        target(
            "one", url="https://example.com/CANARY?x=CANARY", headers={"Authorization": "Bearer CANARY", "X": "CANARY"}
        ),
        target("two", headers={"Authorization": "Basic Q0FOQVJZOkNBTkFSWQ=="}),
        target("three", "pagerduty", "https://example.com/CANARY", {"routing-key": "CANARY"}),
        target("four", "slack", "https://example.com/CANARY"),
        target("five", headers={"X-Odd: {}": "CANARY", "\u00e9": "CANARY"}),
    ]
    rendering = configuration(targets, text=TEMPLATE, capabilities=ALL)
    assert rendering.text.count(b"CANARY") == 9
    shown = masked(rendering.text)
    assert "CANARY" not in shown
    assert shown.count("https://example.com/***") == 3
    assert shown.splitlines()[:2] == rendering.text.decode().splitlines()[:2]
    assert shown.splitlines()[-1] == rendering.text.decode().splitlines()[-1]


def test_what_holds_no_credential_stays_as_it_is() -> None:
    text = configuration(text=TEMPLATE).text
    assert masked(text) == text.decode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", ""),
        (b"# CANARY\na: 1 # CANARY\n", "a: 1\n"),
        (b"a: [CANARY", "# not shown: it is not YAML: line 2, column 1"),
        (b"a: &CANARY \xff", 'a: "\ufffd"\n'),
        (b"CANARY", ""),
        (b"api_url: CANARY\n", 'api_url: "***"\n'),
        (b"password: ~\ntoken:\n", "password: ~\ntoken:\n"),
    ],
)
def test_of_other_texts_nothing_is_shown_that_may_be_one(text: bytes, expected: str) -> None:
    assert masked(text).startswith(expected)
    assert "CANARY" not in masked(text)
