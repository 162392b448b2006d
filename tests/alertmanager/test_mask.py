from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

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
        "http://proxy.example.com:3128/***", "url_file: /etc/url", "chat_id: 1", "https://***",
        "https://discord.example.com/***",
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


EVERYWHERE = """
global: {smtp_from: C, smtp_hello: C, smtp_smarthost: C, resolve_timeout: C, authorization: C, wechat_api_corp_id: C,
  slack_api_url: C, http_config: {authorization: C, basic_auth: C, no_proxy: C, cookie: C, oauth2: C,
  proxy_url: "ftp://C/", tls_config: {cert: "-----BEGIN C-----\\nC", server_name: C, min_version: C},
  http_headers: {Cookie: C, url: "https://C/"}}}
tracing: {endpoint: C, headers: {a: C}}
event_recorder: {outputs: [{webhook: {url: "https://C.example.com"}}]}
x-common: {url: "https://C.example.com", name: C, matchers: [C], deeper: {receiver: C}}
apikey: C
receivers:
- name: shown
  labels: {a: b}
  note: C
  pagerduty_configs:
  - {details: {apikey: C, name: C, "Bearer C": x, deep: {pass: [C], matchers: [C]}}, client: C, client_url: "x C",
     description: C, images: [{src: "https://C/x", alt: C}], links: [{href: C}], class: C, component: C, timeout: C}
  slack_configs: [{channel: C, username: C, title: C, fields: [{title: C, value: C, short: C}],
    actions: [{url: C, name: C}]}]
  email_configs: [{to: C, from: C, smarthost: C, html: C, text: "https://C/", headers: {Subject: C, name: C}, type: C}]
  opsgenie_configs: [{responders: [{id: C, name: C, type: C}], details: {name: C}, tags: C, note: C, entity: C}]
  jira_configs: [{project: C, issue_type: C, fields: {customfield_1: C, name: C, labels: [C]}, api_url: "https://u:C@x/C"}]
  webex_configs: [{room_id: C, message: C, http_config: {authorization: {type: C, credentials: C}}}]
  telegram_configs: [{chat_id: C, parse_mode: C, message: C, api_url: "https://x.example.com/bot/C"}]
  msteams_configs: [{webhook_url: 'https://x/C', title: C}]
  msteamsv2_configs: [{webhook_url: 'https://x/?C', title: C}]
  rocketchat_configs: [{token: C, token_id: C, channel: C, actions: [{msg: C}]}]
  mattermost_configs: [{webhook_url: "C", attachments: [{fields: [{name: C}]}], props: {card: C}, priority: {name: C}}]
  pushover_configs: [{pass: C, cookie: C, sound: C, device: C, url: C, retry: C}]
  sns_configs: [{topic_arn: C, phone_number: C, attributes: {name: C}, sigv4: {role_arn: C, region: C}}]
  victorops_configs: [{custom_fields: {a: C}, routing_key: C, message_type: C}]
  wechat_configs: [{agent_id: C, to_user: C, corp_id: C}]
  incidentio_configs: [{metadata: {name: C}}]
  webhook_configs:
  - {payload: {name: C, url: "https://C", list: [[C]]}, url: "https://C:C@example.com"}
  - {url: "https://example.com/\\nC"}
  - {url: " https://C/"}
  - {url: "https://example.com:C/"}
  - {url: "https://C@x@example.com/"}
  - {url: "https://a b@C@example.com/"}
  - {url: !!binary Q0FOQVJZ}
  - {url_file: "C{"}
  - [C]
  - C
  - |
    C
    https://C/
  - <<: {password: C}
route:
  receiver: shown
  password: C
  routes: [{receiver: shown, matchers: [a="shown"], group_wait: 30s, continue: true, comment: C}, C]
inhibit_rules: [{source_matchers: [a=shown], equal: [shown], comment: C}]
"""


def test_of_every_scalar_that_is_no_name_label_time_or_number_nothing_is_shown() -> None:
    shown = masked(re.sub(r"\bC\b", "CANARY", EVERYWHERE).encode())
    assert shown.startswith("global:\n") and "CANARY" not in shown and "Q0FO" not in shown
    assert shown.count("shown") == 6 and "a: b" in shown and "group_wait: 30s" in shown and "continue: true" in shown


KEYS = [
    "url", "api_url", "webhook_configs", "receivers", "route", "routes", "http_config", "authorization", "global", "<<",
    "type", "timeout", "details", "headers", "payload", "x", "Bearer \n", "password", "http_headers", "fields",
]  # fmt: skip
SECRETS = [
    "CANARY",
    "a\nCANARY",
    "https://u:CANARY@example.com/",
    "https://example.com/CANARY",
    "https://CANARY@x@y/",
    "ß CANARY:",
]


@given(
    st.recursive(
        st.sampled_from(SECRETS),
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)),
        max_leaves=12,
    )
)
def test_whatever_the_shape_nothing_is_shown(document: Any) -> None:
    assert "CANARY" not in masked(yaml.safe_dump(document, allow_unicode=True).encode())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", ""),
        (b"# CANARY\ntimeout: 1 # CANARY\n", "timeout: 1\n"),
        (b"'CANARY x': 1\n", '"***": "***"\n'),
        (b"a: [CANARY", "# not shown: it is not YAML: line 2, column 1"),
        (b"name: &CANARY \xff", 'name: "\ufffd"\n'),
        (b"CANARY", ""),
        (b"api_url: CANARY\n", 'api_url: "***"\n'),
        (b"password: ~\ntoken:\n", "password: ~\ntoken:\n"),
    ],
)
def test_of_other_texts_nothing_is_shown_that_may_be_one(text: bytes, expected: str) -> None:
    assert masked(text).startswith(expected)
    assert "CANARY" not in masked(text)
