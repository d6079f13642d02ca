"""Hooks of the documentation site: pages and files from outside docs/, and no request to another host."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

OUTSIDE = {  # page of the site, and its file in the repository
    "index.md": "README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
    "benchmarks.md": "bench/README.md",
}
ROOT = Path(__file__).parent.parent
OUTSIDE |= {path: path for path in (str(each.relative_to(ROOT)) for each in ROOT.glob("deploy/policies/*.json"))}
PAGES = {path: page for page, path in OUTSIDE.items()}
LINK = re.compile(r"\]\((?P<target>[^)#\s]+)(?P<anchor>#[^)]*)?\)")
LOADING = r"script|img|iframe|source|link(?![^>]*rel=[\"']?canonical)"
REMOTE = re.compile(rf"<(?:{LOADING})\b[^>]*\b(?:src|href)=[\"']?(?:https?:)?//[^>]*>")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages and files from outside docs/."""
    for page, path in OUTSIDE.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn links between files of the repository into links between pages of the site."""
    uri = page.file.src_uri
    folder = posixpath.dirname(OUTSIDE.get(uri, f"docs/{uri}"))

    def replace(link: re.Match[str]) -> str:
        target, anchor = link["target"], link["anchor"] or ""
        if "://" in target:
            return link[0]
        path = posixpath.normpath(posixpath.join(folder, target))
        site = PAGES.get(path) or posixpath.relpath(path, "docs")
        return f"]({posixpath.relpath(site, posixpath.dirname(uri) or '.')}{anchor})"

    return LINK.sub(replace, markdown)


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Abort if a browser would load anything of the page from another host."""
    if remote := REMOTE.search(output):
        raise PluginError(f"{page.file.src_uri} loads from another host: {remote[0]}")
    return output
