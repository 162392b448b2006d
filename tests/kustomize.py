"""Renders a kustomization: by `kubectl kustomize` where there is one, and by the few lines below.

They know what our kustomizations use, so that the manifests are tested where there is no kubectl, or only Debian's,
which is too old for components. A test compares both.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from pathlib import Path

Manifest = dict[str, Any]

CLUSTERED = ("ClusterRole", "ClusterRoleBinding", "Namespace")
KNOWN = {"apiVersion", "kind", "namespace", "resources", "components", "patches"}


def by_kubectl(folder: Path) -> list[Manifest]:
    """What `kubectl kustomize` renders, without a warning; skips where there is none, or an old one."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not here")
    told = json.loads(subprocess.check_output([kubectl, "version", "--client", "-o", "json"]))
    if not re.match(r"v([5-9]|\d\d)\.", told.get("kustomizeVersion", "")):
        pytest.skip("kubectl has no kustomize 5")
    run = subprocess.run([kubectl, "kustomize", folder], capture_output=True, text=True, check=True, timeout=60)
    assert run.stderr == ""
    return list(yaml.safe_load_all(run.stdout))


def render(folder: Path) -> list[Manifest]:
    """The manifests of a folder that has a kustomization: resources, components, patches, then the namespace.

    Raises:
        AssertionError: it has something that this does not know.
    """
    own = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert set(own) <= KNOWN, set(own) - KNOWN
    found: list[Manifest] = []
    for name in own.get("resources", []) + own.get("components", []):
        path = folder / name
        found += render(path) if path.is_dir() else yaml.safe_load_all(path.read_text())
    for patch in own.get("patches", []):
        _patch(found, patch)
    if "namespace" in own:
        _place(found, own["namespace"])
    return found


def _patch(manifests: list[Manifest], patch: Manifest) -> None:
    """Apply the operations `add` of a JSON patch to the manifests that its target selects, at least one."""
    chosen = [one for one in manifests if _is(one, **patch["target"])]
    assert chosen, patch["target"]
    for operation in yaml.safe_load(patch["patch"]):
        assert operation["op"] == "add"
        *steps, last = operation["path"].removeprefix("/").split("/")
        for one in chosen:
            at: Any = one
            for step in steps:
                at = at[int(step)] if isinstance(at, list) else at[step]
            if last == "-":
                at.append(operation["value"])
            else:
                at[last] = operation["value"]


def _is(manifest: Manifest, kind: str, name: str | None = None) -> bool:
    return bool(manifest["kind"] == kind and name in (None, manifest["metadata"]["name"]))


def _place(manifests: list[Manifest], namespace: str) -> None:
    """Set the namespace of what has one, and of the subjects of bindings that are among these manifests."""
    accounts = {one["metadata"]["name"] for one in manifests if one["kind"] == "ServiceAccount"}
    for one in manifests:
        if one["kind"] not in CLUSTERED:
            one["metadata"]["namespace"] = namespace
        for subject in one.get("subjects", []):
            if subject["name"] in accounts:
                subject.setdefault("namespace", namespace)
