"""The exit statuses of every command; the table in docs/cli.md has the same rows."""

from __future__ import annotations

OK = 0
BAD = 1
"""It was done, and the result is not good: a fault was found, a refresh failed, a kind is not healthy."""
USAGE = 2
"""The command line, a setting or a named file cannot be used."""
NO_ANSWER = 3
"""The daemon did not answer in time, or what answered is not alert-refresh, or not at this path."""
NOT_ALLOWED = 4
"""The token is missing, wrong, or does not allow this."""
NOT_FOUND = 5
"""There is nothing of this name or id, or nothing with this proposal is held any more."""
NOT_NOW = 6
"""Refused for the moment, or not over in time; the message says when to try again, or how to switch the kind on."""
INTERRUPTED = 130
"""By Ctrl-C: 128 and the number of SIGINT."""
BROKEN_PIPE = 141
"""What reads standard output has ended: 128 and the number of SIGPIPE, as for `yes | head`."""
