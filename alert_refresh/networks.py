"""Lists of networks and addresses, as they are written in a setting."""

from __future__ import annotations

import ipaddress

from alert_refresh.mistakes import part

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def parse(text: str) -> Network:
    """A network or an address; an IPv4 network written as IPv6 is an IPv4 network.

    Raises:
        ValueError: it is none; the message completes the name of the setting.
    """
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"is not a list of networks such as 10.0.0.0/8,fd00::/8: {part(text)} is none") from None
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    return network if mapped is None else ipaddress.IPv4Network((mapped, max(0, network.prefixlen - 96)), strict=False)


def wider(text: str) -> str | None:
    """What a network with host bits stands for; None if it has none."""
    network = ipaddress.ip_network(text, strict=False)
    address = ipaddress.ip_address(text.partition("/")[0])
    if "/" not in text or address == network.network_address:
        return None
    return f"{part(text)} is all of {network}; write {address} for this address alone"
