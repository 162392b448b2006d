"""What error types and states mean, in plain words, and the section of a runbook that says what to do.

The only such table: the page reads it as JSON.
"""

from __future__ import annotations

from typing import NamedTuple


class Cause(NamedTuple):
    """A sentence, a page of `docs/` with the anchor of a section, and the word for the state if it has another."""

    sentence: str
    section: str
    label: str = ""


_TARGETS, _RULES, _VIEWS, _ALERTMANAGER, _ALERTS = (
    f"runbook-{name}.md#" for name in ("targets", "rules", "views", "alertmanager", "alerts")
)

CAUSES: dict[str, dict[str, Cause]] = {
    "targets": {
        "auth": Cause("The API server refuses the token, or a right is missing.", f"{_TARGETS}access-is-denied"),
        "network": Cause("The API server cannot be reached.", f"{_TARGETS}the-api-server-cannot-be-reached"),
        "dns": Cause("The name of the API server does not resolve.", f"{_TARGETS}the-api-server-cannot-be-reached"),
        "timeout": Cause("The source did not answer in time.", f"{_TARGETS}the-api-server-cannot-be-reached"),
        "tls": Cause("The certificate of the API server is not trusted.", f"{_TARGETS}tls-fails"),
        "k8s_api": Cause("The API server answers with an error.", f"{_TARGETS}the-answer-is-no-list-of-secrets"),
        "parse": Cause("The answer is no list of Secrets.", f"{_TARGETS}the-answer-is-no-list-of-secrets"),
        "config": Cause("The cluster's settings cannot be used.", f"{_TARGETS}the-kubeconfig-cannot-be-used"),
        "storage": Cause("The folder of manifests cannot be read.", f"{_TARGETS}the-folder-cannot-be-read"),
        "validate": Cause("What was read is not valid.", f"{_TARGETS}a-secret-is-rejected"),
        "too_large": Cause("There is more than one refresh may read.", f"{_TARGETS}too-much-to-read"),
        "unknown": Cause("The refresh ended with an unexpected error.", f"{_TARGETS}an-unexpected-error"),
    },
    "rules": {
        "storage": Cause("The file of rules cannot be read.", f"{_RULES}runbook-rules"),
        "parse": Cause("The file is damaged, or is no file of rules.", f"{_RULES}corruption"),
        "validate": Cause("At least one rule is not valid, so none was taken.", f"{_RULES}a-bad-rule"),
        "too_large": Cause("The file is larger than may be read.", f"{_RULES}slow-or-large-loads"),
        "timeout": Cause("The file could not be read in time.", f"{_RULES}slow-or-large-loads"),
        "unknown": Cause("The load ended with an unexpected error.", f"{_RULES}runbook-rules"),
    },
    "views": {
        "network": Cause("PostgreSQL cannot be reached, or takes no work now.", f"{_VIEWS}runbook-views"),
        "dns": Cause("The name of the PostgreSQL server does not resolve.", f"{_VIEWS}runbook-views"),
        "timeout": Cause("A view waited too long for a lock, or its query took too long.", f"{_VIEWS}lock-waits"),
        "auth": Cause("PostgreSQL refuses the role, or it lacks a privilege.", f"{_VIEWS}privileges"),
        "config": Cause("A view or a setting is not as it has to be.", f"{_VIEWS}runbook-views"),
        "storage": Cause("PostgreSQL lacks resources, or a view is busy elsewhere.", f"{_VIEWS}a-view-that-is-busy"),
        "parse": Cause("The query of a view fails on the data.", f"{_VIEWS}runbook-views"),
        "unknown": Cause("The refresh ended with an unexpected error.", f"{_VIEWS}runbook-views"),
    },
    "alertmanager": {
        "network": Cause("An Alertmanager cannot be reached.", f"{_ALERTMANAGER}alertmanager-is-out-of-sync"),
        "dns": Cause("The name of an Alertmanager does not resolve.", f"{_ALERTMANAGER}alertmanager-is-out-of-sync"),
        "timeout": Cause("An Alertmanager did not answer in time.", f"{_ALERTMANAGER}alertmanager-is-out-of-sync"),
        "tls": Cause("The certificate of an Alertmanager is not trusted.", f"{_ALERTMANAGER}tls-fails"),
        "auth": Cause(
            "The token for Alertmanager is missing or not accepted.",
            f"{_ALERTMANAGER}alertmanager-asks-for-a-token",
        ),
        "api": Cause("An Alertmanager answers with an error.", f"{_ALERTMANAGER}alertmanager-is-out-of-sync"),
        "config": Cause(
            "Alertmanager refuses the template, reads another file, or is not what answers.",
            f"{_ALERTMANAGER}runbook-alertmanager",
        ),
        "storage": Cause(
            "The template or the written file is not accessible.", f"{_ALERTMANAGER}the-file-cannot-be-written"
        ),
        "validate": Cause("The template cannot be used.", f"{_ALERTMANAGER}the-template"),
        "too_large": Cause("The template or an answer is larger than may be read.", f"{_ALERTMANAGER}too-much-to-read"),
        "unknown": Cause("The delivery ended with an unexpected error.", f"{_ALERTMANAGER}an-unexpected-error"),
    },
}
"""By kind and error type."""

OTHER = Cause("The refresh failed.", f"{_ALERTS}alertrefreshfailing")
"""For a kind, or an error type, that has no entry."""

STATES: dict[str, Cause] = {
    "breaker": Cause(
        "After so many failed cycles there is one attempt an interval.", f"{_ALERTS}alertrefreshbreakeropen", "failing"
    ),
    "dangling": Cause(
        "No alert is delivered to such a target.", f"{_RULES}targets-that-do-not-exist", "missing targets"
    ),
    "held": Cause("What it lacks is still served.", f"{_ALERTS}alertrefreshheld"),
    "kept": Cause("What it lacks is kept, as was decided.", f"{_ALERTS}alertrefreshheld"),
    "off": Cause(
        "Nothing is kept up to date. Each kind below says what switches it on.", "install.md#installing-alert-refresh"
    ),
    "outdated": Cause("There was no successful refresh for too long.", f"{_ALERTS}alertrefreshnosuccess"),
    "rejected": Cause(
        "No target is served from a rejected Secret.", f"{_TARGETS}a-secret-is-rejected", "some rejected"
    ),
    "restored": Cause(
        "What was good before the restart is served; no refresh has confirmed it yet.", "keep.md#after-a-restart"
    ),
    "starting": Cause("Nothing is loaded yet: the first refresh has not ended.", f"{_ALERTS}alertrefreshnosuccess"),
    "skipped": Cause("They were read and are no targets.", f"{_TARGETS}a-secret-is-not-listed-at-all"),
    "stale": Cause("The last valid version of a stale target is served.", f"{_TARGETS}a-target-is-stale", "some stale"),
    "stopped": Cause("The automated service is stopped: nothing is refreshed by schedule.", "views.md#views"),
    "stuck": Cause(
        "A thread makes no progress; if this lasts, the daemon has to be restarted.", f"{_ALERTS}alertrefreshunhealthy"
    ),
    "undeliverable": Cause(
        "What Alertmanager cannot deliver to is left out.",
        f"{_ALERTMANAGER}a-target-is-undeliverable",
        "some undeliverable",
    ),
    "unrouted": Cause(
        "What Alertmanager would refuse is left out and leads nowhere.",
        f"{_ALERTMANAGER}a-rule-is-undeliverable",
        "some undeliverable",
    ),
    "unsynced": Cause(
        "What runs is not what was rendered last.", f"{_ALERTMANAGER}alertmanager-is-out-of-sync", "out of sync"
    ),
    "unwatched": Cause(
        "The watch is not connected: a change is noticed by the next refresh only.",
        f"{_TARGETS}the-watch-is-not-connected",
        "not watched",
    ),
    "waiting": Cause(
        "Nothing is written yet; the file that is there stays.", f"{_ALERTMANAGER}nothing-is-written-after-a-start"
    ),
    "view": Cause("What was there before is still read.", f"{_ALERTS}alertrefreshviewstale", "some stale"),
}
"""What to say, and to read, in a state that is no failed refresh; the sentence suits one and many."""


def table() -> dict[str, object]:
    """The tables as the page reads them: `{"causes": {kind: {type: [sentence, section]}}, "other": [...], ...}`."""
    return {"causes": CAUSES, "other": OTHER, "states": STATES}
