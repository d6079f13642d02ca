"""A server over TLS, with a certificate that it signed itself."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.e2e.wire import Exchange, Server


class TlsServer(Server):
    """A server that speaks TLS; handshakes happen in the thread of their connection."""

    def __init__(self, answer: Callable[[Exchange], None], context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__(answer)

    def get_request(self) -> Any:
        """The next connection."""
        connection, address = super().get_request()
        return self._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

    def handle_error(self, *connection: Any) -> None:
        """Pass over clients that do not trust the certificate, or leave in the middle."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(*connection)


def certificate(folder: Path, host: str) -> ssl.SSLContext:
    """A server's context for `host`; its key and certificate, which clients may trust, are `host`.pem in `folder`."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file = folder / f"{host}.pem"
    file.write_bytes(secret + made.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context
