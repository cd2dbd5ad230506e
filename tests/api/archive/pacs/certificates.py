"""Certificates of authorities, servers and clients, made by openssl for one run of the tests."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Pair:
    """A certificate with its key, each in a file, and both in a third."""

    certificate: Path
    key: Path

    @property
    def together(self) -> Path:
        joined = self.certificate.with_suffix(".together.pem")
        joined.write_bytes(self.certificate.read_bytes() + self.key.read_bytes())
        return joined


class Authority:
    """A certificate authority in `folder`, which signs certificates for names on this machine."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.name = name
        key, self.ca_file = folder / f"{name}.key", folder / f"{name}.pem"
        _openssl("req", "-x509", *_NEW_KEY, str(key), "-out", str(self.ca_file), "-subj", f"/CN={name}")
        self._key = key

    def sign(self, name: str, host: str = "127.0.0.1", days: int = 2) -> Pair:
        """A certificate for `host`, an address or a name, that clients may show as well; one of no days has
        expired.
        """
        stem = self.folder / f"{self.name}-{name}"
        key, request, made = (Path(f"{stem}{ending}") for ending in (".key", ".csr", ".pem"))
        _openssl("req", *_NEW_KEY, str(key), "-out", str(request), "-subj", f"/CN={name}")
        kind = "IP" if host.replace(".", "").isdigit() else "DNS"
        extensions = Path(f"{stem}.ext")
        extensions.write_text(f"subjectAltName={kind}:{host}\nextendedKeyUsage=serverAuth,clientAuth\n")
        signing = ["x509", "-req", "-in", str(request), "-CA", str(self.ca_file), "-CAkey", str(self._key)]
        signing += ["-CAcreateserial", "-days", str(days), "-extfile", str(extensions), "-out", str(made)]
        _openssl(*signing)
        return Pair(made, key)


_NEW_KEY = ("-newkey", "rsa:2048", "-nodes", "-keyout")


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60)
