"""Every setting with its default and what it means, for people: the help of `serve` shows this list as it is.

Tests hold README.md, the env file and the code that reads the settings against it.
"""

from __future__ import annotations

from typing import Final

SETTINGS: Final[dict[str, dict[str, tuple[str, str]]]] = {
    "Server": {
        "ALERT_REFRESH_BIND": (
            "127.0.0.1:8080",
            "Address and port to listen on; anything but loopback needs an admin token",
        ),
        "ALERT_REFRESH_THREADS": ("32", "Threads that answer HTTP requests"),
        "ALERT_REFRESH_SHUTDOWN_TIMEOUT": (
            "25s",
            "How long a running refresh may take to finish when the daemon is told to stop",
        ),
        "ALERT_REFRESH_LOG_LEVEL": ("INFO", "DEBUG, INFO, WARNING or ERROR"),
        "ALERT_REFRESH_LOG_FORMAT": ("json", "json, or console for people"),
        "ALERT_REFRESH_DEBUG_SAMPLE": ("0.1", "Share of requests whose DEBUG lines are kept, from 0 to 1"),
        "ALERT_REFRESH_ADMIN_TOKEN": ("", "Bearer token that every POST but rules/match needs"),
        "ALERT_REFRESH_ADMIN_TOKEN_FILE": (
            "",
            "File that holds the admin token, one per line, read again when it changes",
        ),
        "ALERT_REFRESH_READ_TOKEN": ("", "Bearer token that ?reveal=true needs (the admin token does too)"),
        "ALERT_REFRESH_READ_TOKEN_FILE": (
            "",
            "File that holds the read token, one per line, read again when it changes",
        ),
        "ALERT_REFRESH_ALLOW_UNAUTHENTICATED": ("false", "Let anyone refresh, on any address, without a token"),
        "ALERT_REFRESH_TRUSTED_PROXIES": (
            "",
            "Networks of the proxies whose X-Forwarded-For and X-Forwarded-Proto are believed, separated by commas; "
            "unset: nobody's",
        ),
        "ALERT_REFRESH_STATE_DIR": (
            "",
            "Folder for what is kept across restarts; unset: $STATE_DIRECTORY, which systemd sets, else nothing is "
            "kept",
        ),
    },
    "Targets": {
        "TARGET_REFRESH_INTERVAL": ("5m", "Time between periodic refreshes"),
        "TARGET_REFRESH_MAX_RETRIES": ("5", "Retries after the first attempt of a refresh"),
        "TARGET_REFRESH_BASE_BACKOFF": ("30s", "First wait between attempts; each next one is twice as long"),
        "TARGET_REFRESH_MAX_BACKOFF": ("5m", "Longest wait between attempts"),
        "TARGET_REFRESH_JITTER": ("false", "Draw each wait between 0 and its length at random"),
        "TARGET_REFRESH_RATE_LIMIT": (
            "1m",
            "After an accepted manual refresh the next one is refused for so long; 0s refuses none",
        ),
        "TARGET_REFRESH_TIMEOUT": ("30s", "Longest time of one attempt, from connecting to parsing"),
        "TARGET_REFRESH_WARMUP": ("30s", "Time from the start to the first periodic refresh"),
        "TARGET_SOURCE": (
            "auto",
            "auto, kubernetes, directory or off; auto is kubernetes in a pod or with KUBECONFIG set, else directory "
            "if one is set",
        ),
        "TARGET_DIRECTORY": ("", "Folder of Secret manifests, or of mounted Secrets"),
        "K8S_NAMESPACE": (
            "",
            "Namespaces to read, one or several separated by commas, or * for all; unset: the pod's own, else default",
        ),
        "TARGET_LABEL_SELECTOR": (
            "publishing-target=true",
            "Which Secrets are targets, as a Kubernetes label selector",
        ),
        "TARGET_WATCH": ("true", "Notice changes between periodic refreshes"),
        "TARGET_URL_DENY_PRIVATE": (
            "false",
            "Refuse targets whose URL names a loopback, private or cluster-internal host",
        ),
        "KUBECONFIG": ("", "How to reach the Kubernetes API from outside a cluster"),
    },
    "Rules": {
        "RULES_FILE": ("", "File of rules: warm, YAML, JSON or JSON lines; unset: rules are off"),
        "RULES_CACHE_CAPACITY": ("10000", "Rules that are kept hot"),
        "RULES_REFRESH_ENABLED": ("true", "Refresh on a schedule; false: only when the file changes or a POST asks"),
        "RULES_REFRESH_INTERVAL": ("6h", "Time between periodic refreshes"),
        "RULES_REFRESH_ADAPTIVE": ("false", "Refresh sooner after a change or an error, and later after neither"),
        "RULES_REFRESH_ADAPTIVE_MIN": ("1m", "Shortest time between periodic refreshes that adapt"),
        "RULES_REFRESH_ADAPTIVE_MAX": ("24h", "Longest time between periodic refreshes that adapt"),
        "RULES_REFRESH_MAX_RETRIES": ("5", "Retries after the first attempt of a refresh"),
        "RULES_REFRESH_BASE_BACKOFF": ("30s", "First wait between attempts; each next one is twice as long"),
        "RULES_REFRESH_MAX_BACKOFF": ("5m", "Longest wait between attempts"),
        "RULES_REFRESH_JITTER": ("false", "Draw each wait between 0 and its length at random"),
        "RULES_REFRESH_RATE_LIMIT": (
            "1s",
            "After an accepted manual refresh the next one is refused for so long; 0s refuses none",
        ),
        "RULES_REFRESH_TIMEOUT": ("30s", "Longest time of one attempt, from reading to swapping"),
        "RULES_REFRESH_WARMUP": ("30s", "Time from the start to the first periodic refresh"),
    },
    "Views": {
        "VIEWS_DATABASE_URL": (
            "",
            "Connection string of the PostgreSQL database with the materialized views, URI or key=value; unset: "
            "views are off",
        ),
        "VIEWS_READ_URL": (
            "",
            "Connection string for the reads, which may lead through a pooler in transaction mode; unset: VIEWS_DATABASE_URL",
        ),
        "VIEWS": (
            "mv_entity_ancestors,mv_descendant_counts,mv_entity_hierarchy_stats",
            "Views to refresh, separated by commas, each NAME or SCHEMA.NAME exactly as in the catalog, in double quotes where SQL needs them",
        ),
        "VIEWS_REFRESH_ENABLED": (
            "true",
            "Start the automated service with the daemon; without it views are refreshed only when asked for",
        ),
        "VIEWS_REFRESH_INTERVAL": (
            "300s",
            "Time between periodic refreshes",
        ),
        "VIEWS_REFRESH_MAX_RETRIES": (
            "5",
            "Retries after the first attempt of a refresh; a retry takes up the failed views and what reads them",
        ),
        "VIEWS_REFRESH_BASE_BACKOFF": (
            "30s",
            "First wait between attempts; each next one is twice as long",
        ),
        "VIEWS_REFRESH_MAX_BACKOFF": (
            "5m",
            "Longest wait between attempts",
        ),
        "VIEWS_REFRESH_JITTER": (
            "false",
            "Draw each wait between 0 and its length at random",
        ),
        "VIEWS_REFRESH_RATE_LIMIT": (
            "0s",
            "After an accepted manual refresh the next one is refused for so long; 0s refuses none",
        ),
        "VIEWS_REFRESH_TIMEOUT": (
            "16m",
            "Longest time of one attempt over all views",
        ),
        "VIEWS_REFRESH_WARMUP": (
            "30s",
            "Time from the start to the first periodic refresh",
        ),
        "VIEWS_LOCK_TIMEOUT": (
            "5s",
            "Longest wait for a lock, of a refresh and of a read",
        ),
        "VIEWS_STATEMENT_TIMEOUT": (
            "5m",
            "Longest time of the refresh of one view",
        ),
        "VIEWS_POOL_MAX": (
            "5",
            "Most connections that answer reads at once",
        ),
        "VIEWS_SKIP_UNCHANGED": (
            "true",
            "Let scheduled refreshes leave a view alone while it is proven that nothing it reads has changed",
        ),
        "VIEWS_SKIP_MAX_AGE": (
            "1h",
            "Refresh a view at least this often although nothing it reads has changed; 0 never skips",
        ),
        "VIEWS_CONFIG_FILE": (
            "",
            "YAML file with settings of single views: interval or cron, skip, max_age, lock_timeout, statement_timeout, analyze",
        ),
        "VIEWS_NOTIFY_DEBOUNCE": (
            "1s",
            "Notifications on the channel alert_refresh that come within this time make one refresh",
        ),
        "VIEWS_HISTORY_RETENTION": (
            "30d",
            "How long rows of refresh_metrics are kept, in days or as a duration",
        ),
        "VIEWS_CACHE_SIZE": (
            "100000",
            "Most answers kept in memory",
        ),
        "VIEWS_CACHE_LEASE": (
            "50ms",
            "How long a daemon answers from its caches before it looks again whether they are valid; every refresh takes that much longer",
        ),
        "REDIS_URL": (
            "",
            "Redis or Valkey that daemons share answers through; unset: memory only",
        ),
    },
}
"""By what they are settings of: name, default as one would write it (empty if there is none), and a sentence without
its full stop."""
