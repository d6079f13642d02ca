"""Settings from the environment, and their defaults."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.strategies import SCALES
from tiler.errors import BadOption
from tiler.keys import FORMATS, Format, Scale
from tiler.settings import ANY_FORMAT, DEFAULT_URL, LAYER_FORMAT, S3, RenderedVariants, Settings

SQS = "https://sqs.eu-central-1.amazonaws.com/123456789012/blocks"


def test_without_an_environment_all_lies_in_one_folder_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Settings.from_env({}) == Settings(
        tiles=(tmp_path / "data" / "tiles").as_uri(),
        sources=(tmp_path / "data" / "private").as_uri(),
        url=DEFAULT_URL,
        direct=DEFAULT_URL,
        queue="",
        s3=S3(endpoint="", region="", keys=False),
    )


@pytest.mark.parametrize(
    ("environ", "data", "root"),
    [
        ({"TILER_DATA": "/srv/maps"}, None, "/srv/maps"),
        ({"TILER_DATA": "/srv/maps"}, "/srv/other", "/srv/other"),
        ({"TILER_DATA": ""}, None, "{here}/data"),
        ({"TILER_DATA": "maps"}, None, "{here}/maps"),
        ({"TILER_DATA": "~/maps"}, None, "{home}/maps"),
        ({}, "a name, 100% odd #1 ü", "{here}/a%20name%2C%20100%25%20odd%20%231%20%C3%BC"),
    ],
)
def test_the_data_folder_holds_both_stores(
    environ: dict[str, str], data: str | None, root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = Settings.from_env(environ, data=data)
    url = "file://" + root.format(here=tmp_path, home=Path.home())
    assert (found.tiles, found.sources) == (f"{url}/tiles", f"{url}/private")


def test_each_store_may_lie_elsewhere() -> None:
    environ = {"TILER_DATA": "/srv", "TILER_TILES": "s3://public", "TILER_SOURCES": "memory://sources"}
    found = Settings.from_env(environ)
    assert (found.tiles, found.sources) == ("s3://public", "memory://sources")
    environ["TILER_SOURCES"] = ""
    assert Settings.from_env(environ).sources == "file:///srv/private"


@pytest.mark.parametrize(
    ("environ", "url", "direct"),
    [
        ({}, DEFAULT_URL, DEFAULT_URL),
        ({"TILER_URL": "https://tiles.test/"}, "https://tiles.test", "https://tiles.test"),
        (
            {"TILER_URL": "http://site.test", "TILER_DIRECT": "https://bucket.test//"},
            "http://site.test",
            "https://bucket.test",
        ),
        ({"TILER_URL": "", "TILER_DIRECT": "https://bucket.test"}, DEFAULT_URL, "https://bucket.test"),
        ({"TILER_URL": "http://site.test", "TILER_DIRECT": ""}, "http://site.test", "http://site.test"),
    ],
)
def test_addresses_lose_their_last_slash_and_the_direct_one_is_the_public_one_unless_told(
    environ: dict[str, str], url: str, direct: str
) -> None:
    found = Settings.from_env(environ)
    assert (found.url, found.direct) == (url, direct)


@pytest.mark.parametrize("said", ["bucket.test", "/tiles", "//bucket.test", "s3://bucket"])
def test_a_direct_address_that_would_make_redirects_relative_is_refused(said: str) -> None:
    with pytest.raises(BadOption, match=rf"^TILER_DIRECT is '{said}': start it with http:// or https://$"):
        Settings.from_env({"TILER_DIRECT": said})


@pytest.mark.parametrize(
    ("environ", "variants"),
    [
        ({}, LAYER_FORMAT),
        ({"TILER_FORMATS": ""}, LAYER_FORMAT),
        ({"TILER_FORMATS": "layer"}, LAYER_FORMAT),
        ({"TILER_FORMATS": "all"}, ANY_FORMAT),
        ({"TILER_VARIANTS": "all, all@2x"}, ANY_FORMAT),
        ({"TILER_VARIANTS": "png,jpg,webp,png@2x,jpg@2x,webp@2x"}, ANY_FORMAT),
        ({"TILER_VARIANTS": "layer@2x,layer,layer", "TILER_FORMATS": "all"}, LAYER_FORMAT),
    ],
)
def test_variants_are_those_of_the_layer_s_format_unless_others_are_listed(
    environ: dict[str, str], variants: RenderedVariants
) -> None:
    assert Settings.from_env(environ).variants == variants


@pytest.mark.parametrize("own", FORMATS)
def test_a_variant_is_rendered_if_it_is_listed_by_its_format_or_as_the_layer_s(own: Format) -> None:
    made = {
        listed: {(scale, form) for scale in SCALES for form in FORMATS if made_by(listed, scale, form, own)}
        for listed in ("layer", "layer@2x,webp", "all", "jpg@2x")
    }
    assert made == {
        "layer": {(1, own)},
        "layer@2x,webp": {(2, own), (1, "webp")},
        "all": {(1, form) for form in FORMATS},
        "jpg@2x": {(2, "jpg")},
    }


def made_by(listed: str, scale: Scale, form: Format, own: Format) -> bool:
    return RenderedVariants.parse(listed).has(scale, form, own)


@pytest.mark.parametrize("listed", ["gif", "layer@3x", "layer@", "@2x", "layer;webp", "png@2x@2x"])
def test_a_variant_that_is_none_is_refused_and_named(listed: str) -> None:
    with pytest.raises(BadOption, match=f"^TILER_VARIANTS is '{listed}': unknown variant .* each also with @2x$"):
        Settings.from_env({"TILER_VARIANTS": listed})


@pytest.mark.parametrize("listed", ["layer,", ",layer", "layer,,webp", ","])
def test_an_empty_variant_is_refused_as_a_comma_too_many(listed: str) -> None:
    with pytest.raises(BadOption, match=f"^TILER_VARIANTS is '{listed}': it has an empty entry: omit the extra comma$"):
        Settings.from_env({"TILER_VARIANTS": listed})


def test_formats_that_are_none_are_refused() -> None:
    with pytest.raises(BadOption, match="TILER_FORMATS is 'webp': set it to layer or all"):
        Settings.from_env({"TILER_FORMATS": "webp"})


@pytest.mark.parametrize(
    ("environ", "delivery", "url"),
    [
        ({}, "website", DEFAULT_URL),
        ({"TILER_DELIVERY": ""}, "website", DEFAULT_URL),
        ({"TILER_DELIVERY": "cloudfront"}, "cloudfront", ""),
        ({"TILER_DELIVERY": "cloudfront", "TILER_URL": "https://tiles.test/"}, "cloudfront", "https://tiles.test"),
    ],
)
def test_behind_cloudfront_no_address_is_made_up(environ: dict[str, str], delivery: str, url: str) -> None:
    found = Settings.from_env(environ)
    assert (found.delivery, found.url) == (delivery, url)


def test_a_delivery_that_is_none_is_refused() -> None:
    with pytest.raises(BadOption, match="TILER_DELIVERY is 'cdn': set it to website or cloudfront"):
        Settings.from_env({"TILER_DELIVERY": "cdn"})


@pytest.mark.parametrize(("said", "queue"), [(SQS, SQS), ("", ""), ("sqs", ""), ("local", "")])
def test_only_an_address_names_a_queue(said: str, queue: str) -> None:
    assert Settings.from_env({"TILER_QUEUE": said}).queue == queue


def test_the_bake_function_knows_its_queue_and_the_distribution() -> None:
    found = Settings.from_env({"TILER_BAKE_QUEUE": SQS, "TILER_CLOUDFRONT": "E1A2B3C4D5E6F7"})
    assert (found.bake_queue, found.cloudfront, found.queue) == (SQS, "E1A2B3C4D5E6F7", "")
    assert (Settings.from_env({}).bake_queue, Settings.from_env({}).cloudfront) == ("", "")


@pytest.mark.parametrize(
    ("environ", "s3"),
    [
        ({}, S3(keys=False)),
        ({"AWS_ACCESS_KEY_ID": "AKIA"}, S3(keys=True)),
        ({"AWS_ACCESS_KEY_ID": ""}, S3(keys=False)),
        ({"AWS_CONFIG_FILE": "/srv/aws"}, S3(keys=False, config="/srv/aws")),
        ({"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "us-west-2"}, S3(region="eu-west-1", keys=False)),
        ({"AWS_DEFAULT_REGION": "us-west-2"}, S3(region="us-west-2", keys=False)),
        ({"AWS_REGION": "", "AWS_DEFAULT_REGION": "us-west-2"}, S3(region="us-west-2", keys=False)),
        ({"AWS_ENDPOINT_URL": "http://all.test"}, S3(endpoint="http://all.test", keys=False)),
        (
            {"AWS_ENDPOINT_URL": "http://all.test", "AWS_ENDPOINT_URL_S3": "http://s3.test"},
            S3(endpoint="http://s3.test", keys=False),
        ),
    ],
)
def test_s3_is_reached_as_every_aws_sdk_reaches_it(environ: dict[str, str], s3: S3) -> None:
    assert Settings.from_env(environ).s3 == s3


@given(st.floats(0.1, 1000))
def test_patience_is_all_that_a_hurry_changes(seconds: float) -> None:
    usual = Settings.from_env({"TILER_TILES": "s3://public", "TILER_QUEUE": SQS, "AWS_ACCESS_KEY_ID": "AKIA"})
    hasty = usual.within(seconds)
    assert hasty.s3.patience == seconds
    assert replace(hasty, s3=usual.s3) == usual
    assert replace(hasty.s3, patience=usual.s3.patience) == usual.s3


def test_the_environment_of_the_process_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Settings.from_env({}, data="/srv")
    monkeypatch.setenv("TILER_DATA", "/elsewhere")
    monkeypatch.setenv("TILER_TILES", "s3://elsewhere")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert Settings.from_env({}, data="/srv") == before
    assert Settings.from_env(os.environ, data="/srv") != before
