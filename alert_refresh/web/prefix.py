"""A path prefix that a proxy leaves in the path: `ALERT_REFRESH_PATH_PREFIX`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class PathPrefix:
    """WSGI middleware that answers below `prefix`, such as `/ops/alert-refresh`, what is answered without it too.

    The prefix alone is redirected to the one with a slash, by a relative address, since those of the page are relative.
    """

    def __init__(self, app: Wsgi, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == self._prefix:
            start_response(
                "308 Permanent Redirect", [("Location", f"{path.rpartition('/')[2]}/"), ("Content-Length", "0")]
            )
            return []
        if path.startswith(f"{self._prefix}/"):
            environ["SCRIPT_NAME"] += self._prefix
            environ["PATH_INFO"] = path.removeprefix(self._prefix)
        return self._app(environ, start_response)
