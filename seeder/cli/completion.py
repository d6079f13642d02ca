"""Shell completion of layer names, from the data folder alone: a request to a stack would take too long."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import click

from seeder.cli.common import environment_settings
from tiler.errors import TilerError
from tiler.keys import SOURCES


def complete_layer(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """The names of the local layers that begin with `incomplete`, sorted."""
    parent = context.parent.params if context.parent else {}
    if context.params.get("stack") or parent.get("stack"):
        return []
    try:
        url = urlsplit(environment_settings(context.params.get("data")).sources)
        if url.scheme != "file":
            return []
        files = Path(unquote(url.path), SOURCES).glob("*/index.json")
        return sorted(path.parent.name for path in files if path.parent.name.startswith(incomplete))
    except (OSError, TilerError):
        return []


def layer_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """The argument LAYER, with completion."""
    return click.argument("layer", shell_complete=complete_layer)(command)


def job_argument(**settings: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The argument JOB, with completion of layer names: each stands for its newest job."""
    return click.argument("job", shell_complete=complete_layer, **settings)
