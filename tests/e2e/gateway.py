"""An HTTP API of Amazon API Gateway in front of one function: payload format 2.0 in and out.

As the service does, and its documentation does not tell: `rawPath` and `requestContext.http.path` are
percent-decoded, so `/a%2Fb` arrives as `/a/b`, while `rawQueryString` stays as it was sent. A Function URL
and a REST API give the path undecoded; `decode=False` makes the events of a Function URL.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import formatdate
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qsl, unquote
from uuid import uuid4

from tests.e2e.lambdas import ACCOUNT, Function, FunctionError
from tests.e2e.wire import Exchange, Server

DEFAULT = "$default"
TEXT = re.compile(r"text/|application/(json|javascript|xml|x-www-form-urlencoded)", re.IGNORECASE)


class Served(NamedTuple):
    """A request that was answered."""

    method: str
    target: str  # path and query, as sent
    status: int


class Answer(NamedTuple):
    """What goes back to the client."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Malformed(Exception):
    """The function's answer is not of format 2.0."""


class Gateway:
    """Turns each request at `url` into an event for `function`, and its answer into a response.

    Args:
        function: What is invoked.
        routes: Route keys such as `GET /{layer}/{z}/{x}/{y}`, `ANY /{path+}` or `$default`; other requests get 404.
        decode: Whether the function sees a percent-decoded path.
        limit: Seconds after which the client gets 503, while the function goes on.
    """

    def __init__(
        self, function: Function, *, routes: Sequence[str] = (DEFAULT,), decode: bool = True, limit: float = 30.0
    ) -> None:
        self.served: list[Served] = []
        self.throttled = False  # whether the function has no concurrency left
        self._function = function
        self._routes = [(key, _pattern(key)) for key in sorted(routes, key=_rank)]
        self._decode = decode
        self._limit = limit
        self._invokers = ThreadPoolExecutor(64, thread_name_prefix="gateway")
        self._server = Server(self._serve)
        self.host = f"127.0.0.1:{self._server.port}"
        self.url = f"http://{self.host}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Stop; waits for invocations under way, so close a function that hangs first."""
        self._server.close()
        self._invokers.shutdown()

    def _serve(self, exchange: Exchange) -> None:
        event = self._event(exchange)
        answer = _message(404, "Not Found") if event is None else self._invoke(event)
        self.served.append(Served(exchange.method, exchange.target, answer.status))
        own = [("Date", formatdate(usegmt=True)), ("Apigw-Requestid", uuid4().hex[:16])]
        exchange.send(answer.status, own + answer.headers, answer.body)

    def _invoke(self, event: dict[str, Any]) -> Answer:
        if self.throttled:
            return _message(429, "Too Many Requests")
        try:
            return _answer(self._invokers.submit(self._function.invoke, event).result(self._limit))
        except TimeoutError:
            return _message(503, "Service Unavailable")
        except (FunctionError, Malformed):
            return _message(500, "Internal Server Error")

    def _event(self, exchange: Exchange) -> dict[str, Any] | None:
        """The event of a request, or None where no route takes it."""
        body = exchange.body()
        raw, _, query = exchange.target.partition("?")
        path = unquote(raw) if self._decode else raw
        route, parameters = self._route(exchange.method, path)
        if not route:
            return None
        headers: dict[str, str] = {}
        for name, value in exchange.headers.items():
            headers[name.lower()] = f"{headers[name.lower()]},{value}" if name.lower() in headers else value
        cookies = headers.pop("cookie", "")
        headers |= {"x-forwarded-for": "127.0.0.1", "x-forwarded-proto": "https", "x-forwarded-port": "443"}
        text = _text(body, headers.get("content-type", ""))
        event = {
            "version": "2.0",
            "routeKey": route,
            "rawPath": path,
            "rawQueryString": query,
            "cookies": [cookie.strip() for cookie in cookies.split(";") if cookie.strip()],
            "headers": headers,
            "queryStringParameters": _joined(query),
            "requestContext": _context(exchange, headers, route=route, path=path),
            "pathParameters": parameters,
            "body": base64.b64encode(body).decode() if text is None else text,
            "isBase64Encoded": text is None,
        }
        # The service leaves these out rather than empty.
        for name in ("cookies", "queryStringParameters", "pathParameters", "body"):
            if not event[name]:
                del event[name]
        return event

    def _route(self, method: str, path: str) -> tuple[str, dict[str, str]]:
        for key, match in self._routes:
            parameters = match(method, path)
            if parameters is not None:
                return key, parameters
        return "", {}


def _rank(key: str) -> tuple[bool, bool, int, bool]:
    """Sorts route keys so that the most specific is tried first."""
    return key == DEFAULT, "+}" in key, key.count("{"), key.startswith("ANY ")


def _pattern(key: str) -> Callable[[str, str], dict[str, str] | None]:
    """A function of method and path: the path's parameters, or None where the route does not fit."""
    if key == DEFAULT:
        return lambda _method, _path: {}
    method, _, path = key.partition(" ")
    names = re.findall(r"{(\w+)\+?}", path)
    parts = [
        re.escape(part) if not part.startswith("{") else "(.+)" if part.endswith("+}") else "([^/]+)"
        for part in re.split(r"({\w+\+?})", path)
    ]
    expression = re.compile("".join(parts), re.DOTALL)

    def match(asked: str, where: str) -> dict[str, str] | None:
        found = expression.fullmatch(where) if method in ("ANY", asked) else None
        return dict(zip(names, found.groups(), strict=True)) if found else None

    return match


def _text(body: bytes, kind: str) -> str | None:
    """A body as the function gets it, or None where it must be base64."""
    try:
        return body.decode() if TEXT.match(kind) or not body else None
    except UnicodeDecodeError:
        return None


def _joined(query: str) -> dict[str, str]:
    parameters: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        parameters[name] = f"{parameters[name]},{value}" if name in parameters else value
    return parameters


def _context(exchange: Exchange, headers: dict[str, str], *, route: str, path: str) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {
        "accountId": ACCOUNT,
        "apiId": "e2e",
        "domainName": headers.get("host", ""),
        "domainPrefix": headers.get("host", "").partition(".")[0],
        "http": {
            "method": exchange.method,
            "path": path,
            "protocol": exchange.request_version,
            "sourceIp": "127.0.0.1",
            "userAgent": headers.get("user-agent", ""),
        },
        "requestId": uuid4().hex[:16],
        "routeKey": route,
        "stage": DEFAULT,
        "time": now.strftime("%d/%b/%Y:%H:%M:%S +0000"),
        "timeEpoch": int(now.timestamp() * 1000),
    }


def _message(status: int, message: str) -> Answer:
    return Answer(status, [("Content-Type", "application/json")], json.dumps({"message": message}).encode())


def _answer(result: Any) -> Answer:
    """The response that `result` stands for.

    Without a status code it is itself the body of a 200. With one its parts must be of their types, more
    strictly than the service is known to ask.

    Raises:
        Malformed: they are not.
    """
    if not isinstance(result, dict) or "statusCode" not in result:
        body = result if isinstance(result, str) else json.dumps(result)
        return Answer(200, [("Content-Type", "application/json")], body.encode())
    status, text = result["statusCode"], result.get("body") or ""
    headers, cookies = result.get("headers") or {}, result.get("cookies") or []
    if type(status) is not int or not 200 <= status <= 599 or not isinstance(text, str):
        raise Malformed(f"status {status!r}, body of {type(text).__name__}")
    if not isinstance(headers, dict) or not all(isinstance(value, str | int | float) for value in headers.values()):
        raise Malformed(f"headers {headers!r}")
    try:
        data = base64.b64decode(text, validate=True) if result.get("isBase64Encoded") else text.encode()
    except ValueError as error:
        raise Malformed("the body is not base64") from error
    pairs = [(name, str(value)) for name, value in headers.items()]
    pairs += [("Set-Cookie", str(cookie)) for cookie in cookies]
    if not any(name.lower() == "content-type" for name, _ in pairs):
        pairs.append(("Content-Type", "text/plain;charset=UTF-8"))
    return Answer(status, pairs, data)
