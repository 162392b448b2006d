"""Whether alerts may be published to a URL: decided by the raw string, without DNS.

A name that resolves to a forbidden address is not detected here: the sender must check the address it connects to.
"""

from __future__ import annotations

import re
import socket
import unicodedata
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Network

MAX_LENGTH = 8192
MALFORMED = "bad_url: the host or port is malformed"

NOT_IN_A_URL = re.compile(r"[\x00-\x20\x7f-\xa0\\\u2028\u2029\ufeff]")
"""Whitespace, control characters and the backslash, which clients interpret differently."""
PLACEHOLDER = re.compile(
    r"<[^<>]+>|\{\{|\}\}|[$#]\{|\$\(|\{\w+\}|\[\[|\$[A-Z_][A-Z0-9_]+|@@\w+@@|%\(\w+\)[sd]|%(?![0-9A-Fa-f]{2})\w+%",
    re.ASCII,
)
"""Placeholders of templates that were not filled in."""
INVISIBLE = ("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs")
"""Unicode categories of invisible characters: zero-width, bidirectional, other whitespace."""
FILLERS = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""Invisible characters that Unicode counts among letters, marks and symbols: joiners, fillers, variation selectors."""

PLAIN_URL = re.compile(r"https?://([a-z0-9.-]++)(?:/[A-Za-z0-9_!#&'()*+,./:;=?~-]*+)?+")
"""The form of most URLs, for a fast path; no first character of a `PLACEHOLDER` is in it. `\\w` would be slower."""
URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(?://([^/?#]*))?")
AUTHORITY = re.compile(r"(?:\[([0-9A-Za-z:.%]*)\]|([^:\[\]]*))(?::([0-9]*))?")
HOST_NAME = re.compile(r"(?:[^\W_]|[^\W_][\w-]{0,61}[^\W_]|_[\w-]{0,62})(?:\.(?:[^\W_]|[\w-]{1,62}[^\W_]))*")
DOTS = str.maketrans("\u3002\uff0e\uff61", "...")
"""Characters that internationalised names may have instead of a dot (RFC 3490, section 3.1)."""

METADATA_HOSTS = frozenset(
    ("metadata", "metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal")
)
METADATA_NETWORKS: tuple[IPv4Network | IPv6Network, ...] = tuple(
    ip_network(text)
    for text in (
        "169.254.0.0/16",  # link-local; AWS, Azure, Google and most others answer at .169.254
        "fe80::/10",  # link-local
        "100.100.100.200",  # Alibaba
        "168.63.129.16",  # Azure
        "192.0.0.192",  # Oracle
        "fd00:ec2::254",  # AWS
        "fd20:ce::254",  # Google
    )
)
PRIVATE_SUFFIXES = tuple(
    f".{suffix}"
    for suffix in (
        "localhost", "local", "localdomain", "localdomain4", "localdomain6", "internal", "intranet", "private",
        "corp", "home", "lan", "home.arpa", "svc", "pod", "cluster.local",
    )
)  # fmt: skip
"""Suffixes that public DNS does not have (RFC 6761, RFC 8375, ICANN's name collisions), and those of a cluster."""
NAMESPACES = frozenset(
    (
        "default", "monitoring", "observability", "logging", "alerting", "alerts", "metrics", "prometheus",
        "alertmanager", "grafana", "ingress", "istio", "infra", "platform", "vault", "database", "databases", "backend",
        "frontend", "production", "prod", "staging", "test",
    )
)  # fmt: skip
"""Usual names of namespaces that are no top level domains: a pod's search path completes `service.namespace`."""
TOP_LEVEL = re.compile(r"[a-z]{2,63}|xn--[a-z0-9-]+")
"""The form of a top level domain in ASCII. A last label with a hyphen, such as `kube-system`, a digit, or a single
letter is none, so that the host is inside. A namespace that has this form and is not in `NAMESPACES` is not found out:
no list of the public ones is here, since it changes every month.
"""
NUMBER_LAST = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
"""A last label with which a host must be an IPv4 address (WHATWG URL, "ends in a number")."""

GLOBAL_UNICAST = ip_network("2000::/3")
RELAYS = ip_network("192.88.99.0/24")
"""Anycast addresses of 6to4 relays (RFC 7526): whichever is nearest answers, which may be one inside."""
NAT64_LOCAL = 0x64FF9B0001
"""The upper 48 bits of 64:ff9b:1::/48; what follows is an IPv4 address, around bits 64 to 71 or at the end."""
ISATAP = (0x00005EFE, 0x02005EFE)
"""Bits 64 to 95 of an address whose last 32 bits are an IPv4 address (RFC 5214)."""


def check(url: str, *, deny_private: bool = False) -> str | None:
    """None if `url` may be used, else what is wrong with it, without quoting it.

    It must be http or https with a host, without user info, whitespace, invisible characters or placeholders.
    Link-local and cloud metadata hosts are refused in any notation; with `deny_private` every host that is not public.
    """
    if len(url) > MAX_LENGTH:
        return f"bad_url: longer than {MAX_LENGTH} characters"
    if problem := _character_problem(url):
        return problem
    parts = URL.match(url)
    if parts is None:
        return "bad_url: has no scheme"
    if parts[1].lower() not in ("http", "https"):
        return "url_forbidden: the scheme is neither http nor https"
    if not parts[2]:
        return "bad_url: has no host"
    if parts[2].lower() in ("http:", "https:"):
        return f"{MALFORMED}; the scheme is written twice"
    if "@" in parts[2]:
        return "bad_url: has user info; put credentials into headers"
    return _authority(parts[2], deny_private)


def is_good(url: str, deny_private: bool) -> bool:
    """Whether `check` finds nothing in a URL that is not too long; quick for those that look like most of them."""
    plain = PLAIN_URL.fullmatch(url)
    return not (_authority(plain[1], deny_private) if plain else check(url, deny_private=deny_private))


def _character_problem(url: str) -> str | None:
    """What is wrong with the characters of a URL."""
    if url.endswith(("\n", "\r")):
        return "bad_url: ends with a line end"
    if PLACEHOLDER.search(url):
        return "bad_url: has a placeholder that was not filled in, such as ${NAME}, <name> or {{ name }}"
    if NOT_IN_A_URL.search(url):
        return "bad_url: has a blank, a control character or a backslash"
    if not url.isascii():
        for character in url:
            if unicodedata.category(character) in INVISIBLE or FILLERS.match(character):
                return f"bad_url: has the invisible character U+{ord(character):04X}"
    return None


@lru_cache(maxsize=1024)
def _authority(authority: str, deny_private: bool) -> str | None:
    """What is wrong with `host:port`. Cached: many targets share few hosts."""
    parts = AUTHORITY.fullmatch(authority)
    if parts is None:
        return MALFORMED
    bracketed, name, port = parts.groups()
    if port and not (len(port) <= 5 and 0 < int(port) <= 65535):
        return "bad_url: the port is not from 1 to 65535"
    if bracketed is not None:
        try:
            return _address(IPv6Address(bracketed.replace("%25", "%", 1)), deny_private)
        except ValueError:
            return "bad_url: the address in brackets is malformed"
    host = unicodedata.normalize("NFKC", name.translate(DOTS)).lower().removesuffix(".")
    if not host:
        return "bad_url: has no host"
    try:
        # All notations of an IPv4 address that C libraries accept: 127.1, 0x7f.1, 2130706433.
        return _address(IPv4Address(socket.inet_aton(host)), deny_private)
    except (OSError, ValueError):
        return _name(host, deny_private)


def _name(host: str, deny_private: bool) -> str | None:
    if len(host) > 253 or not HOST_NAME.fullmatch(host) or NUMBER_LAST.fullmatch(host.rpartition(".")[2]):
        return "bad_url: the host is malformed"
    if host in METADATA_HOSTS:
        return "url_forbidden: the host serves cloud metadata"
    if deny_private and _is_inside(host):
        return "url_forbidden: the host is inside the cluster or the machine"
    return None


def _is_inside(host: str) -> bool:
    """Whether public DNS cannot have a name, as far as its form and the usual words show."""
    last = host.rpartition(".")[2]
    if "." not in host or last in NAMESPACES or (last.isascii() and not TOP_LEVEL.fullmatch(last)):
        return True
    return host.endswith(PRIVATE_SUFFIXES) or host.split(".")[2:3] == ["svc"]


def _address(address: IPv4Address | IPv6Address, deny_private: bool) -> str | None:
    found = (address, *_embedded(address))
    if any(one in network for one in found for network in METADATA_NETWORKS if network.version == one.version):
        return "url_forbidden: a link-local or cloud metadata address"
    if deny_private and not all(_is_public(one) for one in found):
        return "url_forbidden: is not a public unicast address"
    return None


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is a unicast address of the public internet. One for the translation or tunnels of IPv4 is
    none, whatever it embeds: which gateway takes it is decided by the network of the sender.
    """
    if isinstance(address, IPv6Address):  # NAT64 is not in the range of global unicast
        if address not in GLOBAL_UNICAST or address.sixtofour or int(address) >> 32 & 0xFFFFFFFF in ISATAP:
            return False
    elif address in RELAYS:
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _embedded(address: IPv4Address | IPv6Address) -> list[IPv4Address]:
    """The IPv4 addresses embedded in an IPv6 address: mapped, translated, compatible, 6to4, Teredo, NAT64, ISATAP."""
    if isinstance(address, IPv4Address):
        return []
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    number = int(address)
    if (number >> 32 in (0, 0xFFFF0000, 0x64FF9B << 64) or number >> 80 == NAT64_LOCAL) and number >> 16:
        found.append(IPv4Address(number & 0xFFFFFFFF))
    if number >> 32 & 0xFFFFFFFF in ISATAP:
        found.append(IPv4Address(number & 0xFFFFFFFF))
    if number >> 80 == NAT64_LOCAL:
        found.append(IPv4Address((number >> 64 & 0xFFFF) << 16 | number >> 40 & 0xFFFF))
    return [one for one in found if one is not None]
