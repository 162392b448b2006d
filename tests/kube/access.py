"""Client configuration for a server: a kubeconfig file, or the folder and variables of a pod."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def kubeconfig(
    file: Path,
    url: str,
    *,
    namespace: str | None = None,
    ca: Path | None = None,
    user: dict[str, Any] | None = None,
    cluster: dict[str, Any] | None = None,
) -> Path:
    """Write a kubeconfig (JSON is YAML) and return its path; `user` and `cluster` are further fields of theirs."""
    where = {"server": url} | ({"certificate-authority": str(ca)} if ca else {}) | (cluster or {})
    context = {"cluster": "test", "user": "test"} | ({"namespace": namespace} if namespace else {})
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": where}],
        "contexts": [{"name": "test", "context": context}],
        "users": [{"name": "test", "user": user or {}}],
    }
    file.write_text(json.dumps(document))
    return file


def service_account(folder: Path, *, token: str, ca: Path, namespace: str = "default") -> Path:
    """Fill a folder as Kubernetes fills a pod's, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "token").write_text(token)
    (folder / "ca.crt").write_bytes(ca.read_bytes())
    (folder / "namespace").write_text(namespace)
    return folder
