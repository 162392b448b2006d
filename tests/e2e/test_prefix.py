"""The page behind nginx below a path prefix, which nginx takes off or leaves: live, with its runbooks and buttons."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.e2e.secrets import fill, put
from tests.e2e.state import headline
from tests.ports import lasting_port
from tests.process.program import ROOT, Program, eventually

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make install")
expect = playwright.expect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from playwright.sync_api import Page

    Visit = Callable[..., AbstractContextManager[Page]]

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:{ROOT}/.cache/nginx/usr/sbin")
PREFIX = "/ops/alert-refresh"
CONFIG = """
daemon off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    location {prefix}/ {{
      proxy_pass http://127.0.0.1:{upstream}{path};
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_read_timeout 75s;
    }}
  }}
}}
"""


@contextmanager
def nginx(folder: Path, upstream: int, path: str) -> Iterator[str]:
    """nginx before that port; with the path "/" it takes the prefix off, with "" it leaves it."""
    port = lasting_port()
    folder.mkdir()
    user = "user root;" if os.geteuid() == 0 else ""
    file = folder / "nginx.conf"
    file.write_text(user + CONFIG.format(folder=folder, port=port, upstream=upstream, prefix=PREFIX, path=path))
    assert NGINX is not None
    process = subprocess.Popen([NGINX, "-c", file, "-p", folder, "-e", folder / "error.log"], stderr=subprocess.DEVNULL)

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        assert eventually(listens), (folder / "error.log").read_text()
        yield f"http://127.0.0.1:{port}{PREFIX}"
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed; `make tools` fetches it")
@pytest.mark.parametrize(("path", "setting"), [("/", ""), ("", PREFIX)], ids=["taken off", "left"])
def test_the_page_is_live_below_a_prefix(tmp_path: Path, visit: Visit, path: str, setting: str) -> None:
    folder = fill(tmp_path / "targets", ["one", "two"])
    env = {"TARGET_DIRECTORY": str(folder), "TARGET_REFRESH_INTERVAL": "1h"}
    with Program(env=env | ({"ALERT_REFRESH_PATH_PREFIX": setting} if setting else {})) as program:
        program.wait_for("Targets refreshed successfully")
        with nginx(tmp_path / "nginx", program.port, path) as base, visit("about:blank") as page:
            asked: list[str] = []
            page.on("request", lambda request: asked.append(request.url))
            page.goto(base)  # nginx leads to the address with a slash
            expect(headline(page)).to_contain_text("Everything is fresh")
            expect(page.locator("#live")).to_have_text("Live")
            put(folder, "newcomer")
            expect(page.get_by_role("button", name="newcomer")).to_be_visible()
            page.get_by_role("button", name="Refresh targets").click()
            expect(page.locator("#toast")).to_contain_text("Targets: refreshed")
            put(folder, "newcomer", url="x")
            page.locator("#advice").get_by_role("link", name="What to do").click()
            expect(page.locator(":target")).to_have_text("A target is stale")
            page.get_by_role("link", name="Back to the status page").click()
            expect(headline(page)).to_contain_text("Not fresh: targets (1 stale since ")
            assert [url for url in asked if not url.startswith(base)] == []
