"""Hook of the documentation's build: no page may load anything from the network."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

_TAG = re.compile(r"<(?:script|img|iframe|source|video|audio|embed|link)\b[^>]*>", re.IGNORECASE)
_ADDRESS = re.compile(r"""\b(?:src|srcset|href)\s*=\s*["']?\s*((?:https?:)?//[^"'\s>]+)""", re.IGNORECASE)
_IN_CSS = re.compile(r"""(?:url\(|@import)\s*["']?\s*((?:https?:)?//[^"')\s]+)""", re.IGNORECASE)


def foreign(site: Path) -> list[str]:
    """Return "page: address" for whatever a page or a style sheet of a built site would load from elsewhere."""
    found = []
    for path in sorted((*site.rglob("*.html"), *site.rglob("*.css"))):
        text = path.read_text(encoding="utf-8")
        addresses = _IN_CSS.findall(text)
        for tag in _TAG.findall(text):
            # A canonical link and the like names an address and loads nothing.
            if not tag.lower().startswith("<link") or re.search(r"stylesheet|icon|preload|preconnect|prefetch", tag):
                addresses += _ADDRESS.findall(tag)
        found += [f"{path.relative_to(site)}: {address}" for address in addresses]
    return found


def on_post_build(config: Any) -> None:
    """Stop a build whose pages load something from the network."""
    from mkdocs.exceptions import PluginError

    found = foreign(Path(config["site_dir"]))
    if found:
        raise PluginError("pages load from the network:\n" + "\n".join(found))
