"""Params of `npm run deploy`: none is lost by a later deployment that omits it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.serverless import node
from tests.e2e.template import read_yaml
from tests.support.paths import ROOT

DEFAULTS = {k: v for k, v in read_yaml(ROOT / "serverless.yml")["params"]["default"].items() if v is not None}
URL = "https://tiles.example.com"


def deployed(*given: str, last: Any = None, stage: dict[str, Any] | None = None, command: str = "deploy") -> Any:
    """The values of deploy/params.js for these words of `--param`, or its complaint.

    `last` is the output GivenParams of the stack, `stage` the params of the stage in serverless.yml.
    """
    words = dict(word.split("=", 1) for word in given if "=" in word)
    known = {
        "self:service": "tiles",
        "self:provider.stage": "prod",
        "self:provider.region": "us-east-1",
        "cf:tiles-prod.GivenParams, null": last if last is None or isinstance(last, str) else json.dumps(last),
        "cf:tiles-prod.Delivery, null": "website",
    }
    for name, value in DEFAULTS.items():
        known[f"param:{name}, null"] = value
        known[f"self:params.prod.{name}, self:params.default.{name}, null"] = value
    for name, value in (stage or {}).items():
        known[f"param:{name}, null"] = value
        known[f"self:params.prod.{name}, self:params.default.{name}, null"] = value
    known |= {f"param:{name}, null": value for name, value in words.items()}
    return node(f"""
    process.argv.push({json.dumps(command)});
    const known = {json.dumps(known)};
    const options = {{ param: {json.dumps(given)} }};
    require('./deploy/params')({{ options, resolveVariable: async (name) => known[name] ?? null }}).then(
      (values) => console.log(JSON.stringify(values)), (error) => console.log(JSON.stringify(error.message)));
    """)


def test_a_deployment_keeps_its_params_for_the_next() -> None:
    first = deployed("arch=x86_64", f"url={URL}")
    assert json.loads(first["givenParams"]) == {"arch": "x86_64", "url": URL}
    again = deployed(f"url={URL}", "arch=x86_64", last=first["givenParams"])
    assert json.loads(again["givenParams"]) == {"arch": "x86_64", "url": URL}


def test_tags_are_kept_as_typed_and_compared_by_what_they_say() -> None:
    """Earlier versions kept each set of tags as `[object Object]`."""
    tags = "team=maps,cost=42"
    first = deployed(f"tags={tags}")
    assert json.loads(first["givenParams"]) == {"tags": tags}
    assert f"add --param tags={tags}, or" in deployed(last=first["givenParams"])
    assert f"add --param tags={tags}, or" in deployed(last=first["givenParams"], stage={"tags": "team=maps,cost=43"})
    assert "givenParams" in deployed(last=first["givenParams"], stage={"tags": "cost=42,team=maps"})
    assert "add --param tags=VALUE, or" in deployed(last={"tags": "[object Object]"})


def test_a_word_without_a_value_is_no_param() -> None:
    """It is left to osls, which refuses it."""
    assert json.loads(deployed("arch")["givenParams"]) == {}


def test_a_missing_param_is_refused_with_its_value() -> None:
    assert deployed("arch=x86_64", last={"arch": "x86_64", "url": URL}) == (
        f"params of the last deploy are missing: add --param url={URL}, or put them into params: of serverless.yml; "
        "--param url=default drops one"
    )
    both = deployed(last={"logLevel": "DEBUG", "url": URL})
    assert f"add --param logLevel=DEBUG --param url={URL}, or" in both


ACCEPTED = {  # words of --param, params of the last deployment, the stage in serverless.yml; a param and its value
    "an older stack": ((), None, {}, ("arch", "arm64")),
    "an output of another program": ((), "none", {}, ("arch", "arm64")),
    "another value": (("logLevel=WARN",), {"logLevel": "DEBUG"}, {}, ("logLevel", "WARN")),
    "moved to serverless.yml": ((), {"url": URL}, {"url": URL}, ("url", URL)),
    "given as the default": ((), {"batchSize": "5"}, {}, ("batchSize", 5)),
    "typed otherwise in serverless.yml": (
        (),
        {"variants": "layer, webp"},
        {"variants": "layer,webp"},
        ("arch", "arm64"),
    ),
    "kept by the stack": ((), {"delivery": "website"}, {}, ("delivery", "website")),
    "of another version": ((), {"formerly": "1"}, {}, ("arch", "arm64")),
    "never given, new default": ((), {}, {"batchSize": 7}, ("batchSize", 7)),
    "dropped": (("logLevel=default",), {"logLevel": "DEBUG"}, {}, ("logLevel", "INFO")),
    "dropped for the stage's": (("batchSize=default",), {"batchSize": "9"}, {"batchSize": 7}, ("batchSize", 7)),
    "dropped without a default": (("url=default",), {"url": URL}, {}, ("url", None)),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_other_deployments_are_accepted(case: str) -> None:
    given, last, stage, (name, value) = ACCEPTED[case]
    values = deployed(*given, last=last, stage=stage)
    assert isinstance(values, dict), values
    assert values[name] == value
    kept = json.loads(values["givenParams"])
    assert kept == dict(word.split("=") for word in given if not word.endswith("=default"))


def test_a_missing_param_comes_before_a_conflict_that_it_causes() -> None:
    last = {"domain": "tiles.example.com", "certificate": "arn:aws:acm:us-east-1:123456789012:certificate/1a"}
    complaint = deployed("delivery=cloudfront", "domain=tiles.example.com", last=last)
    assert f"add --param certificate={last['certificate']}" in complaint


@pytest.mark.parametrize("command", ["package", "remove", "logs", "info"])
def test_only_a_deployment_compares(command: str) -> None:
    assert deployed("delivery=website", last={"url": URL}, command=command)["url"] is None


@pytest.mark.parametrize("given", [(), ("budget=50", "budgetEmail=ops@example.com")])
def test_the_resources_of_a_budget_are_in_a_file_that_must_exist(given: tuple[str, ...]) -> None:
    """A fallback, as in `${file(NAME), null}`, would hide a mistyped name."""
    assert (ROOT / "deploy" / deployed(*given)["budgetFile"]).is_file()
    resources = read_yaml(ROOT / "serverless.yml")["resources"]
    assert "${file(deploy/${self:custom.budgetFile})}" in resources
