"""Reads environment variables into typed values, and collects every fault.

`daemon.py` passes in `os.environ`; no other module reads the environment. Each kind reads its own variables with it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from alert_refresh import durations, mistakes, networks
from alert_refresh.credential import MASK, Credential
from alert_refresh.engine import ConfigError, ConfigErrors, RefreshSettings
from alert_refresh.schedules import refresh_schedule
from alert_refresh.web.token_file import is_file, usable_tokens

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from alert_refresh.networks import Network

SERVICE_VARIABLE = re.compile(r"_SERVICE_HOST$|_SERVICE_PORT(_\w+)?$|_PORT$|_PORT_\d+_\w+$")
"""Variables that Kubernetes sets in every pod of a namespace for a Service whose name is one of our prefixes."""

LONGEST_SHOWN = 500
"""Characters of a value that a fault shows."""


@dataclass(frozen=True, slots=True)
class Token:
    """The source of a bearer token: its value, or a file that is read again when it changes.

    `held` are the tokens in the file at the start.
    """

    value: Credential | None = None
    file: Path | None = None
    held: tuple[Credential, ...] = ()


NOTHING: Mapping[str, str] = MappingProxyType({})

REFRESH: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "interval": ("5m", "Time between periodic refreshes"),
        "max_retries": ("5", "Retries after the first attempt of a refresh"),
        "base_backoff": ("30s", "First wait between attempts; each next one is twice as long"),
        "max_backoff": ("5m", "Longest wait between attempts"),
        "jitter": ("false", "Draw each wait between 0 and its length at random"),
        "rate_limit": ("1m", "After an accepted manual refresh the next one is refused for so long; 0s refuses none"),
        "timeout": ("30s", "Longest time of one attempt, from connecting to parsing"),
        "warmup": ("30s", "Time from the start to the first periodic refresh"),
        "breaker_failures": (
            "5",
            "Failed cycles in a row after which a cycle makes a single attempt, until one succeeds; 0 for never",
        ),
    }
)
"""The settings of a refresh that every kind has: default and meaning."""

MAX_REMOVAL = (
    "max_removal",
    "Share of at least 10 items that may be removed within one interval unconfirmed; 100% holds the removal of all "
    "only",
)
"""The setting of kinds whose items can be held, and its meaning."""


class Env:
    """Reads variables into typed values and collects every fault. An unset or empty variable is its default.

    `defaults` collects each variable that was read with the text of its default, `meanings` its description: a sentence
    without its full stop. `warnings` are about what is allowed but was probably not intended.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.faults: list[ConfigError] = []
        self.warnings: list[str] = []
        self.defaults: dict[str, str] = {}
        self.meanings: dict[str, str] = {}
        self.effective: dict[str, str] = {}

    def peek(self, name: str) -> str:
        """A variable that is not one of our settings, such as those that Kubernetes sets in a pod."""
        return self._environ.get(name, "")

    def fault(self, name: str, reason: str, value: str | None = None) -> None:
        """Note once that a variable is wrong; the value shown is the variable's own unless given, masked if it may be a
        credential.
        """
        shown = self._environ.get(name, "") if value is None else value
        found = ConfigError(name, MASK if mistakes.may_be_secret(shown) else shown[:LONGEST_SHOWN], reason)
        if str(found) not in map(str, self.faults):
            self.faults.append(found)

    def is_wrong(self, *names: str) -> bool:
        """Whether one of these variables has a fault."""
        return any(fault.field in names for fault in self.faults)

    def note(self, name: str, default: str, means: str) -> None:
        """Register a setting: the text of its default (empty without one) and its description."""
        self.defaults[name] = default
        self.meanings[name] = means

    def text(self, name: str, default: str = "", means: str = "", *, quotes: bool = False) -> str:
        """Any text. What surrounds it by mistake is a fault, and so is what it holds by mistake; `quotes` around it are
        no mistake where they are a part of it.
        """
        self.note(name, default, means)
        written = self._environ.get(name, "")
        value = mistakes.without(written, quotes=quotes)
        if written.strip() and (fault := mistakes.around(written, quotes=quotes)):
            self.fault(name, fault)
        if value and (fault := mistakes.within(value)):
            self.fault(name, fault)
            value = ""  # the default, in which nothing else is wrong
        self.effective[name] = value or default
        return value or default

    def elements(self, name: str, default: str = "", means: str = "") -> list[str]:
        """The elements of a list separated by commas; an empty one is a warning, and nothing but commas a fault."""
        text = self.text(name, default, means)
        found = [part.strip() for part in text.split(",")] if text else []
        if found and not any(found):
            self.fault(name, "has nothing between its commas")
        elif not all(found):
            self.warnings.append(f"{name} has an empty element, which is left out")
        return [one for one in found if one]

    def duration(self, name: str, default: str, means: str = "", *, zero: bool = False) -> float:
        """Seconds, from a Go-style duration such as `1m30s`; greater than 0, or `zero` allowed."""
        try:
            seconds = durations.parse(self.text(name, default, means))
        except ValueError as error:
            self.fault(name, str(error))
            return durations.parse(default)
        if seconds <= 0 and not zero:
            self.fault(name, "must be greater than 0")
        return seconds

    def integer(
        self, name: str, default: int, means: str = "", *, minimum: int = 0, maximum: int = 1_000_000_000
    ) -> int:
        """A whole number between two bounds, both included."""
        return self._integer(name, self.text(name, str(default), means), default, minimum, maximum)

    def optional_integer(self, name: str, default: int, means: str = "", *, minimum: int, maximum: int) -> int:
        """As `integer`, of a variable whose default depends on others, so that it is shown as unset."""
        text = self.text(name, means=means)
        return self._integer(name, text, default, minimum, maximum) if text else default

    def _integer(self, name: str, text: str, default: int, minimum: int, maximum: int) -> int:
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
            self.fault(name, f"is not a whole number between {minimum} and {maximum}, in the digits 0 to 9")
            return default
        if not minimum <= int(text) <= maximum:
            self.fault(name, f"must be between {minimum} and {maximum}")
            return default
        return int(text)

    def fraction(self, name: str, default: float, means: str = "") -> float:
        """A number from 0 to 1, such as `0.1`."""
        text = self.text(name, f"{default:g}", means)
        if not re.fullmatch(r"[01]|0?\.[0-9]+|1\.0+|0\.[0-9]*", text):
            self.fault(name, "is not a number from 0 to 1 such as 0.1")
            return default
        return float(text)

    def percentage(self, name: str, default: str, means: str = "") -> float:
        """A percentage from 0% to 100%, such as `50%`, as a fraction."""
        text = self.text(name, default, means)
        if not re.fullmatch(r"(?:100|[0-9]{1,2})(?:\.[0-9]+)?%", text) or float(text[:-1]) > 100:
            self.fault(name, "is not a percentage from 0% to 100%, such as 50%")
            return float(default[:-1]) / 100
        return float(text[:-1]) / 100

    def boolean(self, name: str, means: str = "", *, default: bool) -> bool:
        """`true` or `false`, in any case; also 1 and 0, yes and no, on and off."""
        text = self.text(name, str(default).lower(), means).lower()
        if text not in _BOOLEANS:
            self.fault(name, "is neither true nor false")
            return default
        return _BOOLEANS[text]

    def choice(self, name: str, default: str, options: tuple[str, ...], means: str = "") -> str:
        """One of a few words."""
        text = self.text(name, default, means)
        if text not in options:
            self.fault(name, f"is none of {', '.join(options)}{mistakes.choose(text, options)}")
            return default
        return text

    def path(self, name: str, means: str = "") -> Path | None:
        """A path, or None when unset. No shell replaces a `~`, and no URL is read."""
        text = self.text(name, "", means)
        if fault := mistakes.path(text):
            self.fault(name, fault)
        return Path(text) if text and not self.is_wrong(name) else None

    def state_directory(self) -> Path | None:
        """The folder for state that survives a restart; by default systemd's StateDirectory, None without either."""
        given = self.path(
            "ALERT_REFRESH_STATE_DIR",
            "Folder for what is kept across restarts; unset: $STATE_DIRECTORY, which systemd sets, else nothing is "
            "kept",
        )
        from_systemd = self.peek("STATE_DIRECTORY").partition(":")[0]
        return given or (Path(from_systemd) if from_systemd else None)

    def credential(self, name: str, means: str = "") -> Credential | None:
        """A secret value, never shown in faults or logs; set but empty is a fault."""
        self.note(name, "", means)
        if name not in self._environ:
            return None
        value = self._environ[name].strip()
        self.effective[name] = MASK
        fault = mistakes.token(value) if value else "is set but empty"
        if fault is None and is_file(value):
            fault = f"is the path of a file; set {name}_FILE to it"
        if fault is not None:
            self.fault(name, fault, MASK)
            return None
        return Credential(value)

    def token(self, name: str, means: str = "", file_means: str = "") -> Token | None:
        """A bearer token from `NAME`, or from the file that `NAME_FILE` names; not both."""
        value, file = self.credential(name, means), self.path(f"{name}_FILE", file_means)
        if value is not None and file is not None:
            self.fault(f"{name}_FILE", f"{name} is set too; set one of them")
        held: tuple[Credential, ...] = ()
        if file is not None:
            try:
                held = usable_tokens(file)
            except ValueError as error:
                self.fault(f"{name}_FILE", str(error))
        return Token(value, file, held) if value or file else None

    def networks(self, name: str, means: str = "") -> tuple[Network, ...]:
        """Networks or addresses, separated by commas; IPv4 networks written as IPv6 are IPv4 networks."""
        found = []
        for one in self.elements(name, "", means):
            try:
                found.append(networks.parse(one))
                if wider := networks.wider(one):
                    self.warnings.append(f"{name}: {wider}")
            except ValueError as error:
                self.fault(name, str(error))
        return tuple(found)

    def refresh(self, prefix: str, means: Mapping[str, str] = NOTHING, **defaults: str) -> RefreshSettings:
        """The settings that every kind has, under its prefix. `defaults` and `means` replace the default and the
        description in `REFRESH`, by the name of the field. `max_removal` is a setting only if it has a default.
        """
        before = len(self.faults)
        values: dict[str, Any] = {}
        for name, (default, meaning) in REFRESH.items():
            variable, said, given = prefix + name.upper(), means.get(name, meaning), defaults.get(name, default)
            if name in ("max_retries", "breaker_failures"):
                values[name] = self.integer(variable, int(given), said, maximum=1000)
            elif name == "jitter":
                values[name] = self.boolean(variable, said, default=given == "true")
            else:
                values[name] = self.duration(variable, given, said, zero=name in ("rate_limit", "warmup"))
        name, meaning = MAX_REMOVAL
        if name in defaults:
            values[name] = self.percentage(prefix + name.upper(), defaults[name], means.get(name, meaning))
        if len(self.faults) == before and values["max_backoff"] < values["base_backoff"]:
            name, base = prefix + "MAX_BACKOFF", prefix + "BASE_BACKOFF"
            self.fault(name, f"must not be less than {base}, which is {self.effective[base]}", self.effective[name])
        values |= refresh_schedule(self, prefix)
        return RefreshSettings() if len(self.faults) > before else RefreshSettings(**values)

    def finish(self, prefixes: Collection[str]) -> None:
        """Look for unknown variables; call it when everything was read. One that begins with one of the prefixes is a
        fault, and any other that is probably a misspelt setting a warning. What Kubernetes sets for a Service is none.

        Raises:
            ConfigErrors: there are faults; all of them are listed.
        """
        for name, value in sorted(self._environ.items()):
            prefix = next((one for one in prefixes if name.startswith(one)), "")
            for_service = bool(SERVICE_VARIABLE.search(name)) and not (prefix and mistakes.is_bare_port(name, value))
            if name in self.defaults or for_service:
                continue
            said = mistakes.unknown(name, self.defaults, prefix)
            if said and (not prefix or SERVICE_VARIABLE.search(name)):
                self.warnings.append(f"{name} {said}")
            elif said:
                self.fault(name, said, MASK)
        if self.faults:
            raise ConfigErrors(self.faults)


_BOOLEANS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
