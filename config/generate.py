"""Writes what is made from something else: `make generated`. Tests compare.

- the PrometheusRule of config/kubernetes, from the alerts of config/prometheus;
- the table of settings in README.md, from the settings themselves.
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

from alert_refresh.daemon import read_settings

ROOT = Path(__file__).parent.parent
RULES = ROOT / "config" / "prometheus" / "alert-refresh.rules.yml"
PROMETHEUSRULE = ROOT / "config" / "kubernetes" / "components" / "prometheus-operator" / "prometheusrule.yaml"
HEAD = """\
# Made from config/prometheus/alert-refresh.rules.yml by `make generated`: change it there.
# A Prometheus finds it by its own ruleSelector: add the labels that yours asks for.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: alert-refresh
  labels:
    app.kubernetes.io/name: alert-refresh
spec:
"""

README = ROOT / "README.md"
TABLE = re.compile(r"(?<=\| variable \| default \| meaning \|\n\|---\|---\|---\|\n)(?:\| .+\n)+")
NAME = re.compile(r"\$?[A-Z][A-Z0-9]*_[A-Z0-9_]+")


def prometheusrule() -> str:
    """The manifest."""
    rules = RULES.read_text()
    return HEAD + textwrap.indent(rules[rules.index("groups:") :], "  ")


def settings() -> str:
    """The rows of the table of settings."""
    rows = []
    for group in read_settings().values():
        for name, (default, meaning) in group.items():
            shown = f"`{default}`" if default else "unset"
            meaning = NAME.sub(lambda found: f"`{found[0]}`", meaning)
            rows.append(f"| `{name}` | {shown} | {meaning} |\n")
    return "".join(rows)


def readme() -> str:
    """README.md with these rows."""
    text, count = TABLE.subn(lambda _: settings(), README.read_text())
    assert count == 1
    return text


if __name__ == "__main__":
    PROMETHEUSRULE.write_text(prometheusrule())
    README.write_text(readme())
