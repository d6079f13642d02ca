"""The environment, read in one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast

from tiler.errors import BadOption, shortened
from tiler.keys import FORMATS, Format, Scale

DEFAULT_DATA = "data"
DEFAULT_URL = "http://localhost:8000"

Delivery = Literal["website", "cloudfront"]


@dataclass(frozen=True, slots=True)
class S3:
    """How to connect to S3."""

    endpoint: str = ""  # URL of another S3 server than Amazon's
    region: str = ""  # empty: the profile's
    keys: bool = True  # whether the environment holds keys; else boto3 looks in profiles, SSO and roles
    config: str = "~/.aws/config"  # the file of profiles, which may name a server
    patience: float = 120  # seconds to retry a throttled or failing request


AMAZON = S3()

_FORMS: dict[str, tuple[str, ...]] = {"layer": ("layer",), "all": FORMATS, **{form: (form,) for form in FORMATS}}


@dataclass(frozen=True, slots=True)
class RenderedVariants:
    """The variants that the render path makes: scales with a format, or with `layer` for the layer's own format."""

    pairs: frozenset[tuple[int, str]]

    @classmethod
    def parse(cls, text: str) -> RenderedVariants:
        """The variants of a list such as `layer,layer@2x,webp`; `all` stands for each format.

        Raises:
            BadOption: an entry is unknown.
        """
        pairs: set[tuple[int, str]] = set()
        for entry in text.split(","):
            form, at, scale = entry.strip().partition("@")
            if not entry.strip():
                raise BadOption("it has an empty entry: omit the extra comma")
            if form not in _FORMS or at + scale not in ("", "@2x"):
                raise BadOption(f"unknown variant {entry!r}: use {', '.join(_FORMS)}, each also with @2x")
            pairs |= {(2 if scale else 1, each) for each in _FORMS[form]}
        return cls(frozenset(pairs))

    def has(self, scale: Scale, form: Format, own: Format) -> bool:
        """Whether tiles of `scale` and `form` are rendered for a layer in the format `own`."""
        return (scale, form) in self.pairs or (form == own and (scale, "layer") in self.pairs)


LAYER_FORMAT = RenderedVariants.parse("layer,layer@2x")
ANY_FORMAT = RenderedVariants.parse("all,all@2x")


@dataclass(frozen=True, slots=True)
class Settings:
    """Where tiles, sources and the queue are.

    `tiles` and `sources` are store URLs (`file://`, `s3://`, `memory://`). `url` is the public address of the tile
    store; `direct` serves the same tiles without ever redirecting, which in S3 is another address. Neither ends with
    a slash. `queue` is the URL of an SQS queue of blocks, `bake_queue` that of one of parts, or empty. `variants` are
    those that the render path makes.
    """

    tiles: str
    sources: str
    url: str = DEFAULT_URL
    direct: str = DEFAULT_URL
    queue: str = ""
    bake_queue: str = ""
    s3: S3 = AMAZON
    stack: str = ""  # the deployed stack that these settings were read from
    variants: RenderedVariants = LAYER_FORMAT
    cloudfront: str = ""  # id of the distribution in front of the tiles, or empty
    temporary: str = ""  # the folder of TMPDIR, or empty
    delivery: Delivery = "website"  # answer of the http Lambda: a redirect to the tile, or the tile
    readers: int | None = None  # newest version of layer metadata that the stack's functions read; None: no stack

    @classmethod
    def from_env(cls, environ: Mapping[str, str], *, data: str | None = None) -> Settings:
        """Settings from the environment.

        `TILER_DATA` (`data` overrides it) is the local root: tiles under `tiles/`, the private store under
        `private/`. `TILER_TILES` and `TILER_SOURCES` override each with any store URL. `TILER_URL` is the
        public address in TileJSON, `TILER_DIRECT` the one that never redirects, `TILER_QUEUE` the URL of
        the queue, `TILER_BAKE_QUEUE` that of the bake queue, `TILER_CLOUDFRONT` the id of the distribution in front
        of the tiles. `TILER_VARIANTS` lists the variants that the render path makes (see `RenderedVariants`); without
        it, `TILER_FORMATS` of earlier versions is `layer` or `all`.
        `TILER_DELIVERY` is `website` or `cloudfront`; with `cloudfront`, `url` is empty unless `TILER_URL` is set.
        `AWS_ENDPOINT_URL_S3` and `AWS_ENDPOINT_URL` name another S3 server, `AWS_REGION` and
        `AWS_DEFAULT_REGION` the region, `AWS_CONFIG_FILE` the file of profiles, as in every AWS SDK.

        Raises:
            BadOption: a variable has an invalid value.
        """
        folder = data or environ.get("TILER_DATA") or DEFAULT_DATA
        _check_folder(folder)
        root = _absolute(folder)
        queue = environ.get("TILER_QUEUE") or ""  # the command `seed` also accepts `local` and `sqs` here
        delivery = _delivery(environ.get("TILER_DELIVERY") or "website")
        url = (environ.get("TILER_URL") or (DEFAULT_URL if delivery == "website" else "")).rstrip("/")
        return cls(
            tiles=environ.get("TILER_TILES") or (root / "tiles").as_uri(),
            sources=environ.get("TILER_SOURCES") or (root / "private").as_uri(),
            url=url,
            direct=_direct(environ.get("TILER_DIRECT") or "") or url,
            queue=queue if "://" in queue else "",
            bake_queue=environ.get("TILER_BAKE_QUEUE") or "",
            cloudfront=environ.get("TILER_CLOUDFRONT") or "",
            temporary=environ.get("TMPDIR") or "",
            variants=_variants(environ.get("TILER_VARIANTS") or "", environ.get("TILER_FORMATS") or "layer"),
            delivery=delivery,
            s3=S3(
                endpoint=environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL") or "",
                region=environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "",
                keys=bool(environ.get("AWS_ACCESS_KEY_ID")),
                config=environ.get("AWS_CONFIG_FILE") or AMAZON.config,
            ),
        )

    def within(self, seconds: float) -> Settings:
        """The same settings, but failing requests are retried for `seconds` only."""
        return replace(self, s3=replace(self.s3, patience=seconds))


def _variants(listed: str, formats: str) -> RenderedVariants:
    if listed:
        try:
            return RenderedVariants.parse(listed)
        except BadOption as error:
            raise BadOption(f"TILER_VARIANTS is {listed!r}: {error}") from error
    if formats not in ("layer", "all"):
        raise BadOption(f"TILER_FORMATS is {formats!r}: set it to layer or all")
    return ANY_FORMAT if formats == "all" else LAYER_FORMAT


def _delivery(value: str) -> Delivery:
    if value not in ("website", "cloudfront"):
        raise BadOption(f"TILER_DELIVERY is {value!r}: set it to website or cloudfront")
    return cast(Delivery, value)


def _direct(value: str) -> str:
    """The address without its last slash; absolute, because QGIS follows no relative redirects."""
    if value and not value.startswith(("http://", "https://")):
        raise BadOption(f"TILER_DIRECT is {value!r}: start it with http:// or https://")
    return value.rstrip("/")


def _check_folder(folder: str) -> None:
    """Reject a folder name that no URL can hold.

    Raises:
        BadOption: the name is not UTF-8, or contains a NUL.
    """
    try:
        valid = "\0" not in str(folder).encode().decode()
    except UnicodeEncodeError:
        valid = False
    if not valid:
        raise BadOption(f"the name of the data folder {str(folder)!a} is not UTF-8: rename it, or choose another one")


def _absolute(folder: str) -> Path:
    """An absolute path.

    Raises:
        BadOption: it begins with `~` and there is no such home folder, or the working directory was deleted.
    """
    try:
        return Path(folder).expanduser().absolute()
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadOption(
            f"cannot resolve the data folder {shortened(folder)!r} ({reason}): use an absolute path"
        ) from error
