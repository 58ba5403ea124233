"""A page as a browser reads it: a parser that finds what is not closed, not named or not local."""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

VOID = {"meta", "link", "img", "br", "hr", "input"}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    text: str = ""
    within: list[str] = field(default_factory=list)


class Parsed(HTMLParser):
    """Elements in their order; `mistakes` are tags that do not fit."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[Element] = []
        self.open: list[Element] = []
        self.mistakes: list[str] = []
        self.feed(html)
        self.close()
        self.mistakes += [f"<{each.tag}> is not closed" for each in self.open]

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        found = Element(tag, {k: v or "" for k, v in attrs}, within=[each.tag for each in self.open])
        if len(found.attributes) != len(attrs):
            self.mistakes.append(f"<{tag}> has an attribute twice")
        self.elements.append(found)
        if tag not in VOID:
            self.open.append(found)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open[-1].tag != tag:
            self.mistakes.append(f"</{tag}> closes {self.open[-1].tag if self.open else 'nothing'}")
            return
        self.open.pop()

    def handle_data(self, data: str) -> None:
        for each in self.open:
            each.text += data

    def all(self, tag: str) -> list[Element]:
        return [each for each in self.elements if each.tag == tag]

    def ids(self) -> list[str]:
        return [each.attributes["id"] for each in self.elements if "id" in each.attributes]

    def sections(self) -> list[str]:
        return [each.attributes["id"] for each in self.elements if each.tag in ("h2", "h3")]

    def cells(self, caption: str) -> list[list[str]]:
        """Return the rows of the table with this caption, the header too."""
        rows: list[list[str]] = []
        inside = False
        for each in self.elements:
            if each.tag == "table":
                inside = False
            elif each.tag == "caption":
                inside = caption in each.text
            elif inside and each.tag == "tr":
                rows.append([])
            elif inside and each.tag in ("td", "th"):
                rows[-1].append(each.text.strip())
        return rows


def outside(html: str) -> list[str]:
    """Return what a browser would fetch from elsewhere, or could be made to run."""
    parsed = Parsed(html)
    found = []
    for each in parsed.elements:
        for name in ("src", "href", "action", "data", "xlink:href", "srcset", "poster", "background"):
            value = each.attributes.get(name, "")
            if value and not value.startswith(("#", "data:image/png;base64,")) and value != "data:,":
                found.append(f"{each.tag} {name}={value}")
        found += [f"{each.tag} {name}" for name in each.attributes if name.startswith("on")]
        if each.tag in ("style", "script"):
            found += re.findall(r"https?://|url\(|@import|fetch\(|XMLHttpRequest", each.text)
    return found
