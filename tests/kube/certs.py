"""Certificates for tests, made by the `openssl` command: an authority and servers it vouches for."""

from __future__ import annotations

import ssl
import subprocess
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority in a folder of its own; `ca` is the file that clients trust."""

    folder: Path

    @classmethod
    def create(cls, folder: Path) -> Authority:
        """Make a new one in that folder."""
        folder.mkdir(parents=True, exist_ok=True)
        authority = cls(folder)
        _openssl("req", "-x509", *_KEY, "-keyout", f"{folder}/ca.key", "-out", f"{folder}/ca.crt",
                 "-subj", f"/CN=test authority {folder.name}", "-days", "30",
                 "-addext", "keyUsage=critical,keyCertSign,cRLSign")  # fmt: skip
        return authority

    @property
    def ca(self) -> Path:
        return self.folder / "ca.crt"

    def server(self, name: str = "good", *, san: str = "IP:127.0.0.1,DNS:localhost", days: int = 30) -> ssl.SSLContext:
        """The context of a server whose certificate is for `san` and ends in so many days (negative: has ended)."""
        certificate, key = self.issue(name, san=san, days=days)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        return context

    def issue(self, name: str, *, san: str = "DNS:client", days: int = 30) -> tuple[Path, Path]:
        """The files of a certificate and its key."""
        base = self.folder / name
        _openssl("req", "-new", *_KEY, "-keyout", f"{base}.key", "-out", f"{base}.csr", "-subj", f"/CN={name}",
                 "-addext", f"subjectAltName={san}")  # fmt: skip
        _openssl("x509", "-req", "-in", f"{base}.csr", "-CA", f"{self.ca}", "-CAkey", f"{self.folder}/ca.key",
                 "-CAcreateserial", "-copy_extensions", "copy", "-days", str(days), "-out", f"{base}.crt")  # fmt: skip
        return self.folder / f"{name}.crt", self.folder / f"{name}.key"


def only_tls_1_0(context: ssl.SSLContext) -> ssl.SSLContext:
    """The same server, speaking nothing newer than TLS 1.0."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1
    return context


_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=30)
