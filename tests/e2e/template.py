"""Parts of a CloudFormation template, and its references as text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Template = dict[str, Any]


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
