"""Files of other people's servers: small ones read, addresses checked before GDAL reads them.

A server may redirect a request, or have a name that resolves, to an address behind the user's firewall. So each host is
resolved here, all its addresses are checked, and the connection goes to an address that was checked.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from tiler.errors import BadSource, StoreError, shown

Address = IPv4Address | IPv6Address
Permit = Callable[[Address], bool]

LARGEST = 1 << 26  # bytes of a list
CHUNK = 1 << 16  # bytes read at once
HOPS = 5  # redirects to follow
TRIED = 4  # addresses of a host to try
SILENCE = 30.0  # seconds without a byte
REDIRECTS = {301, 302, 303, 307, 308}
LONGEST = 120.0  # seconds until the whole answer must have arrived
PORTS = {"http": 80, "https": 443}
NAT64 = int(IPv6Address("64:ff9b::"))  # its last 32 bits are an IPv4 address
FIRST = {"Range": "bytes=0-0"}  # signed URLs allow GET only
DOWNLOAD = "download the list, and give the file"


class Fetched(NamedTuple):
    """A file of a server: the address that answered, after all redirects, and its bytes."""

    url: str
    data: bytes


def public(address: Address) -> bool:
    """Whether anyone may reach an address: not private, loopback, link-local, reserved or multicast.

    An IPv6 address that contains one of IPv4 is as public as that.
    """
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if inner is None and int(address) >> 32 == NAT64 >> 32:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return public(inner)
    return address.is_global and not address.is_multicast and not address.is_reserved


@dataclass(frozen=True, slots=True)
class Web:
    """Requests to servers at addresses that `permit` allows, for the list `source`, which errors name."""

    source: str
    permit: Permit = public

    def fetch(self, url: str) -> Fetched:
        """The file at `url`, of at most LARGEST bytes.

        Raises:
            BadSource: the address or a redirect is forbidden, the server refuses, or the file is too large.
            StoreError: the server failed or does not answer.
        """
        deadline = time.monotonic() + LONGEST
        url, answer = self._followed(url, {})
        with closing(answer):
            if answer.status >= 500 or answer.status == 429:
                raise StoreError("read", url, f"the server answers {answer.status}")
            if answer.status != 200:
                raise BadSource(self.source, f"the server answers {answer.status}: check the address, or {DOWNLOAD}")
            data = bytearray()
            while chunk := self._chunk(url, answer):
                data += chunk
                if len(data) > LARGEST:
                    raise BadSource(self.source, f"it is larger than {LARGEST >> 20} MB: split it")
                if time.monotonic() > deadline:
                    raise StoreError("read", url, f"it took longer than {LONGEST:.0f} seconds")
            if answer.length:
                raise StoreError("read", url, "the connection broke")
            return Fetched(url, bytes(data))

    def _chunk(self, url: str, answer: HTTPResponse) -> bytes:
        try:
            return answer.read(CHUNK)
        except (OSError, HTTPException) as error:
            raise StoreError("read", url, _reason(error)) from error

    def check(self, url: str) -> None:
        """Ask for a byte of `url`, and check each address on the way to it; the server may refuse or lack it.

        Raises:
            BadSource: the address or a redirect is forbidden.
            StoreError: the server does not answer.
        """
        self.head(url)

    def head(self, url: str) -> tuple[int, Message]:
        """The status and the headers of the answer to a request for the first byte of `url`.

        Raises:
            BadSource: the address or a redirect is forbidden.
            StoreError: the server does not answer.
        """
        with closing(self._followed(url, FIRST)[1]) as answer:
            return answer.status, answer.headers

    def _followed(self, url: str, headers: dict[str, str]) -> tuple[str, HTTPResponse]:
        """The last address and its answer, after at most HOPS redirects."""
        for _ in range(HOPS + 1):
            answer = self._asked(url, headers)
            target = answer.getheader("Location") if answer.status in REDIRECTS else None
            if not target:
                return url, answer
            answer.close()
            before, url = url, urljoin(url, target)
            if not url.startswith(("https://", "http://") if before.startswith("http://") else "https://"):
                raise BadSource(self.source, f"{shown(before)} redirects to {shown(url)}, not to https: {DOWNLOAD}")
        raise BadSource(self.source, f"it redirects more than {HOPS} times: {DOWNLOAD}")

    def _asked(self, url: str, headers: dict[str, str]) -> HTTPResponse:
        """The answer to one request; its body is not read yet."""
        parts, port = self._parts(url)
        target = quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), safe="/%?&=+~:;,@!$'()*[]")
        headers = {"Host": parts.netloc, "Accept-Encoding": "identity", "Connection": "close", **headers}
        fault: Exception | None = None
        for address in self._addresses(parts.hostname or "", port, url)[:TRIED]:
            connection = _connection(parts, address, port)
            try:
                connection.request("GET", target, headers=headers)
                answer = connection.getresponse()
            except (OSError, HTTPException) as error:
                connection.close()
                fault = error
                continue
            if connection.sock:  # stays open until the answer is closed
                connection.sock.close()
            return answer
        raise StoreError("read", url, _reason(fault)) from fault

    def _parts(self, url: str) -> tuple[SplitResult, int]:
        """The parts of an address, and its port."""
        try:
            parts = urlsplit(url)
            port = parts.port or PORTS[parts.scheme]
            if parts.username is not None or parts.password is not None:
                raise BadSource(self.source, f"{shown(url)} has a user name in it: {DOWNLOAD}")
            return parts._replace(netloc=parts.netloc.encode("idna").decode()), port
        except (KeyError, ValueError):  # also of a name that is no host's
            raise BadSource(self.source, f"{shown(url)} is not a valid address: start it with https://") from None

    def _addresses(self, host: str, port: int, url: str) -> list[Address]:
        """The addresses of a host, all of them allowed.

        Raises:
            BadSource: there is none, or one is forbidden.
        """
        try:
            infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found = list(dict.fromkeys(ip_address(str(info[4][0]).partition("%")[0]) for info in infos))
        except (OSError, ValueError):  # also of a name that is no host's
            raise BadSource(self.source, f"there is no host {host!r}: check the address {shown(url)}") from None
        forbidden = next((each for each in found if not self.permit(each)), None)
        if forbidden:
            raise BadSource(
                self.source,
                f"{shown(url)} leads to {forbidden}, an address of a private network: {DOWNLOAD}, and what it names",
            )
        return found


def _connection(parts: SplitResult, address: Address, port: int) -> HTTPConnection:
    """A connection to one address of a host, which must prove its name."""
    if parts.scheme == "http":
        return HTTPConnection(str(address), port, timeout=SILENCE)
    return _Proven(str(address), port, parts.hostname or "")


class _Proven(HTTPSConnection):
    """A connection to an address whose certificate is for `name`."""

    def __init__(self, address: str, port: int, name: str) -> None:
        self._secure = ssl.create_default_context()
        self._name = name
        super().__init__(address, port, timeout=SILENCE, context=self._secure)

    def connect(self) -> None:
        """Connect, and check the certificate."""
        plain = socket.create_connection((self.host, self.port), SILENCE)
        try:
            self.sock = self._secure.wrap_socket(plain, server_hostname=self._name)
        except BaseException:
            plain.close()
            raise


def _reason(error: Exception | None) -> str:
    """The reason of a failed request."""
    if isinstance(error, ssl.SSLError):
        return "its certificate is not valid"
    if isinstance(error, ConnectionRefusedError):
        return "the server refuses connections"
    return "the server does not answer" if isinstance(error, TimeoutError) else "the connection broke"
