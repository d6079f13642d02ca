"""Parts of a CloudFormation template, and its references as text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

Template = dict[str, Any]


class _Tagged(yaml.SafeLoader):
    """Reads CloudFormation's YAML without its tags."""


def _untagged(loader: yaml.SafeLoader, _tag: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return node.value
    make = loader.construct_sequence if isinstance(node, yaml.SequenceNode) else loader.construct_mapping
    return make(node, deep=True)


_Tagged.add_multi_constructor("!", _untagged)


def read_yaml(path: Path) -> Template:
    """A file of deploy/, with the text of each reference in its place."""
    made: Template = yaml.load(path.read_text(), _Tagged)
    return made


def properties(template: Template, name: str) -> dict[str, Any]:
    found: dict[str, Any] = template["Resources"][name]["Properties"]
    return found


def text(value: Any) -> str:
    """A value with its references written as in Fn::Sub."""
    match value:
        case {"Ref": name}:
            return f"${{{name}}}"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"${{{name}.{attribute}}}"
        case {"Fn::Sub": pattern}:
            return str(pattern)
        case {"Fn::Join": [by, parts]}:
            return str(by).join(map(text, parts))
    assert isinstance(value, str), value
    return value


def of_type(template: Template, kind: str) -> Iterator[dict[str, Any]]:
    return (resource["Properties"] for resource in template["Resources"].values() if resource["Type"] == kind)


def variables(template: Template, function: str) -> dict[str, str]:
    environment = properties(template, function)["Environment"]["Variables"]
    return {name: text(value) for name, value in environment.items()}
