"""Writes the alerts of config/prometheus as a PrometheusRule: `make manifests`. A test compares."""

from __future__ import annotations

import textwrap
from pathlib import Path

CONFIG = Path(__file__).parent.parent
RULES = CONFIG / "prometheus" / "alert-refresh.rules.yml"
MADE = CONFIG / "kubernetes" / "components" / "prometheus-operator" / "prometheusrule.yaml"
HEAD = """\
# Made from config/prometheus/alert-refresh.rules.yml by `make manifests`: change it there.
# A Prometheus finds it by its own ruleSelector: add the labels that yours asks for.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: alert-refresh
  labels:
    app.kubernetes.io/name: alert-refresh
spec:
"""


def prometheusrule() -> str:
    """The manifest."""
    rules = RULES.read_text()
    return HEAD + textwrap.indent(rules[rules.index("groups:") :], "  ")


if __name__ == "__main__":
    MADE.write_text(prometheusrule())
