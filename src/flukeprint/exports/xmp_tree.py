"""Where each element of an XMP packet begins and ends, in bytes of UTF-8."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from xml.parsers import expat

MOST_ELEMENTS = 1_000_000
TAG = re.compile(rb"""[^>"']*(?:(?:"[^"]*"|'[^']*')[^>"']*)*>""")


@dataclass(slots=True)
class Element:
    """An element: its namespace and name parted by a space, its prefix, its own text.

    ``begin`` is where its first tag begins, ``end`` is behind its last; ``close`` is where its last
    tag begins, None where the first is the last.
    """

    key: str
    prefix: str
    begin: int
    end: int = 0
    close: int | None = None
    text: str = ""
    children: list[Element] = field(default_factory=list)


class Tree:
    """Reads a whole document into ``top``, its outermost element.

    Raises:
        ValueError: it is not well-formed, or has a document type; the message says so.
    """

    def __init__(self, data: bytes) -> None:
        self._data, self._count = data, 0
        self._above = [Element("", "", 0)]
        self._parser = expat.ParserCreate("utf-8", " ")  # whatever its first line says: see Packet
        self._parser.namespace_prefixes = True
        self._parser.buffer_text = True
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text
        try:
            self._parser.Parse(data, True)
        except expat.ExpatError as error:
            raise ValueError(f"it is not well-formed XML: {error}") from None
        self.top = self._above[0].children[0]

    def _doctype(self, *_: object) -> None:
        raise ValueError("it has a document type, which XMP never has")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if self._count > MOST_ELEMENTS:
            raise ValueError("it is too large to be a sidecar")
        uri, _, rest = name.partition(" ")
        local, _, prefix = rest.partition(" ")
        element = Element(f"{uri} {local}", prefix, self._parser.CurrentByteIndex)
        self._above[-1].children.append(element)
        self._above.append(element)

    def _end(self, _: str) -> None:
        element = self._above.pop()
        element.end = self._behind_tag(element.begin)
        if self._data[element.end - 2 : element.end] != b"/>":  # it has a last tag of its own
            element.close = self._parser.CurrentByteIndex
            element.end = self._behind_tag(element.close)

    def _text(self, text: str) -> None:
        self._above[-1].text += text

    def _behind_tag(self, at: int) -> int:
        """The place behind the tag that begins at ``at``; a value in quotes may hold ">"."""
        found = TAG.match(self._data, at)
        if found is None:
            raise ValueError("it is cut off")
        return found.end()
