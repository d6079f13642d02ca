"""Remote lists: no file of this disk, no private network, no signed address in sight."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.sources import collection, item, refusal
from tests.support.wanderer import Wanderer, wandering
from tiler.errors import BadSource, SourceReadError, StoreError, shown, without_queries
from tiler.raster.datasets import opened
from tiler.scenes import web
from tiler.scenes.expand import expand
from tiler.scenes.scene import Listed
from tiler.scenes.web import Address, public

TIFF = "image/tiff"


@pytest.fixture(scope="module")
def running() -> Iterator[Wanderer]:
    with wandering() as server:
        yield server


@pytest.fixture
def server(running: Wanderer) -> Wanderer:
    running.answers.clear()
    running.requests.clear()
    running.cut = False
    return running


def here(address: Address) -> bool:
    """Allow the test's server, which no one else may."""
    return public(address) or str(address) == "127.0.0.1"


def scenes(url: str, **options: Any) -> tuple[Listed, ...]:
    """The scenes of a list of the test's server."""
    return expand([url], permit=here, **options)


def test_items_of_a_server_are_scenes(server: Wanderer) -> None:
    server.set("/a/b.tif", b"x")
    url = server.set("/a/items.json", collection(item(data="b.tif"), item(data="s3://bucket/c.tif")))
    date = "2026-05-01T10:00:00Z"
    first, second = f"{server.url}/a/b.tif", "s3://bucket/c.tif"
    assert scenes(url) == (Listed(first, first, date, strange=True), Listed(second, second, date))
    assert server.requests == ["/a/items.json", "/a/b.tif"]


def test_a_relative_href_is_resolved_against_the_item_or_else_the_last_address(server: Wanderer) -> None:
    target = server.set(
        "/b/list.json", collection(item(data="c.tif"), item(self=f"{server.url}/i/one", data="./d.tif"))
    )
    assert [each.path for each in scenes(server.set("/a.json", target))] == [
        f"{server.url}/b/c.tif",
        f"{server.url}/i/d.tif",
    ]


def test_an_index_of_a_server_is_a_list(server: Wanderer) -> None:
    feature = {"type": "Feature", "properties": {"location": "a b.tif", "date": "2026-05-01"}}
    url = f"{server.url}/a b.tif"
    assert scenes(server.set("/index.geojson", collection(feature))) == (
        Listed(url, url.replace(" ", "%20"), "2026-05-01", strange=True),
    )


@pytest.mark.parametrize("path", ["/collections/x/items", "/collections/x/items/S2A.1", "/api/search"])
def test_an_api_gives_all_its_pages(server: Wanderer, path: str) -> None:
    last = collection(item(data="/c.tif"), links=[{"rel": "next", "href": "/empty"}])
    server.set("/page", last)
    server.set("/empty", collection(links=[]))
    url = server.set(path, collection(item(data="/a.tif"), links=[{"rel": "next", "href": "/page?token=2"}]))
    assert [each.path for each in scenes(f"{url}?limit=1")] == [f"{server.url}/a.tif", f"{server.url}/c.tif"]


@pytest.mark.parametrize("link", [{"href": "/search", "method": "POST"}, {"href": "/items.json"}, {}])
def test_pages_that_cannot_be_read_are_told(server: Wanderer, link: dict[str, str]) -> None:
    url = server.set("/items.json", collection(item(data="/a.tif"), links=[{"rel": "next", **link}]))
    assert "limit" in refusal(url, permit=here)


def test_a_signed_address_is_read_and_never_shown(server: Wanderer) -> None:
    signed = f"{server.url}/a.tif?sig=SECRET%2F1&se=2"
    url = server.set("/items.json", item(data={"href": signed, "type": TIFF}))
    (scene,) = scenes(f"{url}?token=TOKEN")
    assert (scene.address, scene.path) == (f"{server.url}/a.tif", signed)
    assert server.requests == ["/items.json?token=TOKEN", "/a.tif?sig=SECRET%2F1&se=2"]
    server.set("/items.json", 403)
    assert "TOKEN" not in refusal(f"{url}?token=TOKEN", permit=here)


# What a remote list may not name


@pytest.mark.parametrize(
    "name",
    [
        *("file:///etc/passwd", "/vsis3/bucket/a.tif", "/vsicurl/https://example.com/a.tif"),
        *("gs://bucket/a.tif", "ftp://example.com/a.tif", "vrt:///etc/a.tif", "s3:///a.tif", "zip+https://x.org/a.zip"),
        *('NETCDF:"/etc/a.nc":v', "<VRTDataset/>", "C:\\a.tif", "//169.254.169.254/a.tif", "https://[::1]/a.tif"),
        *("https://127.0.0.2/a.tif", "https://10.0.0.1/a.tif", "https://169.254.169.254/latest", "https://2130706434/"),
        *("https://user:pass@example.com/a.tif", "https:///a.tif", "https://no such host/a.tif", "https://[/a.tif"),
        *("https://127.0.0.1.nip.invalid/a.tif", "http://[::ffff:10.0.0.1]/a.tif", "https://x.org:99999/a.tif"),
    ],
)
@pytest.mark.parametrize("trusted", [False, True])
def test_a_remote_list_names_no_file_here_and_no_private_host_even_if_trusted(
    server: Wanderer, name: str, trusted: bool
) -> None:
    server.set("/items.json", item(data={"href": name, "type": TIFF}))
    url = f"{server.url}/items.json"
    message = refusal(url, permit=here, trusted=trusted)
    assert "user:" not in message
    assert server.requests == ["/items.json"]


def test_a_path_in_a_remote_list_is_one_of_its_server(server: Wanderer) -> None:
    url = server.set("/items.json", item(data={"href": "/etc/passwd", "type": TIFF}))
    assert [each.path for each in scenes(url)] == [f"{server.url}/etc/passwd"]


@pytest.mark.parametrize(
    "target",
    [
        *("http://169.254.169.254/latest/meta-data/iam/?sig=SECRET", "http://[::1]/", "http://10.1.2.3/a.tif"),
        *("file:///etc/passwd", "ftp://example.com/a.tif", "gopher://127.0.0.1/", "//localhost.localdomain.invalid/"),
    ],
)
def test_no_redirect_leads_into_a_private_network(server: Wanderer, target: str) -> None:
    """Neither that of a list, nor that of a raster that it names."""
    listed = server.set("/list.json", target)
    server.set("/a.tif", server.set("/b.tif", target))
    rasters = server.set("/items.json", item(data="/a.tif"))
    for url, asked in ((listed, ["/list.json"]), (rasters, ["/items.json", "/a.tif", "/b.tif"])):
        server.requests.clear()
        assert "SECRET" not in refusal(url, permit=here)
        assert server.requests == asked


def test_the_loopback_is_private(server: Wanderer) -> None:
    url = server.set("/items.json", item(data="https://example.com/a.tif"))
    message = refusal(url)
    assert "leads to 127.0.0.1, an address of a private network: download the list" in message
    assert server.requests == []


def test_a_host_is_refused_if_one_of_its_addresses_is_private(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [(0, 0, 0, "", (each, 443)) for each in ("93.184.216.34", "10.0.0.1")]
    monkeypatch.setattr(web.socket, "getaddrinfo", lambda *_args, **_more: answers)
    assert "leads to 10.0.0.1" in refusal("https://example.com/items.json")


def test_a_name_is_resolved_once_for_a_request(server: Wanderer, monkeypatch: pytest.MonkeyPatch) -> None:
    """So it cannot lead elsewhere when the connection is made."""
    port = int(server.url.rpartition(":")[2])
    asked: list[str] = []
    real = web.socket.getaddrinfo

    def resolve(host: str, *args: Any, **more: Any) -> Any:
        asked.append(host)
        return real("127.0.0.1" if host == "rebinding.example" else host, *args, **more)

    monkeypatch.setattr(web.socket, "getaddrinfo", resolve)
    server.set("/items.json", item(data="s3://bucket/a.tif"))
    assert len(expand([f"http://rebinding.example:{port}/items.json"], permit=here)) == 1
    assert asked.count("rebinding.example") == 1


@pytest.mark.parametrize(
    "address",
    [
        *(
            "127.0.0.1",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
        ),
        *("::1", "::", "fe80::1", "fc00::1", "fd00:ec2::254", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "ff02::1"),
        *("64:ff9b::a9fe:a9fe", "64:ff9b::127.0.0.1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "255.255.255.255"),
        *("240.0.0.1", "192.0.2.1", "198.18.0.1", "2001:db8::1"),
    ],
)
def test_no_private_address_is_public(address: str) -> None:
    assert not public(ip_address(address))


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:4700::6810:84e5", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"])
def test_others_are_public(address: str) -> None:
    assert public(ip_address(address))


# Servers that fail


def test_too_many_redirects_are_told(server: Wanderer) -> None:
    assert "redirects more than 5 times" in refusal(server.set("/a.json", f"{server.url}/a.json"), permit=here)


@pytest.mark.parametrize("status", [404, 403, 204])
def test_a_refusal_is_told(server: Wanderer, status: int) -> None:
    assert f"the server answers {status}: check the address" in refusal(server.set("/a.json", status), permit=here)


def test_a_failure_may_pass(server: Wanderer) -> None:
    with pytest.raises(StoreError, match=r"cannot read http://[^?]*/a.json: the server answers 503"):
        scenes(f"{server.set('/a.json', 503)}?sig=SECRET")


def test_a_server_that_is_not_there_is_told() -> None:
    with pytest.raises(StoreError, match=r"cannot read http://127.0.0.1:1/a.json: the server refuses connections"):
        scenes("http://127.0.0.1:1/a.json?sig=SECRET")


def test_a_list_has_a_largest_size(server: Wanderer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "LARGEST", 1000)
    url = server.set("/a.json", b" " * 100_000)
    with pytest.raises(BadSource, match="larger than"):
        scenes(url)


def test_another_kind_of_file_is_told(server: Wanderer) -> None:
    assert "not readable JSON" in refusal(server.set("/a.json", b"<html>"), permit=here)
    assert "a STAC Collection without items" in refusal(server.set("/b.json", {"type": "Collection"}), permit=here)


def test_a_connection_that_breaks_is_told(server: Wanderer) -> None:
    url = server.set("/a.json", b'{"type": "Feature"}')
    server.cut = True
    with pytest.raises(StoreError, match="the connection broke"):
        scenes(url)


# Certificates


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Wanderer, Path]]:
    """A server by https whose certificate is for maps.example, and the file of that."""
    file = tmp_path_factory.mktemp("certificate") / "maps.pem"
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "maps.example")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1).not_valid_before(
        datetime(2020, 1, 1, tzinfo=UTC)
    )
    builder = builder.not_valid_after(datetime(2100, 1, 1, tzinfo=UTC))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("maps.example")]), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(encoding) + private)
    secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    secure.load_cert_chain(file)
    with wandering(secure, "maps.example") as server:
        yield server, file


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that end in `.example` are this machine's."""
    real = web.socket.getaddrinfo

    def resolve(host: str, *args: Any, **more: Any) -> Any:
        return real("127.0.0.1" if host.endswith(".example") else host, *args, **more)

    monkeypatch.setattr(web.socket, "getaddrinfo", resolve)


@pytest.mark.usefixtures("named")
def test_a_server_must_prove_its_name(certified: tuple[Wanderer, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    server, file = certified
    url = server.set("/a.json", item(data="s3://bucket/a.tif"))
    with pytest.raises(StoreError, match="its certificate is not valid"):
        scenes(url)
    trusting = ssl.create_default_context(cafile=file)
    monkeypatch.setattr(ssl, "create_default_context", lambda: trusting)
    assert [each.path for each in scenes(url)] == ["s3://bucket/a.tif"]
    with pytest.raises(StoreError, match="its certificate is not valid"):
        scenes(url.replace("maps.example", "other.example"))


@pytest.mark.usefixtures("named")
def test_https_never_leads_to_http(
    certified: tuple[Wanderer, Path], server: Wanderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    secure, file = certified
    trusting = ssl.create_default_context(cafile=file)
    monkeypatch.setattr(ssl, "create_default_context", lambda: trusting)
    plain = server.set("/a.json", item(data="s3://bucket/a.tif"))
    assert "not to https" in refusal(secure.set("/b.json", plain), permit=here)
    assert "neither https:// nor s3://" in refusal(secure.set("/c.json", item(data=f"{server.url}/a.tif")), permit=here)
    assert server.requests == []


# Addresses to show


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("https://x.org/a.tif?sig=SECRET", "https://x.org/a.tif"),
        ("https://user:SECRET@x.org/a.tif#SECRET", "https://x.org/a.tif"),
        ("/vsicurl/https://x.org/a.tif?sig=SECRET", "/vsicurl/https://x.org/a.tif"),
        ("/vsicurl?url=https%3A%2F%2Fx.org%2FSECRET", "/vsicurl"),
        ('NETCDF:"https://x.org/a.nc?sig=SECRET":v', 'NETCDF:"https://x.org/a.nc'),
        ("vrt:///vsicurl/https://x.org/a.tif?sig=SECRET", "vrt:///vsicurl/https://x.org/a.tif"),
        ("vrt://a.tif?bands=1", "vrt://a.tif?bands=1"),
        ("s3://KEY:SECRET@bucket/a.tif", "s3://bucket/a.tif"),
        ("s3://bucket/what?.tif", "s3://bucket/what?.tif"),
        ("/data/what?.tif", "/data/what?.tif"),
        ("/data/@a#1.tif", "/data/@a#1.tif"),
    ],
)
def test_an_address_is_shown_without_its_query_and_credentials(name: str, address: str) -> None:
    assert shown(name) == address
    for error in (
        BadSource(name, f"no {name}: try"),
        SourceReadError(name, f"'{name}'"),
        StoreError("read", name, name),
    ):
        assert "SECRET" not in str(error)
        assert address in str(error)


def test_a_text_keeps_what_is_no_query() -> None:
    text = "cannot open 'https://x.org/a.tif?sig=SECRET', https://x.org/b?c: HTTP 403 (/vsicurl/https://x?SECRET). Why?"
    assert (
        without_queries(text)
        == "cannot open 'https://x.org/a.tif', https://x.org/b: HTTP 403 (/vsicurl/https://x). Why?"
    )
    assert without_queries("sig=SECRET was refused", "https://x.org/a?sig=SECRET") == "... was refused"
    assert without_queries("is a vrt://a.tif?bands=1 fine?") == "is a vrt://a.tif?bands=1 fine?"


def test_gdals_message_has_no_query() -> None:
    with pytest.raises((SourceReadError, StoreError)) as caught:
        opened("https://127.0.0.1:1/a.tif?sig=SECRET")
    assert "SECRET" not in str(caught.value)
