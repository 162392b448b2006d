"""Targets: where alerts are published, read from Kubernetes Secrets or from a directory of manifests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from alert_refresh.dns_label import DNS_LABEL
from alert_refresh.kind import Kind
from alert_refresh.mistakes import part
from alert_refresh.targets.protection import PROTECTION
from alert_refresh.targets.secret.selector import parse_selector

if TYPE_CHECKING:
    from pathlib import Path

    from alert_refresh.engine import Clock, RefreshSettings, Source
    from alert_refresh.env import Env
    from alert_refresh.kind import Before
    from alert_refresh.targets.target import Target

PREFIX = "TARGET_REFRESH_"


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of the targets. `source` is `kubernetes`, `directory` or `off`, already resolved from `auto`.

    In a pod `pod_server` is the URL of its API server.
    """

    refresh: RefreshSettings
    source: str
    directory: Path | None
    namespaces: tuple[str, ...]
    label_selector: str
    watch: bool
    kubeconfig: str
    deny_private: bool
    pod_server: str = ""


def read(env: Env) -> Settings:
    """The targets' settings; faults are left in `env`."""
    directory = env.path("TARGET_DIRECTORY", "Folder of Secret manifests, or of mounted Secrets")
    kubeconfig = env.text("KUBECONFIG", "", "How to reach the Kubernetes API from outside a cluster")
    if "://" in kubeconfig:
        env.fault("KUBECONFIG", "is a URL; write the path of a kubeconfig file")
    pod_server = _pod_server(env)
    source = _source(env, in_pod=bool(pod_server), kubeconfig=kubeconfig, directory=directory)
    label_selector = env.text(
        "TARGET_LABEL_SELECTOR", "publishing-target=true", "Which Secrets are targets, as a Kubernetes label selector"
    )
    try:
        parse_selector(label_selector)
    except ValueError as error:
        env.fault("TARGET_LABEL_SELECTOR", str(error))
    return Settings(
        refresh=env.refresh(PREFIX, max_removal="50%"),
        source=source,
        directory=directory,
        namespaces=_namespaces(env),
        label_selector=label_selector,
        watch=env.boolean("TARGET_WATCH", "Notice changes between periodic refreshes", default=True),
        kubeconfig=kubeconfig,
        deny_private=env.boolean(
            "TARGET_URL_DENY_PRIVATE",
            "Refuse targets whose URL names a loopback, private or cluster-internal host",
            default=False,
        ),
        pod_server=pod_server,
    )


def _pod_server(env: Env) -> str:
    """The API server as Kubernetes tells every pod, empty outside of one."""
    host, port = env.peek("KUBERNETES_SERVICE_HOST"), env.peek("KUBERNETES_SERVICE_PORT") or "443"
    return f"https://{f'[{host}]' if ':' in host else host}:{port}" if host else ""


def _source(env: Env, *, in_pod: bool, kubeconfig: str, directory: Path | None) -> str:
    """`kubernetes`, `directory` or `off`."""
    source = env.choice(
        "TARGET_SOURCE",
        "auto",
        ("auto", "kubernetes", "directory", "off"),
        "auto, kubernetes, directory or off; auto is kubernetes in a pod or with KUBECONFIG set, else directory "
        "if one is set",
    )
    if source == "auto":
        source = "kubernetes" if in_pod or kubeconfig else "directory" if directory else "off"
        if source == "kubernetes" and directory:
            reason = "KUBECONFIG is set" if kubeconfig else "this is a pod"
            env.warnings.append(f"TARGET_DIRECTORY is not read, since {reason}; to read it set TARGET_SOURCE=directory")
    if source == "directory" and directory is None and not env.is_wrong("TARGET_DIRECTORY"):
        env.fault("TARGET_DIRECTORY", "is not set and TARGET_SOURCE is directory")
    return source


def _namespaces(env: Env) -> tuple[str, ...]:
    namespaces = env.elements(
        "K8S_NAMESPACE",
        "",
        "Namespaces to read, one or several separated by commas, or * for all; unset: the pod's own, else default",
    )
    for one in namespaces:
        if one != "*" and not DNS_LABEL.fullmatch(one):
            name = "1 to 63 of a-z, 0-9 and -, with a letter or digit at both ends"
            env.fault("K8S_NAMESPACE", f"has {part(one)}, which is neither * nor a namespace: {name}")
    return tuple(namespaces)


def build(settings: Settings, clock: Clock, _: Before) -> Source[Target] | None:
    """The source these settings name; None when targets are off."""
    if settings.source == "kubernetes":
        from alert_refresh.targets.kubernetes.source import KubernetesSource

        return KubernetesSource(settings, clock)
    if settings.source == "directory":
        from alert_refresh.targets.folder.source import DirectorySource

        return DirectorySource(settings, clock)
    return None


KIND = Kind(
    name="targets",
    prefix=PREFIX,
    error_types=(
        "network", "timeout", "dns", "tls", "auth", "k8s_api", "parse",
        "validate", "config", "storage", "too_large", "unknown",
    ),
    stale_since=lambda target: target.stale_since,
    protection=PROTECTION,
    read=read,
    build=build,
    enable_hint="set TARGET_DIRECTORY to a folder of Secret manifests, or KUBECONFIG, or run in a pod; "
    "TARGET_SOURCE=off keeps them off",
    gates_readiness=True,
    metrics="alert_refresh.targets.metrics:TargetMetrics",
    keep="alert_refresh.targets.keep:TargetCodec",
    blueprint="alert_refresh.web.targets.routes:build",
    plan="alert_refresh.web.targets.fields:compared",
)  # fmt: skip
