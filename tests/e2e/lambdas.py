"""AWS Lambda on this machine: handlers in processes of their own, under AWS's own runtime client.

`awslambdaric` asks the Runtime API for an event, calls the handler, and posts its answer. Here each process has
a Runtime API to itself, so a lost process is known by its silence.
"""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self
from uuid import uuid4

from tests.e2e.wire import Exchange, Server
from tests.support.paths import ROOT

REGION = "us-east-1"
ACCOUNT = "123456789012"
ANSWER_LIMIT = 6 * 1024 * 1024 + 100  # bytes of one answer
INIT_LIMIT = 60.0  # seconds to import a module; AWS allows 10, on machines that do nothing else
API = "/2018-06-01/runtime"


class FunctionError(Exception):
    """A function raised, died, answered too much or took too long: what `Invoke` reports as FunctionError."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.type = kind
        self.message = message


class Function(Protocol):
    """Whatever can be invoked like a Lambda function."""

    def invoke(self, event: dict[str, Any]) -> Any:
        """Answer to `event`, both as JSON knows them.

        Raises:
            FunctionError: there is none.
        """


class _Invocation:
    """One event on its way through a process; the times are of `time.monotonic`."""

    def __init__(self, event: dict[str, Any]) -> None:
        self.id = str(uuid4())
        self.body = json.dumps(event).encode()
        self.answer: Future[bytes] = Future()
        self.taken: float | None = None  # when the process took it


class _Sandbox:
    """One process and the Runtime API that it alone talks to; after a failure of either it is of no more use."""

    def __init__(self, handler: str, env: Mapping[str, str], *, timeout: float, arn: str, root: Path, log: int) -> None:
        self._timeout = timeout
        self._arn = arn
        self._inbox: queue.SimpleQueue[_Invocation | None] = queue.SimpleQueue()
        self._current: _Invocation | None = None
        self._init_error: FunctionError | None = None
        self._spent = False  # the runtime client ends itself when its answer is refused
        self._api = Server(self._serve)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "awslambdaric", handler],
            cwd=root,
            env={**env, "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self._api.port}"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    @property
    def alive(self) -> bool:
        """Whether the process can take another event."""
        return self._process.poll() is None and not self._spent

    @property
    def working(self) -> bool:
        """Whether the handler runs."""
        return self._current is not None

    def run(self, event: dict[str, Any]) -> bytes:
        """Answer to `event` as the process wrote it.

        Raises:
            FunctionError: there is none.
        """
        invocation = _Invocation(event)
        start = time.monotonic()
        self._inbox.put(invocation)
        while True:
            try:
                return invocation.answer.result(0.02)
            except TimeoutError:
                if invocation.answer.done():
                    continue
            if not self.alive:
                raise self._init_error or self._death(invocation.id)
            limit = INIT_LIMIT if invocation.taken is None else self._timeout
            if time.monotonic() - (invocation.taken or start) > limit:
                self.kill()
                raise FunctionError(
                    "Sandbox.Timedout", f"RequestId: {invocation.id} Error: Task timed out after {limit:.2f} seconds"
                )

    def _death(self, request: str) -> FunctionError:
        code = self._process.returncode
        how = f"exit status {code}" if code >= 0 else f"signal: {signal.Signals(-code).name}"
        return FunctionError("Runtime.ExitError", f"RequestId: {request} Error: Runtime exited with error: {how}")

    def kill(self) -> None:
        """End the process and what it started, as if the machine had failed."""
        if self._process.poll() is None:
            with suppress(ProcessLookupError):  # it has just ended by itself
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def close(self) -> None:
        """End the process and its Runtime API."""
        self.kill()
        self._inbox.put(None)
        self._api.close()

    def _serve(self, exchange: Exchange) -> None:
        body = exchange.body()
        if exchange.target == f"{API}/invocation/next":
            self._next(exchange)
        elif exchange.target == f"{API}/init/error":
            self._init_error = _error(body)
            exchange.send(202)
        elif match := re.fullmatch(rf"{API}/invocation/([^/]+)/(response|error)", exchange.target):
            self._settle(exchange, request=match[1], kind=match[2], body=body)
        else:
            exchange.send(404)

    def _next(self, exchange: Exchange) -> None:
        invocation = self._inbox.get()
        if invocation is None:
            exchange.drop()
            return
        self._current = invocation
        invocation.taken = time.monotonic()
        headers = {
            "Content-Type": "application/json",
            "Lambda-Runtime-Aws-Request-Id": invocation.id,
            "Lambda-Runtime-Deadline-Ms": str(int((time.time() + self._timeout) * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": self._arn,
        }
        exchange.send(200, headers.items(), invocation.body)

    def _settle(self, exchange: Exchange, *, request: str, kind: str, body: bytes) -> None:
        invocation = self._current
        if invocation is None or invocation.id != request:
            exchange.send(400)
            return
        self._current = None
        if kind == "error":
            invocation.answer.set_exception(_error(body))
            exchange.send(202)
        elif len(body) > ANSWER_LIMIT:
            self._spent = True
            message = f"Response payload size exceeded maximum allowed payload size ({ANSWER_LIMIT} bytes)."
            invocation.answer.set_exception(FunctionError("Function.ResponseSizeTooLarge", message))
            exchange.send(413)
        else:
            invocation.answer.set_result(body)
            exchange.send(202)


def _error(body: bytes) -> FunctionError:
    told = json.loads(body)
    return FunctionError(told["errorType"], told["errorMessage"])


class Lambda:
    """A function of AWS Lambda, its processes started when they are needed and used again while they live.

    A handler that raises leaves its process alive. One that takes longer than `timeout` is killed, and so is
    one that `kill_running` meets; the next event gets a new process. Any thread may call any method.

    Args:
        handler: `module.function`, found from `root`.
        env: The function's variables. Beyond them its processes see PATH and what Lambda itself sets.
        timeout: Seconds that one event may take; importing the module does not count.
        memory: MiB that the function is told; nothing enforces it.
        concurrency: Events at a time; further ones wait.
        root: The function's folder.
    """

    def __init__(
        self,
        handler: str,
        env: Mapping[str, str],
        *,
        timeout: float = 3.0,
        memory: int = 128,
        concurrency: int = 1,
        root: Path = ROOT,
    ) -> None:
        self.name = handler.replace(".", "-")
        self.started = 0  # processes so far: cold starts
        self._handler = handler
        self._timeout = timeout
        self._root = root
        self._concurrency = concurrency
        self._env = {**_platform(handler, self.name, memory, root), **env}
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the function
        self._room = threading.Semaphore(concurrency)
        self._guard = threading.Lock()
        self._idle: list[_Sandbox] = []
        self._busy: set[_Sandbox] = set()
        self._closed = False
        self._last_words = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def invoke(self, event: dict[str, Any]) -> Any:
        """Answer to `event`, when a process is free to give it.

        Raises:
            FunctionError: the handler raised, its process died, or the time passed.
        """
        with self._room:
            sandbox = self._take()
            try:
                return json.loads(sandbox.run(event))
            finally:
                self._give_back(sandbox)

    def warm_up(self) -> None:
        """Start all processes that the concurrency allows; each handles an event without records."""
        with ThreadPoolExecutor(self._concurrency) as threads:
            list(threads.map(self.invoke, [{"Records": []}] * self._concurrency))

    def logs(self) -> str:
        """What the processes have written so far, in the order in which it came."""
        if self._log.closed:
            return self._last_words
        # Not seek and read: the processes write where this descriptor stands.
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), size, 0).decode(errors="replace")

    def kill_running(self) -> int:
        """Kill the processes whose handler runs at this moment; return how many there were."""
        with self._guard:
            victims = [sandbox for sandbox in self._busy if sandbox.working]
        for sandbox in victims:
            sandbox.kill()
        return len(victims)

    def close(self) -> None:
        """End all processes; events under way fail, later ones are refused."""
        with self._guard:
            self._closed = True
            idle, self._idle = self._idle, []
            busy = list(self._busy)
        for sandbox in busy:
            sandbox.kill()
        for sandbox in idle:
            sandbox.close()
        for _ in range(self._concurrency):
            self._room.acquire()  # their callers give the busy ones back
        self._room.release(self._concurrency)
        self._last_words = self.logs()
        self._log.close()

    def _take(self) -> _Sandbox:
        with self._guard:
            if self._closed:
                raise RuntimeError(f"{self.name} is closed")
            while self._idle:
                sandbox = self._idle.pop()
                if sandbox.alive:
                    break
                sandbox.close()
            else:
                self.started += 1
                sandbox = _Sandbox(
                    self._handler,
                    self._env,
                    timeout=self._timeout,
                    arn=f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{self.name}",
                    root=self._root,
                    log=self._log.fileno(),
                )
            self._busy.add(sandbox)
        return sandbox

    def _give_back(self, sandbox: _Sandbox) -> None:
        with self._guard:
            self._busy.remove(sandbox)
            keep = sandbox.alive and not self._closed
            if keep:
                self._idle.append(sandbox)
        if not keep:
            sandbox.close()


def _platform(handler: str, name: str, memory: int, root: Path) -> dict[str, str]:
    """What Lambda sets beside the function's own variables."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return {
        "PATH": os.environ["PATH"],
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "_HANDLER": handler,
        "LAMBDA_TASK_ROOT": str(root),
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "AWS_EXECUTION_ENV": f"AWS_Lambda_python{version}",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(memory),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": f"2026/01/01/[$LATEST]{uuid4().hex}",
    }
