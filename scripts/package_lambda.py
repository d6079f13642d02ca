"""Package `tiler` and `seeder` for AWS Lambda into dist/lambda-arm64.zip and dist/lambda-x86_64.zip.

A zip has both packages and their dependencies, built for Lambda's Python 3.13, without files that a Lambda never reads.

Builds are reproducible: the same inputs give the same bytes. Inputs are this file, the two packages,
requirements-lambda.txt and the version of the Python 3.13 on this machine, which compiles the modules. Without a Python
3.13 nothing is compiled: the zip works too, but its Lambdas start more slowly.
"""

from __future__ import annotations

import hashlib
import platform
import re
import struct
import subprocess
import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from zipfile import BadZipFile, ZipFile

import click
import deflate

ROOT = Path(__file__).resolve().parent.parent
OURS = ("tiler", "seeder")
MACHINES = {"arm64": "aarch64", "x86_64": "x86_64"}  # names of architectures at Lambda, and in wheels
PYTHON = "3.13"  # of the Lambdas
GLIBC = 34  # Amazon Linux 2023, the system of that Python, has glibc 2.34
LOCKED = "requirements-lambda.txt"
PIN = re.compile(r"^[\w.-]+==[\w.+-]+", re.MULTILINE)
HOME = "/var/task"  # where Lambda unpacks a zip
LIMIT = 262_144_000  # bytes unzipped, Lambda's limit
MIB = 1 << 20

# GDAL in rasterio's wheels needs libexpat.so.1 from the system, but Lambda's Python does not have it. This is one of
# the few wheels with a copy for both architectures: AlmaLinux 8's expat 2.5.0 with its later security fixes, for glibc
# 2.25 and newer. Taking it from a wheel needs no compiler. The loader finds it by its name next to GDAL, with RPATH
# $ORIGIN.
EXPAT_WHEEL = "pyvalhalla"
EXPAT = re.compile(r"pyvalhalla\.libs/libexpat-\w+\.so\.1\.8\.10")
EXPAT_PATH = "rasterio.libs/libexpat.so.1"
EXPAT_SHA256 = {
    "arm64": "d3ac6e02c2a8232d010aa8832c578a0699c2ff40e69dea43c93dd05564790e14",
    "x86_64": "54a8d241a6006ffcc64d6d7d6b2de204f98cc24ef5de637297045442ecf400f6",
}

LEFT_OUT = re.compile(
    r"""(.+/)?tests/
    | .*\.(pyi|pxd|pyx|pyf|h|c|f|f90|a)$  # for compilers and type checkers
    | [^/]+\.data/  # commands
    | [^/]+\.dist-info/(?!METADATA$|sboms/|(.*/)?(LICEN[CS]E|NOTICE|COPYING))  # security scanners read the first two
    | aws_lambda_powertools/event_handler/openapi/swagger_ui/.*\.(js|css)$
    | boto3/(data|examples)/
    | botocore/data/(?!(cloudfront/2020-05-31|s3|sqs)/)[^/]+/.*  # the latest API of CloudFront alone
    | numpy/(f2py|_pyinstaller|_core/include)/
    | rasterio/(rio/|_example\.)
    | zstandard/_cffi\.  # for Pythons other than CPython
    """,
    re.VERBOSE,
)


class Failure(Exception):
    """Packaging failed; the message is one line."""


class File(NamedTuple):
    """A file of the zip, and its distribution."""

    owner: str
    data: bytes


Files = dict[str, File]  # by path in the zip


class Compiler(NamedTuple):
    """A Python on this machine with the Lambdas' version."""

    path: str
    version: str  # as in 3.13.0


def pins() -> list[str]:
    """The pinned packages of requirements-lambda.txt, with versions, except the wheel with libexpat.

    Raises:
        Failure: requirements.txt, with which the commands are tested, has no such version.
    """
    locked, tested = (PIN.findall((ROOT / name).read_text("utf-8")) for name in (LOCKED, "requirements.txt"))
    ours = [pin for pin in locked if not pin.startswith(f"{EXPAT_WHEEL}==")]
    if loose := [pin for pin in ours if pin not in tested]:
        raise Failure(f"{LOCKED} pins {', '.join(loose)}, but requirements.txt does not: run scripts/lock")
    return ours


def own_files() -> Files:
    """The modules of this project."""
    return {
        path.relative_to(ROOT).as_posix(): File(package, path.read_bytes())
        for package in OURS
        for path in (ROOT / package).rglob("*.py")
    }


def find_compiler() -> Compiler | None:
    """Find a Python of the Lambdas' version: the current one, or any that scripts/pythons lists."""
    current = platform.python_version()
    if current.startswith(f"{PYTHON}."):
        return Compiler(sys.executable, current)
    command = [str(ROOT / "scripts" / "pythons"), PYTHON]
    lines = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()  # noqa: S603
    if not lines:
        return None
    version, _, path = lines[0].partition(" ")
    return Compiler(path, version)


def inputs(arch: str, compiler: Compiler | None) -> str:
    """A digest of all inputs of the zip."""
    pins()
    items = [arch, (ROOT / LOCKED).read_text("utf-8"), compiler.version if compiler else ""]
    items.append(_sha256(Path(__file__).read_bytes()))
    items += (f"{path} {_sha256(file.data)}" for path, file in sorted(own_files().items()))
    return _sha256("\n".join(items).encode())


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def dependencies(arch: str) -> Files:
    """The files of the wheels, without files that a Lambda never reads, and libexpat.

    Raises:
        Failure: a wheel cannot be downloaded, or has an unknown libexpat.
    """
    files: Files = {}
    with TemporaryDirectory() as folder:
        _download(arch, folder)
        for wheel in Path(folder).glob("*.whl"):
            owner = wheel.name.partition("-")[0]
            with ZipFile(wheel) as members:
                for path in members.namelist():
                    if EXPAT.fullmatch(path):
                        files[EXPAT_PATH] = File("rasterio", members.read(path))
                    elif owner != EXPAT_WHEEL and not path.endswith("/") and not LEFT_OUT.match(path):
                        files[path] = File(owner, members.read(path))
    if EXPAT_PATH not in files or _sha256(files[EXPAT_PATH].data) != EXPAT_SHA256[arch]:
        raise Failure(f"{EXPAT_WHEEL} for {arch} has an unexpected libexpat: update EXPAT and EXPAT_SHA256")
    return files


def _download(arch: str, folder: str) -> None:
    # pip needs each compatible glibc as a platform of its own.
    tags = [f"manylinux_2_{minor}_{MACHINES[arch]}" for minor in range(GLIBC, 16, -1)]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
    command.append("--require-hashes")
    command += ["--no-deps", "--only-binary=:all:", "--implementation=cp", f"--python-version={PYTHON}", "--retries=2"]
    command += [f"--platform={tag}" for tag in (*tags, f"manylinux2014_{MACHINES[arch]}")]
    result = subprocess.run(  # noqa: S603
        [*command, f"--dest={folder}", f"--requirement={ROOT / LOCKED}"], capture_output=True, text=True, check=False
    )
    if result.returncode:
        errors = re.findall(r"^ERROR: (.*)", result.stderr, re.MULTILINE) or [f"exit code {result.returncode}"]
        offline = "the package index is not reachable; " if "Retrying (" in result.stderr else ""
        raise Failure(f"{offline}pip cannot download the wheels for {arch}: {errors[-1]}")


class Segment(NamedTuple):
    """A program header of a 64-bit ELF file."""

    kind: int
    flags: int
    offset: int
    address: int
    physical: int
    size: int
    memory: int
    align: int


SEGMENT = struct.Struct("<2I6Q")
LOADED = 1  # kind of segments mapped into memory


def slim(library: bytes) -> bytes:
    """Strip a shared library of everything that is never loaded: debug information, local symbols, section headers.

    This is half of the bytes of all extension modules, and most of rasterio's. Loaded bytes stay the same, at the same
    addresses. `strip` is not always installed, may not support the architecture, and its output depends on its version.
    A file with an unusual layout is returned unchanged.
    """
    if not library.startswith(b"\x7fELF\2\1"):  # 64 bits, little-endian
        return library
    (table,) = struct.unpack_from("<Q", library, 32)
    (count,) = struct.unpack_from("<H", library, 56)
    places = [table + number * SEGMENT.size for number in range(count)]
    segments = [Segment._make(SEGMENT.unpack_from(library, place)) for place in places]
    loaded = [segment for segment in segments if segment.kind == LOADED]
    if not loaded or loaded[0].offset or loaded[0].size < table + count * SEGMENT.size:
        return library
    out = bytearray()
    moves: list[tuple[range, int]] = []  # ranges of bytes, and their shift
    for segment in loaded:
        out += bytes((segment.offset - len(out)) % segment.align)  # offset and address must be equal modulo the page
        kept = range(segment.offset, segment.offset + segment.size)
        moves.append((kept, len(out) - segment.offset))
        out += library[kept.start : kept.stop]
    for place, segment in zip(places, segments, strict=True):
        move = next((move for kept, move in moves if segment.offset in kept), 0)
        SEGMENT.pack_into(out, place, *segment._replace(offset=segment.offset + move))
    struct.pack_into("<Q", out, 40, 0)  # offset of the section headers; then their size, number and names
    struct.pack_into("<3H", out, 58, 0, 0, 0)
    return bytes(out)


def compiled(files: Files, compiler: Compiler) -> Files:
    """Compile every module, without checks of its source at run time, and with paths as on Lambda.

    Raises:
        Failure: a module cannot be compiled.
    """
    made: Files = {}
    with TemporaryDirectory() as folder:
        for path, file in files.items():
            if path.endswith(".py"):
                target = Path(folder, path)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(file.data)
        command = [compiler.path, "-I", "-S", "-m", "compileall", "-q", "-s", folder, "-p", HOME]
        command += ["--invalidation-mode", "unchecked-hash", folder]
        result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if result.returncode:
            lines = (result.stdout + result.stderr).strip().splitlines() or ["no reason given"]
            raise Failure(f"{compiler.path} cannot compile the modules: {lines[-1]}")
        for target in Path(folder).rglob("*.pyc"):
            module = target.parent.parent / f"{target.name.partition('.')[0]}.py"
            owner = files[module.relative_to(folder).as_posix()].owner
            made[target.relative_to(folder).as_posix()] = File(owner, target.read_bytes())
    return made


def contents(arch: str, compiler: Compiler | None) -> Files:
    """All files of the zip for `arch`.

    Raises:
        Failure: dependencies cannot be downloaded, or modules not compiled.
    """
    files = dependencies(arch)
    for path, file in files.items():
        if path.endswith(".so") and ".libs/" not in path:
            files[path] = File(file.owner, slim(file.data))
    files |= own_files()
    if compiler:
        files |= compiled(files, compiler)
    return files


LOCAL = struct.Struct("<4s5H3I2H")
CENTRAL = struct.Struct("<4s6H3I5H2I")
END = struct.Struct("<4s4H2IH")


def write_zip(path: Path, files: Files, comment: str) -> None:
    """Write the zip, independent of time, machine and version of zlib.

    Entries are sorted, readable for all and dated 1 January 1980, the first day of the zip format. libdeflate
    compresses them, because zlib's output depends on its version and build.
    """
    part = path.with_suffix(".part")
    directory = bytearray()
    try:
        with part.open("wb") as out:
            for name, file in sorted(files.items()):
                packed = bytes(deflate.deflate_compress(file.data, 6))
                sizes = (deflate.crc32(file.data), len(packed), len(file.data), len(name), 0)
                fields = (20, 0, 8, 0, 0x21, *sizes)  # zip 2.0, no flags, deflated, midnight, the first day
                directory += CENTRAL.pack(b"PK\1\2", 0x314, *fields, 0, 0, 0, 0o100644 << 16, out.tell()) + name.encode(
                    "ascii"
                )
                out.write(LOCAL.pack(b"PK\3\4", *fields) + name.encode("ascii") + packed)
            end = (len(files), len(files), len(directory), out.tell(), len(comment))
            out.write(directory + END.pack(b"PK\5\6", 0, 0, *end) + comment.encode())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def known(path: Path) -> str:
    """The digest of the inputs of the zip at `path`; empty if there is no complete zip."""
    try:
        with ZipFile(path) as archive:
            return archive.comment.decode()
    except (OSError, BadZipFile, ValueError):
        return ""


def package(arch: str, compiler: Compiler | None, *, force: bool) -> None:
    """Build the zip for `arch` unless it is up to date, and print the result.

    Raises:
        Failure: it cannot be built, or exceeds Lambda's limit.
    """
    path = ROOT / "dist" / f"lambda-{arch}.zip"
    name = path.relative_to(ROOT)
    digest = inputs(arch, compiler)
    if known(path) == digest and not force:
        click.echo(f"{name} is up to date")
        return
    click.echo(f"{name}: downloading and packing")
    files = contents(arch, compiler)
    sizes: Counter[str] = Counter()
    for file in files.values():
        sizes[file.owner] += len(file.data)
    largest = ", ".join(f"{owner} {size / MIB:.1f}" for owner, size in sizes.most_common(5))
    unzipped = f"{sizes.total() / MIB:.1f} MiB unzipped, limit {LIMIT / MIB:.0f}: {largest}"
    if sizes.total() > LIMIT:
        raise Failure(f"{name} is too large for Lambda: {unzipped}")
    path.parent.mkdir(exist_ok=True)
    write_zip(path, files, digest)
    how = f"compiled by Python {compiler.version}" if compiler else f"not compiled: python{PYTHON} is missing"
    click.echo(f"{name}: {path.stat().st_size / MIB:.1f} MiB, {how}\n  {unzipped}")


@click.command()
@click.argument("architectures", metavar="[arm64] [x86_64]", nargs=-1, type=click.Choice(list(MACHINES)))
@click.option("-f", "--force", is_flag=True, help="Build even if up to date.")
def main(architectures: tuple[str, ...], *, force: bool) -> None:
    """Build dist/lambda-arm64.zip and dist/lambda-x86_64.zip, or only the given one, for AWS Lambda.

    \b
    Example:
      scripts/package-lambda arm64
    """
    compiler = find_compiler()
    for arch in dict.fromkeys(architectures or MACHINES):
        package(arch, compiler, force=force)


def run() -> int:
    """Run the command; return 0 if done, 1 if failed, 2 for wrong usage, 130 if interrupted."""
    try:
        main(prog_name="scripts/package-lambda", standalone_mode=False)
    except click.UsageError as error:
        click.echo(f"package-lambda: {error.format_message()}", err=True)
        return 2
    except click.Abort:
        return 130
    except (Failure, OSError) as error:
        click.echo(f"package-lambda: {error}", err=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(run())
