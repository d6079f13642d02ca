"""The HTTP API in front of a function behaves as the service does."""

from __future__ import annotations

import base64
import socket
import time
from typing import Any

import pytest
import urllib3

from tests.e2e.gateway import Gateway
from tests.e2e.handlers import Canned
from tests.e2e.lambdas import FunctionError, Lambda


def test_a_request_is_an_event_of_format_2(http_client: urllib3.PoolManager) -> None:
    function = Canned({"statusCode": 204})
    with Gateway(function) as gateway:
        http_client.request(
            "GET",
            f"{gateway.url}/relief/1/2/3.png?v=1&v=2&w=a%20b",
            headers={"X-Word": "One", "User-Agent": "test", "Cookie": "a=1; b=2"},
        )
        event = function.event
        assert gateway.served == [("GET", "/relief/1/2/3.png?v=1&v=2&w=a%20b", 204)]
    assert (event["version"], event["routeKey"], event["isBase64Encoded"]) == ("2.0", "$default", False)
    assert (event["rawPath"], event["rawQueryString"]) == ("/relief/1/2/3.png", "v=1&v=2&w=a%20b")
    assert event["queryStringParameters"] == {"v": "1,2", "w": "a b"}
    assert (event["headers"]["x-word"], event["headers"]["host"]) == ("One", gateway.host)
    assert event["cookies"] == ["a=1", "b=2"]
    assert event["requestContext"]["stage"] == "$default"
    assert event["requestContext"]["http"] == {
        "method": "GET",
        "path": "/relief/1/2/3.png",
        "protocol": "HTTP/1.1",
        "sourceIp": "127.0.0.1",
        "userAgent": "test",
    }
    assert {"body", "pathParameters"} & event.keys() == set()


@pytest.mark.parametrize(
    ("decode", "path"), [(True, "//r\u00e9l/../a b?%2F.png"), (False, "//r%C3%A9l%2F../a%20b%3F%252F.png")]
)
def test_an_http_api_decodes_the_path_once_and_a_function_url_does_not(decode: bool, path: str) -> None:
    function = Canned()
    with Gateway(function, decode=decode) as gateway:
        raw(gateway.host, "GET //r%C3%A9l%2F../a%20b%3F%252F.png?x=%2F HTTP/1.1")
    assert (function.event["rawPath"], function.event["requestContext"]["http"]["path"]) == (path, path)
    assert function.event["rawQueryString"] == "x=%2F"


def raw(host: str, line: str) -> bytes:
    """The answer to a request line that no client library would send."""
    name, _, port = host.partition(":")
    with socket.create_connection((name, int(port))) as connection, connection.makefile("rb") as answer:
        connection.sendall(f"{line}\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        return answer.read()


def test_routes_choose_and_name_the_parts_of_a_path(http_client: urllib3.PoolManager) -> None:
    function = Canned()
    routes = ["GET /{layer}/{z}/{x}/{y}", "GET /{layer}/tile.json", "ANY /any/{rest+}"]
    with Gateway(function, routes=routes) as gateway:
        seen = []
        for method, path in [
            ("GET", "/relief/1/2/3.png"),
            ("GET", "/relief/tile.json"),
            ("POST", "/any/a/b"),
            ("HEAD", "/relief/tile.json"),
            ("GET", "/relief/tile.json/"),
        ]:
            function.event = {}
            status = http_client.request(method, gateway.url + path).status
            seen.append((status, function.event.get("routeKey"), function.event.get("pathParameters")))
    assert seen == [
        (200, "GET /{layer}/{z}/{x}/{y}", {"layer": "relief", "z": "1", "x": "2", "y": "3.png"}),
        (200, "GET /{layer}/tile.json", {"layer": "relief"}),
        (200, "ANY /any/{rest+}", {"rest": "a/b"}),
        (404, None, None),
        (404, None, None),
    ]


@pytest.mark.parametrize(
    ("result", "status", "kind", "body"),
    [
        ({"statusCode": 201, "body": "made"}, 201, "text/plain;charset=UTF-8", b"made"),
        (
            {"statusCode": 200, "headers": {"content-type": "image/png"}, "body": "iVBO", "isBase64Encoded": True},
            *(200, "image/png", base64.b64decode("iVBO")),
        ),
        ({"no": "status"}, 200, "application/json", b'{"no": "status"}'),
        ("plain", 200, "application/json", b"plain"),
        (None, 200, "application/json", b"null"),
    ],
)
def test_an_answer_becomes_a_response(
    http_client: urllib3.PoolManager, result: Any, status: int, kind: str, body: bytes
) -> None:
    with Gateway(Canned(result)) as gateway:
        response = http_client.request("GET", gateway.url)
    assert (response.status, response.headers["Content-Type"], response.data) == (status, kind, body)


@pytest.mark.parametrize(
    "result",
    [
        FunctionError("ValueError", "as told"),
        {"statusCode": "many"},
        {"statusCode": 200, "body": {"not": "text"}},
        {"statusCode": 200, "body": "no base64!", "isBase64Encoded": True},
        {"statusCode": 200, "headers": ["Location"]},
    ],
)
def test_an_error_or_a_malformed_answer_is_a_500(http_client: urllib3.PoolManager, result: Any) -> None:
    with Gateway(Canned(result)) as gateway:
        response = http_client.request("GET", gateway.url)
    assert (response.status, response.json()) == (500, {"message": "Internal Server Error"})


def test_a_slow_function_is_a_503_at_the_limit(http_client: urllib3.PoolManager) -> None:
    class Slow:
        def invoke(self, _event: dict[str, Any]) -> None:
            time.sleep(0.5)

    with Gateway(Slow(), limit=0.1) as gateway:
        response = http_client.request("GET", gateway.url)
    assert (response.status, response.json()) == (503, {"message": "Service Unavailable"})


def test_a_head_request_gets_the_length_and_no_body(http_client: urllib3.PoolManager) -> None:
    with Gateway(Canned({"statusCode": 200, "body": "four"})) as gateway:
        response = http_client.request("HEAD", gateway.url)
        assert (response.headers["Content-Length"], response.data) == ("4", b"")
        assert http_client.request("GET", gateway.url).data == b"four"


def test_the_gateway_reaches_a_real_handler(http_client: urllib3.PoolManager) -> None:
    with Lambda("tests.e2e.handlers.echo", {}) as function, Gateway(function) as gateway:
        told = http_client.request("POST", f"{gateway.url}/x", body=b"\x00\x01").json()["event"]
    assert (told["rawPath"], told["body"], told["isBase64Encoded"]) == ("/x", "AAE=", True)
