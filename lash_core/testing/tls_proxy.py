"""TLS in front of a server that does not speak it, so that certificate checks are tested against a real handshake."""

from __future__ import annotations

import ssl
from pathlib import Path

from lash_core.testing.fault_proxy import FaultProxy


class TlsProxy(FaultProxy):
    """A fault proxy that speaks TLS to its clients.

    Args:
        upstream: path of a unix socket, or a port of 127.0.0.1.
        certificate: PEM file with the chain of the server's certificate.
        key: PEM file with its private key.
    """

    def __init__(self, upstream: Path | int, *, certificate: Path, key: Path) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        super().__init__(upstream, tls=context)
