"""Write docs/reference/cli.md: the commands and their options, read from click."""

from __future__ import annotations

import argparse
import html
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from seeder.cli.grouping import options_by_group
from seeder.cli.main import main

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "cli.md"
HEADER = """\
# Commands and options

<!-- scripts/reference writes this page from the commands: change those, and run it. -->

`seeder COMMAND --help` prints the same for one command. `seed` is short for `seeder seed`. Repeated options add up;
different options of *Select* narrow each other. [Select tiles](../selecting.md) explains each.

JOB is a job's id, its first characters, or a layer's name for the layer's newest job.

| exit code | meaning |
| --- | --- |
| 0 | all work is done |
| 1 | tiles failed or are missing, a job stopped or stalled, or a store, a queue or this machine failed |
| 2 | the input is wrong; nothing was changed, or of `ingest --seed` no tile was written |
| 130 | Ctrl-C or a signal ended the command |

| environment variable | meaning |
| --- | --- |
| `TILER_DATA` | as `--data`: tiles in `DIR/tiles`, the private part in `DIR/private`; `./data` by default |
| `TILER_TILES`, `TILER_SOURCES` | a store URL for either part: `file:///folder` or `s3://bucket/prefix` |
| `TILER_URL` | public address of the tiles, for TileJSON; `http://localhost:8000` by default |
| `TILER_STACK` | as `--stack`: a deployed stack, whose buckets, addresses and queues replace those above and below |
| `TILER_QUEUE` | as `--queue` |
| `TILER_BAKE_QUEUE` | URL of the bake queue, for the bake function |
| `TILER_CLOUDFRONT` | id of the CloudFront distribution in front of the tiles, as `--cloudfront` |
| `TILER_DIRECT` | address of stored tiles without a redirect, for the redirect Lambda; `TILER_URL` by default |
| `TILER_DELIVERY` | answer of the Lambda: `website` (the default) redirects to a stored tile, `cloudfront` returns it |
| `TILER_VARIANTS` | variants that the Lambda and `serve` render: `layer,layer@2x` (the default), `all`, `webp`, ... |
| `TILER_FORMATS` | its form in earlier versions: `layer` is `layer,layer@2x`, `all` is `all,all@2x` |
| `AWS_PROFILE`, `AWS_REGION`, `AWS_ACCESS_KEY_ID`, ... | as for every AWS tool; profiles, SSO and roles work |
| `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL` | an S3 server other than Amazon's or the profile's |

Progress and notes go to stderr, results to stdout. If stderr is not a terminal, a plain line every ten seconds replaces
the progress bar. `-q` prints results and errors only; `-v` adds the log, `-vv` with debug messages.

## Shell completion

Commands, options, their values, files and the layers of the data folder complete with Tab. Add two lines to the
start-up file of your shell:

```sh
# bash 4.4 or newer: ~/.bashrc
eval "$(_SEEDER_COMPLETE=bash_source seeder)"
eval "$(_SEED_COMPLETE=bash_source seed)"
```

```sh
# zsh: ~/.zshrc, after compinit
eval "$(_SEEDER_COMPLETE=zsh_source seeder)"
eval "$(_SEED_COMPLETE=zsh_source seed)"
```

```sh
# fish: ~/.config/fish/config.fish
_SEEDER_COMPLETE=fish_source seeder | source
_SEED_COMPLETE=fish_source seed | source
```
"""


def page() -> str:
    """The whole page."""
    return "\n".join([HEADER, *_program(), *(line for name in main.homes for line in _command(name))])


def _program() -> Iterator[str]:
    yield "## All commands\n"
    for title, section in main.sections.items():
        yield f"| {title} | |\n| --- | --- |"
        for name, home in section.items():
            yield f"| [`seeder {name}`](#seeder-{name}) | {home.summary} |"
        yield ""
    yield "Options of `seeder` itself, before the command:\n"
    yield from _tables(main, click.Context(main, info_name="seeder", **main.context_settings))


def _command(name: str) -> Iterator[str]:
    command = main.commands[name]
    context = click.Context(command, info_name=name, **command.context_settings)
    yield f"## seeder {name}\n"
    yield f"    seeder {' '.join([name, *command.collect_usage_pieces(context)])}\n"
    text, _, examples = inspect.cleandoc(command.help or "").partition("\b\n")
    yield f"{text.strip()}\n"
    lines = [line.strip() for line in examples.splitlines()[1:] if line.strip()]
    yield "\n".join(["```sh", *lines, "```\n"])
    yield from _tables(command, context)


def _tables(command: click.Command, context: click.Context) -> Iterator[str]:
    for group, options in options_by_group(command, context).items():
        yield f"| {group} | |\n| --- | --- |"
        for each in options:
            names, meaning = each.get_help_record(context) or ("", "")
            yield f"| <code>{_cell(names)}</code> | {_cell(meaning)} |"
        yield ""


def _cell(text: str) -> str:
    """Text for a table. A bar would end its column: renderers disagree on a backslash before it in code."""
    return html.escape(text.replace("  [", " ["), quote=False).replace("|", "&#124;")


def run() -> int:
    """Write the page, or compare it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail if the page is not up to date")
    if not parser.parse_args().check:
        PAGE.write_text(page())
    elif not PAGE.exists() or PAGE.read_text() != page():
        sys.stderr.write(f"{PAGE.name} is not up to date: run scripts/reference\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(run())
