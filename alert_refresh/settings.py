"""What each setting means, in the one place that the help, the README and the env file are held against."""

from __future__ import annotations

from typing import Final

MEANINGS: Final[dict[str, dict[str, str]]] = {
    "Server": {
        "ALERT_REFRESH_BIND": "Address and port to listen on; anything but loopback needs an admin token",
        "ALERT_REFRESH_THREADS": "Threads that answer HTTP requests",
        "ALERT_REFRESH_SHUTDOWN_TIMEOUT": "How long a running refresh may take to finish when the daemon is told to "
        "stop",
        "ALERT_REFRESH_LOG_LEVEL": "DEBUG, INFO, WARNING or ERROR",
        "ALERT_REFRESH_LOG_FORMAT": "json, or console for people",
        "ALERT_REFRESH_DEBUG_SAMPLE": "Share of requests whose DEBUG lines are kept, from 0 to 1",
        "ALERT_REFRESH_ADMIN_TOKEN": "Bearer token that every POST but rules/match needs",
        "ALERT_REFRESH_ADMIN_TOKEN_FILE": "File that holds the admin token, one per line, read again when it changes",
        "ALERT_REFRESH_READ_TOKEN": "Bearer token that ?reveal=true needs (the admin token does too)",
        "ALERT_REFRESH_READ_TOKEN_FILE": "File that holds the read token, one per line, read again when it changes",
        "ALERT_REFRESH_ALLOW_UNAUTHENTICATED": "Let anyone refresh, on any address, without a token",
        "ALERT_REFRESH_STATE_DIR": "Folder for what is kept across restarts; unset: $STATE_DIRECTORY, which systemd "
        "sets, else nothing is kept",
    },
    "Targets": {
        "TARGET_REFRESH_INTERVAL": "Time between periodic refreshes",
        "TARGET_REFRESH_MAX_RETRIES": "Retries after the first attempt of a refresh",
        "TARGET_REFRESH_BASE_BACKOFF": "First wait between attempts; each next one is twice as long",
        "TARGET_REFRESH_MAX_BACKOFF": "Longest wait between attempts",
        "TARGET_REFRESH_JITTER": "Draw each wait between 0 and its length at random",
        "TARGET_REFRESH_RATE_LIMIT": "After an accepted manual refresh the next one is refused for so long; 0s refuses "
        "none",
        "TARGET_REFRESH_TIMEOUT": "Longest time of one attempt, from connecting to parsing",
        "TARGET_REFRESH_WARMUP": "Time from the start to the first periodic refresh",
        "TARGET_SOURCE": "auto, kubernetes, directory or off; auto is kubernetes in a pod or with KUBECONFIG set, else "
        "directory if one is set",
        "TARGET_DIRECTORY": "Folder of Secret manifests, or of mounted Secrets",
        "K8S_NAMESPACE": "Namespaces to read, one or several separated by commas, or * for all; unset: the pod's own, "
        "else default",
        "TARGET_LABEL_SELECTOR": "Which Secrets are targets, as a Kubernetes label selector",
        "TARGET_WATCH": "Notice changes between periodic refreshes",
        "TARGET_URL_DENY_PRIVATE": "Refuse targets whose URL names a loopback, private or cluster-internal host",
        "KUBECONFIG": "How to reach the Kubernetes API from outside a cluster",
    },
    "Rules": {
        "RULES_FILE": "File of rules: warm, YAML, JSON or JSON lines; unset: rules are off",
        "RULES_CACHE_CAPACITY": "Rules that are kept hot",
        "RULES_REFRESH_ENABLED": "Refresh on a schedule; false: only when the file changes or a POST asks",
        "RULES_REFRESH_INTERVAL": "Time between periodic refreshes",
        "RULES_REFRESH_ADAPTIVE": "Refresh sooner after a change or an error, and later after neither",
        "RULES_REFRESH_ADAPTIVE_MIN": "Shortest time between periodic refreshes that adapt",
        "RULES_REFRESH_ADAPTIVE_MAX": "Longest time between periodic refreshes that adapt",
        "RULES_REFRESH_MAX_RETRIES": "Retries after the first attempt of a refresh",
        "RULES_REFRESH_BASE_BACKOFF": "First wait between attempts; each next one is twice as long",
        "RULES_REFRESH_MAX_BACKOFF": "Longest wait between attempts",
        "RULES_REFRESH_JITTER": "Draw each wait between 0 and its length at random",
        "RULES_REFRESH_RATE_LIMIT": "After an accepted manual refresh the next one is refused for so long; 0s refuses "
        "none",
        "RULES_REFRESH_TIMEOUT": "Longest time of one attempt, from reading to swapping",
        "RULES_REFRESH_WARMUP": "Time from the start to the first periodic refresh",
    },
    "Views": {
        "VIEWS_DATABASE_URL": "Connection string of the PostgreSQL database with the materialized views, URI or "
        "key=value; unset: views are off",
        "VIEWS": "Views to refresh, separated by commas, each NAME or SCHEMA.NAME exactly as in the catalog",
        "VIEWS_REFRESH_ENABLED": "Start the automated service with the daemon; without it views are refreshed only "
        "when asked for",
        "VIEWS_REFRESH_INTERVAL": "Time between periodic refreshes",
        "VIEWS_REFRESH_MAX_RETRIES": "Retries after the first attempt of a refresh; a retry takes up the failed views "
        "only",
        "VIEWS_REFRESH_BASE_BACKOFF": "First wait between attempts; each next one is twice as long",
        "VIEWS_REFRESH_MAX_BACKOFF": "Longest wait between attempts",
        "VIEWS_REFRESH_JITTER": "Draw each wait between 0 and its length at random",
        "VIEWS_REFRESH_RATE_LIMIT": "After an accepted manual refresh the next one is refused for so long; 0s refuses "
        "none",
        "VIEWS_REFRESH_TIMEOUT": "Longest time of one attempt over all views",
        "VIEWS_REFRESH_WARMUP": "Time from the start to the first periodic refresh",
        "VIEWS_LOCK_TIMEOUT": "Longest wait for a lock, of a refresh and of a read",
        "VIEWS_STATEMENT_TIMEOUT": "Longest time of the refresh of one view",
        "VIEWS_POOL_MAX": "Most connections that answer reads at once",
        "VIEWS_SKIP_UNCHANGED": "Let scheduled refreshes leave a view alone while nothing it reads has changed",
        "VIEWS_HISTORY_RETENTION": "How long rows of refresh_metrics are kept, in days or as a duration",
        "VIEWS_CACHE_SIZE": "Most answers kept in memory",
        "VIEWS_CACHE_LEASE": "How long a daemon answers from its caches before it looks again whether they are valid; "
        "every refresh takes that much longer",
        "REDIS_URL": "Redis or Valkey that daemons share answers through; unset: memory only",
    },
}
"""By what they are settings of; a sentence without its full stop."""


def meanings() -> dict[str, str]:
    """The meaning of each setting by its name."""
    return {name: meaning for group in MEANINGS.values() for name, meaning in group.items()}
