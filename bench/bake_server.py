"""The server that stands for S3 in `bake_real`: it keeps what is put, answers after a while, and counts requests."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, unquote, urlsplit

from bucket import Bucket, serving

COUNTS = "/_/counts"
SCENES = "/scenes/"
ENTRY = (
    "<Contents><Key>{key}</Key><LastModified>2026-06-01T00:00:00.000Z</LastModified>"
    "<ETag>&quot;{tag}&quot;</ETag><Size>{size}</Size></Contents>"
)


@dataclass
class _State:
    """Of the server's process: objects and uploads under way by path, and requests by kind."""

    objects: dict[str, bytes] = field(default_factory=dict)
    uploads: dict[str, dict[int, bytes]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    guard: threading.Lock = field(default_factory=threading.Lock)


_STATE, _NUMBERS = _State(), count()


def _tag(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _range(wanted: str, size: int) -> tuple[int, int]:
    """The first and the last byte of a range."""
    first, _, last = wanted.removeprefix("bytes=").partition("-")
    if not first:
        return max(0, size - int(last)), size - 1
    return int(first), min(int(last or size), size - 1)


class Keeping(Bucket):
    """Keeps objects in memory; those below `scenes/` are the files of a folder."""

    def __init__(self, folder: str, latency: float, *rest: Any) -> None:
        self.folder, self.latency = folder, latency  # type: ignore[misc] - of this server, not of all
        super().__init__(*rest)

    @property
    def place(self) -> tuple[str, dict[str, str]]:
        """The path without the query, and the query."""
        parts = urlsplit(self.path)
        query = parse_qs(parts.query, keep_blank_values=True)
        return unquote(parts.path), {name: values[0] for name, values in query.items()}

    def do_GET(self) -> None:  # noqa: N802 - http.server's name
        """Serve an object or a range of it, a list, or the counts."""
        path, query = self.place
        if path == COUNTS:
            self._tell_counts()
        elif "list-type" in query:
            self._count("list")
            self._list(path.strip("/"), query)
        else:
            self._count("scene" if path.startswith(SCENES) else "get")
            self._serve(path)

    def do_HEAD(self) -> None:  # noqa: N802 - http.server's name
        """Tell the size of an object."""
        path, _ = self.place
        self._count("scene" if path.startswith(SCENES) else "get")
        size = self._size(path)
        if size < 0:
            self.answer(b"", status=404)
        else:
            self.answer(b"", length=size, **self._facts(path))

    def do_PUT(self) -> None:  # noqa: N802 - http.server's name
        """Keep an object, or a part of an upload; an object whose condition fails is refused."""
        path, query = self.place
        data = self._body()
        self._count("put")
        if "uploadId" in query:
            with _STATE.guard:
                _STATE.uploads[query["uploadId"]][int(query["partNumber"])] = data
        elif not self._keep(path, data):
            self.answer(b"<Error><Code>PreconditionFailed</Code></Error>", status=412)
            return
        self.answer(b"", ETag=f'"{_tag(data)}"')

    def do_POST(self) -> None:  # noqa: N802 - http.server's name
        """Begin an upload, complete it, or delete objects."""
        path, query = self.place
        self._body()
        self._count("put")
        if "uploads" in query:
            name = f"upload{next(_NUMBERS)}"
            _STATE.uploads[name] = {}
            self.answer(f"<InitiateMultipartUploadResult><UploadId>{name}</UploadId></InitiateMultipartUploadResult>"
                        .encode())  # fmt: skip
        elif "uploadId" in query:
            parts = _STATE.uploads.pop(query["uploadId"])
            _STATE.objects[path] = b"".join(parts[number] for number in sorted(parts))
            self.answer(b"<CompleteMultipartUploadResult><ETag>1</ETag></CompleteMultipartUploadResult>")
        else:
            self.answer(b"<DeleteResult></DeleteResult>")

    def _body(self) -> bytes:
        """The bytes of an object; boto3 sends them in chunks with checksums, which are dropped."""
        data = self.rfile.read(int(self.headers["Content-Length"] or 0))
        if "aws-chunked" not in (self.headers["Content-Encoding"] or ""):
            return data
        found, at = b"", 0
        while match := re.compile(rb"([0-9a-f]+)[^\r]*\r\n").match(data, at):
            size = int(match[1], 16)
            found += data[match.end() : match.end() + size]
            at = match.end() + size + 2
            if not size:
                break
        return found

    def _keep(self, path: str, data: bytes) -> bool:
        with _STATE.guard:
            before = _STATE.objects.get(path)
            wanted = self.headers["If-Match"]
            if self.headers["If-None-Match"] and before is not None:
                return False
            if wanted and (before is None or wanted.strip('"') != _tag(before)):
                return False
            _STATE.objects[path] = data
            return True

    def _size(self, path: str) -> int:
        """The bytes of an object; -1 without one."""
        if path.startswith(SCENES):
            file = Path(self.folder, path.removeprefix(SCENES))
            return file.stat().st_size if file.is_file() else -1
        return len(_STATE.objects[path]) if path in _STATE.objects else -1

    def _read(self, path: str, first: int, last: int) -> bytes:
        if not path.startswith(SCENES):
            return _STATE.objects[path][first : last + 1]
        with Path(self.folder, path.removeprefix(SCENES)).open("rb") as file:
            file.seek(first)
            return file.read(last + 1 - first)

    def _facts(self, path: str) -> dict[str, str]:
        tag = "scene" if path.startswith(SCENES) else _tag(_STATE.objects[path])
        return {"ETag": f'"{tag}"', "Last-Modified": "Mon, 01 Jun 2026 00:00:00 GMT", "Accept-Ranges": "bytes"}

    def _serve(self, path: str) -> None:
        size = self._size(path)
        if size < 0:
            self.answer(b"<Error><Code>NoSuchKey</Code></Error>", status=404)
            return
        wanted, facts, whole = self.headers["Range"], self._facts(path), (0, size - 1)
        first, last = _range(wanted, size) if wanted else whole
        data = self._read(path, first, last)
        with _STATE.guard:
            _STATE.counts["bytes"] += len(data) * path.startswith(SCENES)
        if wanted:
            facts["Content-Range"] = f"bytes {first}-{last}/{size}"
        self.answer(data, status=206 if wanted else 200, **facts)

    def _list(self, bucket: str, query: dict[str, str]) -> None:
        start, after = f"/{bucket}/", query.get("start-after", "")
        keys = sorted(path.removeprefix(start) for path in tuple(_STATE.objects) if path.startswith(start))
        keys = [key for key in keys if key.startswith(query.get("prefix", "")) and key > after]
        common, entries = dict[str, None](), list[str]()
        for key in keys:
            head, found, _ = key[len(query.get("prefix", "")) :].partition(query.get("delimiter") or "\0")
            if found:
                common[query.get("prefix", "") + head + found] = None
            else:
                data = _STATE.objects[start + key]
                entries.append(ENTRY.format(key=key, tag=_tag(data), size=len(data)))
        groups = "".join(f"<CommonPrefixes><Prefix>{each}</Prefix></CommonPrefixes>" for each in common)
        more = "<IsTruncated>false</IsTruncated>"
        self.answer(f"<ListBucketResult><Name>b</Name>{more}{''.join(entries)}{groups}</ListBucketResult>".encode())

    def _count(self, kind: str) -> None:
        with _STATE.guard:
            _STATE.counts[kind] += 1

    def _tell_counts(self) -> None:
        text = json.dumps({**_STATE.counts, "cpu": time.process_time()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


@contextmanager
def kept(folder: str, latency: float) -> Iterator[str]:
    """The address of a server whose `scenes` are a folder's files."""
    _STATE.objects.clear()  # of the one before, which a tiny run had in this process
    _STATE.counts.clear()
    with serving(cast(type[Bucket], partial(Keeping, folder, latency))) as port:
        yield f"http://127.0.0.1:{port}"


def counted(address: str) -> Counter[str]:
    """Requests: `scene`, `get`, `put` and `list`; `bytes` read of scenes; seconds of CPU."""
    with urllib.request.urlopen(f"{address}{COUNTS}") as answer:  # noqa: S310 - our own
        return Counter(json.load(answer))
