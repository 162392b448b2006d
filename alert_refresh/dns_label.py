"""DNS labels (RFC 1123): the form of names of targets and of Kubernetes namespaces."""

from __future__ import annotations

import re

DNS_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
"""To be used with `fullmatch`, such as on `team-a`."""
