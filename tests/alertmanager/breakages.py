"""Ways to break one target or one rule so that Alertmanager would refuse the whole configuration for it.

Our own model refuses nearly all: `field` is what its fault names. Those that only Alertmanager refuses, since they
depend on its version, have no field.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from alert_refresh.alertmanager.inputs import Capabilities
from alert_refresh.rules.matcher import Matcher
from alert_refresh.rules.rule import Rule
from tests.alertmanager.examples import target

if TYPE_CHECKING:
    from alert_refresh.targets.target import Target

HEADERS = Capabilities(http_headers=True)
WRONG = Capabilities(http_headers=True, utf8=True)
"""What a later version than 0.25 knows."""


class Breakage(NamedTuple):
    """One broken target or rule. `written`: it can be written down so that Alertmanager 0.25 refuses the file.

    Others could not be expressed at all, or Alertmanager would take them and never deliver.
    """

    why: str
    broken: Target | Rule
    field: str | None
    written: bool = True
    capabilities: Capabilities = Capabilities()


def url(why: str, value: str, type_: str = "webhook", *, written: bool = True) -> Breakage:
    headers = {"routing-key": "key"} if type_ == "pagerduty" else {}
    return Breakage(f"{type_}: {why}", target("broken", type_, value, headers), "url", written)


def header(why: str, written: bool = True, capabilities: Capabilities = HEADERS, **headers: str) -> Breakage:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Breakage(why, target("broken", headers=named), "headers", written, capabilities)


def pagerduty(why: str, written: bool = True, **headers: str) -> Breakage:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Breakage(why, target("broken", "pagerduty", headers=named), "headers", written)


def label(why: str, name: str) -> Breakage:
    return Breakage(why, Rule("broken", match=(Matcher(name, "=", "x"),), targets=("team-a",)), "match[0]")


def expression(why: str, value: str, field: str | None = "match[1]") -> Breakage:
    match = (Matcher("severity", "=", "page"), Matcher("instance", "=~", value))
    return Breakage(why, Rule("broken", match=match, targets=("team-a",)), field)


URLS = [
    url("an empty URL", ""),
    url("no scheme", "hooks.example.com/x"),
    url("no scheme, two slashes", "//hooks.example.com/x"),
    url("an empty scheme", "://hooks.example.com/x"),
    url("a scheme that begins with a digit", "1http://hooks.example.com/x"),
    url("another scheme", "ftp://hooks.example.com/x", "slack"),
    url("another scheme without slashes", "mailto:team@example.com", "slack"),
    url("a scheme and nothing else", "https:"),
    url("no slashes", "https:hooks.example.com", "pagerduty"),
    url("no host", "https:///services/x", "slack"),
    url("no host but a query", "https://?x=y"),
    url("a path alone", "/services/x", "pagerduty"),
    url("a percent sign without digits in the path", "https://hooks.example.com/%zz"),
    url("a percent sign at the end", "https://hooks.example.com/100%", "slack"),
    url("half an escape", "https://hooks.example.com/%4", "pagerduty"),
    url("a bad escape in the fragment", "https://hooks.example.com/#%zz", "rootly"),
    url("a control character", "https://hooks.example.com/\x01"),
    url("a line feed", "https://hooks.example.com/\nx", "slack"),
    url("a tab", "https://hooks.example.com/\tx"),
    url("DEL", "https://hooks.example.com/\x7f", "pagerduty"),
    url("a blank in the host", "https://hooks example.com/x"),
    url("a caret in the host", "https://hooks^.example.com/x"),
    url("a brace in the host", "https://{hooks}.example.com/x", "slack"),
    url("a bar in the host", "https://a|b.example.com/x"),
    url("a backslash in the host", "https://a\\b.example.com/x"),
    url("a backtick in the host", "https://a`b.example.com/x"),
    url("an escaped letter in the host", "https://%41.example.com/x"),
    url("a port of letters", "https://hooks.example.com:https/x", "pagerduty"),
    url("a port with a letter", "https://hooks.example.com:80x/x"),
    url("a negative port", "https://hooks.example.com:-1/x", "slack"),
    url("a bracket that is not closed", "https://[::1/x"),
    url("text behind a bracket", "https://[::1]x/x"),
    url("a bad port behind a bracket", "https://[::1]:x/x"),
    url("a bad escape in a zone", "https://[fe80::1%25%zz]/x"),
    url("a user with a blank", "https://us er@hooks.example.com/x"),
    url("a bad escape in a user", "https://u%zz@hooks.example.com/x", "slack"),
    url("a template that is not closed", "https://hooks.example.com/{{ .GroupLabels.team", written=False),
    url("a port that no address has", "https://hooks.example.com:99999/x", written=False),
    url("the word that stands for a masked URL", "<secret>", "slack", written=False),
]
KEYS_AND_HEADERS = [
    pagerduty("PagerDuty without a routing key"),
    pagerduty("PagerDuty with an empty routing key", routing_key=""),
    pagerduty("PagerDuty with a template for a routing key", written=False, X_Routing_Key="{{ .Bad"),
    pagerduty("PagerDuty with two routing keys", written=False, X_Routing_Key="one", routing_key="two"),
    header("a header before Alertmanager knows http_headers", capabilities=Capabilities(), X_Team="a"),
    header("a header that is reserved", Host="x"),
    header("another Content-Type", Content_Type="text/plain"),
    header("User-Agent", User_Agent="me"),
    header("a header for a proxy", Proxy_Authorization="Bearer x"),
    header("a header of AWS", X_Amz_Date="now"),
    Breakage(
        "a header with a name that no key of YAML may be so long",
        target("broken", headers={"X" * 1100: "a"}),
        "headers",
        True,
        HEADERS,
    ),
    header("a header with a line feed", X_Team="a\nX-Other: b"),
    header("Authorization without a scheme", written=False, Authorization="token"),
    header("a scheme without credentials", written=False, Authorization="Bearer"),
    header("Basic without base64", written=False, Authorization="Basic user:password"),
    header("Basic without a colon", written=False, Authorization="Basic dXNlcg=="),
    header("Basic that is not UTF-8", written=False, Authorization="Basic /zr/"),
    header("Basic with a blank behind the password", written=False, Authorization="Basic dXNlcjpwYXNzIA=="),
    header("Authorization with a control character", written=False, Authorization="Bearer a\x01b"),
]
LABELS = [
    label("a label name with a dot before UTF-8", "service.name"),
    label("a label name with a hyphen before UTF-8", "service-name"),
    label("a label name of other letters before UTF-8", "größe"),
    label("a label name with a blank before UTF-8", "service name"),
    label("a label name with a quote before UTF-8", 'service"name'),
    label("a label name that begins with a digit before UTF-8", "1st"),
    label("a label name with a brace before UTF-8", "{service}"),
    label("an empty label name", ""),
]
EXPRESSIONS = [
    expression("a group that is not closed", "(a"),
    expression("a group that was not opened", "a)"),
    expression("a class that is not closed", "[a"),
    expression("a repetition of nothing", "*a"),
    expression("a repetition of a repetition", "a**"),
    expression("a repetition that is too large", "a{1001}"),
    expression("repetitions that are too large together", "(a{100}){100}"),
    expression("a range that falls", "[z-a]"),
    expression("a backslash at the end", "a\\"),
    expression("an unknown escape", "\\y"),
    expression("a reference to a group", "(a)\\1"),
    expression("a lookahead", "(?=a)b"),
    expression("an unknown class", "[[:letters:]]"),
    expression("an unknown script", "\\p{Klingon}"),
    expression("one byte", "\\C"),
    expression("a group's name of other letters", "(?P<größe>a)"),
    expression("quoted text that is not closed", "\\Qa"),
    expression("groups that are nested too deep", "(" * 1001 + ")" * 1001),
]
ONLY_ALERTMANAGER = [
    expression("a group's name as Go knows it from 1.22", "(?<name>a)", None),
    expression("a script that came with Unicode 14", "\\p{Toto}+", None),
    expression("a script that came with Unicode 15", "\\p{Kawi}+", None),
    Breakage(
        "a header where it is believed to be known", target("broken", headers={"X-Team": "a"}), None, True, HEADERS
    ),
    Breakage(
        "a label name where it is believed to be allowed",
        Rule("broken", match=(Matcher("service.name", "=", "x"),), targets=("team-a",)),
        None,
        True,
        WRONG,
    ),
]
"""What our model leaves to Alertmanager."""

BREAKAGES = [*URLS, *KEYS_AND_HEADERS, *LABELS, *EXPRESSIONS, *ONLY_ALERTMANAGER]
