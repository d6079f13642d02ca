"""The command `serve`: addresses, output, shutdown."""

from __future__ import annotations

import re
import signal
import socket
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from seeder.cli.common import where
from seeder.cli.main import main
from seeder.cli.serve import listen
from tests.support.held import HANG, running
from tests.support.served import told
from tiler.errors import BadOption
from tiler.settings import Settings


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_listens_serves_and_ends_when_told(alps_copy: Path, number: signal.Signals) -> None:
    words = [sys.executable, "-m", "seeder", "serve", "--port", "0", "--data", str(alps_copy)]
    with running(words) as server:
        said = server.stderr.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+/", said)
        assert found
        assert f"{alps_copy.as_uri()}/tiles" in said
        assert told(f"{found[0]}_/layers")["layers"][0]["layer"] == "alps"
        server.send_signal(number)
        _, rest = server.communicate(timeout=HANG)
    assert "Traceback" not in rest
    assert server.returncode == 0


def test_a_port_that_is_taken_is_bad_input() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = str(taken.getsockname()[1])
        done = CliRunner().invoke(main, ["serve", "--port", port])
    assert done.exit_code == 2
    assert done.stderr.startswith(f"error: cannot listen on port {port} of 127.0.0.1 (Address already in use)")


def test_an_address_that_is_nobodys_is_bad_input() -> None:
    with pytest.raises(BadOption, match="cannot listen"):
        listen("no such host", 0)


@pytest.mark.parametrize(
    ("environ", "data", "said"),
    [
        ({}, None, ""),
        ({}, "/maps/data", " --data /maps/data"),
        ({"TILER_DATA": "/my maps"}, None, " --data '/my maps'"),
        ({"TILER_TILES": "s3://tiles", "TILER_SOURCES": "s3://sources"}, None, ""),
        ({"TILER_TILES": "file:///a/tiles", "TILER_SOURCES": "file:///b/private"}, None, ""),
    ],
)
def test_commands_are_told_where_the_stores_are(environ: dict[str, str], data: str | None, said: str) -> None:
    assert where(Settings.from_env(environ, data=data)) == said


def test_commands_are_told_the_stack() -> None:
    assert where(Settings("s3://tiles", "s3://sources", stack="tiles-dev")) == " --stack tiles-dev"


def test_no_packet_waits_for_another() -> None:
    with listen("127.0.0.1", 0) as listening:
        assert listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
