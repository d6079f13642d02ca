"""The option `--scratch`."""

from __future__ import annotations

from collections.abc import Callable

from seeder.cli.grouping import complete_folder, option

Command = Callable[..., None]


def scratch_option(command: Command) -> Command:
    """The option `--scratch`; the command gets `scratch`, by default empty."""
    return option(
        "--scratch",
        group="General",
        metavar="DIR",
        default="",
        shell_complete=complete_folder,
        help="Folder for the parts that are being baked.  [default: beside the data, or TMPDIR, or /var/tmp]",
    )(command)
