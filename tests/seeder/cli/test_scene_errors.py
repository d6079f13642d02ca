"""An error of many scenes names some in its line, and then all, one a line."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from seeder.cli.messages import guarded
from tiler.errors import BadScenes


@pytest.mark.parametrize("count", [1, 2, 3, 30])
def test_every_scene_is_printed(count: int) -> None:
    @click.command()
    @guarded
    def failing() -> None:
        raise BadScenes(40, [(f"{at}.tif", f"reason {at}") for at in range(count)])

    done = CliRunner().invoke(failing)
    assert done.exit_code == 2
    first, *others = done.stderr.splitlines()
    assert first.startswith(f"error: {count} of 40 scenes cannot be read: 0.tif (reason 0)")
    assert others == ([f"  {at}.tif: reason {at}" for at in range(count)] if count > 2 else [])
