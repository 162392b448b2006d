"""The Kubernetes benchmark measures what it claims, on the cluster of the kubeconfig."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from bench.kubernetes import bare, in_pages, lists, namespace, ours, peer, typed, version_of
from tests.kube import Authority, KubeServer, fill, kubeconfig

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("secure", [False, True])
def test_every_variant_reads_the_namespace_of_the_context(tmp_path: Path, secure: bool) -> None:
    authority = Authority.create(tmp_path / "tls")
    tls, ca = (authority.server(), authority.ca) if secure else (None, None)
    with KubeServer(tls=tls, tokens={"t"} if secure else None) as kube:
        fill(kube.store, 3, namespace="team")
        file = kubeconfig(tmp_path / "k", kube.url, namespace="team", ca=ca, user={"token": "t"})
        assert namespace(file) == "team"
        assert bare(file)() > 3 * 1000
        assert len(ours(file)(None).items) == typed(file)() == 3
        assert in_pages(file, 2)() > bare(file)() == in_pages(file, 3)()
        assert version_of(file).startswith("v1.")


def test_another_program_is_asked_a_line_for_a_list_and_the_server_is_watched(tmp_path: Path) -> None:
    with KubeServer() as kube:
        fill(kube.store, 3)
        file = kubeconfig(tmp_path / "k", kube.url)
        echo = f"{sys.executable} -uc 'import sys; [print(sys.argv[1]) for _ in sys.stdin]'"
        with peer(echo, file) as ask:
            assert ask() == ask() == f"{file}\n"
        found = lists(file, 2, 1, {"echo": echo}, os.getpid())
        assert found["count"] == 3
        assert {"bare", "pages", "full", "full_cpu", "typed", "peer echo", "server_pages"} <= found.keys()


@pytest.mark.parametrize("secure", [False, True])
def test_what_is_refused_is_not_measured(tmp_path: Path, secure: bool) -> None:
    authority = Authority.create(tmp_path / "tls")
    tls, ca = (authority.server(), authority.ca) if secure else (None, None)
    with KubeServer(tls=tls) as kube:
        kube.denied = {("list", "default")}
        file = kubeconfig(tmp_path / "k", kube.url, ca=ca)
        with pytest.raises(AssertionError, match="403"):
            bare(file)()
