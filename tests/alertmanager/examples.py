"""Targets, rules and templates as examples, and one rendering of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from alert_refresh.alertmanager.inputs import Capabilities, Inputs, Mode
from alert_refresh.alertmanager.render import render
from alert_refresh.alertmanager.template import Template
from alert_refresh.credential import Credential, Credentials
from alert_refresh.targets.secret.json_object import JsonObject
from alert_refresh.targets.target import Target
from tests.rules.examples import rule

if TYPE_CHECKING:
    from collections.abc import Iterable

    from alert_refresh.alertmanager.render import Rendering
    from alert_refresh.rules.rule import Rule

__all__ = ["ALL", "PLAIN", "configuration", "plain_template", "rule", "target", "template"]

PLAIN = "route: {receiver: default}\nreceivers: [{name: default}]\n"
ALL = Capabilities(http_headers=True, utf8=True)
OLD = Capabilities()
URL = "https://hooks.example.com/services/T0/B0"


def target(
    name: str = "team-a",
    type_: str = "webhook",
    url: str = URL,
    headers: dict[str, str] | None = None,
    enabled: bool = True,
    **filters: Any,
) -> Target:
    """A target; other keywords are its `filter_config`."""
    return Target(
        name=name,
        type=type_,
        format=type_,
        url=Credential(url),
        enabled=enabled,
        headers=Credentials(headers or {}),
        filter_config=JsonObject(msgspec.json.encode(filters)),
    )


def template(text: str) -> Template:
    """A template as it is read from a file."""
    return Template.read(text.encode(), "template.yml")


def plain_template() -> Template:
    """The smallest template there is."""
    return template(PLAIN)


def configuration(
    targets: Iterable[Target] = (),
    rules: Iterable[Rule] = (),
    text: str = PLAIN,
    capabilities: Capabilities = OLD,
    mode: Mode = Mode.RULES,
    **more: Any,
) -> Rendering:
    """The rendering of these."""
    by_name = {one.name: one for one in targets}
    return render(Inputs(template(text), by_name, tuple(rules), mode, capabilities, **more))
