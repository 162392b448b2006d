"""One target to one receiver of Alertmanager, or the faults of its delivery."""

from __future__ import annotations

import binascii
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from alert_refresh.alertmanager.model import header_problem, key_problem, url_problem, value_problem
from alert_refresh.alertmanager.template import PREFIX
from alert_refresh.alertmanager.tree import Mapping, Node, Scalar, Sequence, quoted, text, write_pairs
from alert_refresh.engine import Fault

if TYPE_CHECKING:
    from alert_refresh.alertmanager.inputs import Capabilities
    from alert_refresh.alertmanager.template import Template
    from alert_refresh.targets.target import Target

ROUTING_KEYS = frozenset(("routing-key", "x-routing-key"))
PAGERDUTY = "https://events.pagerduty.com/v2/enqueue"
"""PagerDuty's default URL, which Alertmanager knows."""
JSON = ("application/json", "application/json;charset=utf-8")
"""The Content-Type that Alertmanager sends by itself."""
AUTHORIZATIONS = frozenset(("authorization", "basic_auth", "oauth2", "bearer_token", "bearer_token_file"))
"""Fields of `http_config` of which one may be set."""
NO_HEADERS = "this Alertmanager knows no http_config.http_headers; only Authorization can be sent"
NOT_KNOWN = (
    "it is not known yet whether this Alertmanager knows http_config.http_headers (none has answered, and there is no "
    "amtool that tells); until then only Authorization can be sent"
)

Pairs = tuple[tuple[Scalar, Node], ...]


@dataclass(slots=True)
class Receiver:
    """What Alertmanager needs for one target, as it is found in its fields, and the faults."""

    url: str
    authorization: tuple[tuple[str, str], ...] = ()
    basic: bool = False
    routing_key: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def fault(self, place: str, reason: str) -> None:
        """Add a fault of this target's delivery."""
        self.faults.append(Fault(place, f"undeliverable: {reason}"))


def receiver(target: Target, capabilities: Capabilities, template: Template) -> str | tuple[Fault, ...]:
    """The lines of a target's receiver, an item of the list `receivers`; or the faults of its delivery."""
    found = parts(target)
    check(target.type, found, capabilities)
    if found.faults:
        return tuple(found.faults)
    return write(target, found, template.http_config, default_url=not template.pagerduty_url)


def parts(target: Target) -> Receiver:
    """A target's fields as Alertmanager takes them; with a fault for each that it cannot take."""
    found = Receiver(target.url.reveal())
    for name, credential in target.headers.items():
        value, folded = credential.reveal(), name.lower()
        if folded == "authorization":
            _authorize(value, found)
        elif target.type == "pagerduty" and folded in ROUTING_KEYS:
            if found.routing_key not in ("", value):
                found.fault("headers", "there are two routing keys")
            found.routing_key = value
        elif folded != "content-type" or value.replace(" ", "").lower() not in JSON:
            found.headers[name] = value
    return found


def check(kind: str, found: Receiver, capabilities: Capabilities) -> None:
    """Add a fault for everything that Alertmanager would refuse, or deliver wrongly."""
    if problem := url_problem(found.url):
        found.fault("url", problem)
    if kind == "pagerduty" and (problem := key_problem(found.routing_key)):
        found.fault("headers", problem)
    for _, value in found.authorization:
        if value and (problem := value_problem(value)):
            found.fault("headers", problem)
    for name, value in found.headers.items():
        if problem := header_problem(name, value):
            found.fault("headers", problem)
    if found.headers and not capabilities.http_headers:
        found.fault("headers", NO_HEADERS if capabilities.found else NOT_KNOWN)


def write(target: Target, found: Receiver, inherited: Pairs = (), *, default_url: bool = True) -> str:
    """The lines of a receiver.

    `inherited` is the template's `global.http_config`, which a receiver with an own `http_config` would lose.
    `default_url`: whether PagerDuty's is what a receiver without a URL uses.
    """
    config: list[str] = []
    if target.type == "slack":
        kind = "slack_configs"
        config.append(f"api_url: {quoted(found.url)}")
    elif target.type == "pagerduty":
        kind = "pagerduty_configs"
        config.append(f"routing_key: {quoted(found.routing_key)}")
        if found.url != PAGERDUTY or not default_url:
            config.append(f"url: {quoted(found.url)}")
    else:
        kind = "webhook_configs"
        config.append(f"url: {quoted(found.url)}")
    config.append("send_resolved: true")
    if found.authorization and not found.headers and not inherited:
        config.append(f"http_config:\n      {'basic_auth' if found.basic else 'authorization'}:")
        config += [f"    {name}: {quoted(value)}" for name, value in found.authorization]
    elif found.authorization or found.headers:
        config.append("http_config:")
        config += write_pairs(_http_config(found, inherited), "  ")
    lines = "\n    ".join(config)
    return f"- name: {quoted(PREFIX + target.name)}\n  {kind}:\n  - {lines}\n"


def _authorize(value: str, found: Receiver) -> None:
    """The header Authorization, split as Alertmanager takes it."""
    scheme, _, credentials = value.strip().partition(" ")
    credentials = credentials.strip()
    if not credentials:
        found.fault("headers", "Authorization has no scheme before its credentials, such as Bearer")
    elif scheme.lower() != "basic":
        found.authorization = (("type", scheme), ("credentials", credentials))
    else:
        found.basic = True
        try:
            username, colon, password = binascii.a2b_base64(credentials, strict_mode=True).decode().partition(":")
        except ValueError:
            username = colon = password = ""
        if not colon:
            found.fault(
                "headers", "Authorization is Basic, but what follows is not base64 of username:password in UTF-8"
            )
        elif password != password.strip():
            found.fault("headers", "the password of Basic begins or ends with a blank, which Alertmanager removes")
        else:
            found.authorization = (("username", username), ("password", password))


def _http_config(found: Receiver, inherited: Pairs) -> Pairs:
    """What the receiver would inherit, but for what the target says itself."""
    replaced = AUTHORIZATIONS if found.authorization else frozenset()
    own: dict[str, tuple[Scalar, Node]] = {
        key.text: (key, value) for key, value in inherited if key.text not in replaced
    }
    if found.authorization:
        section = tuple((_word(name), text(value)) for name, value in found.authorization)
        name = "basic_auth" if found.basic else "authorization"
        own[name] = _word(name), Mapping(section, 0)
    if found.headers:
        others = own["http_headers"][1] if "http_headers" in own else None
        names = set(map(str.lower, found.headers))
        kept = others.merged() if isinstance(others, Mapping) else ()
        headers: list[tuple[Scalar, Node]] = [pair for pair in kept if pair[0].text.lower() not in names]
        for name, value in sorted(found.headers.items()):
            headers.append((text(name), Mapping(((_word("secrets"), Sequence((text(value),), 0)),), 0)))
        own["http_headers"] = _word("http_headers"), Mapping(tuple(headers), 0)
    return tuple(own.values())


def _word(name: str) -> Scalar:
    """A key without quotes."""
    return Scalar(name, 0, plain=True)
