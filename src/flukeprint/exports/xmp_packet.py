"""Change lists of words in an XMP packet and leave every other byte as it is.

Source: ISO 16684-1 (XMP specification, part 1), 7: one rdf:RDF of rdf:Description elements, all
of the same photo; a list is a property element that holds an rdf:Bag, rdf:Seq or rdf:Alt of rdf:li.

The text is cut and pasted rather than written anew, so prefixes, comments, padding and properties
of programs that nobody here has heard of stay. What has a document type is refused before any of it
is read, and with it every attack by entities.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple
from xml.sax.saxutils import escape

from flukeprint.exports.xmp_tree import Element, Tree

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
LISTS = (f"{RDF} Bag", f"{RDF} Seq", f"{RDF} Alt")
MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
DECLARED = re.compile(rb"""\s*<\?xml[^>]*\sencoding\s*=\s*["']([^"']*)["']""")
READ = (b"utf-8", b"utf-16")
MOST_BYTES = 16 * 1024 * 1024
EMPTY = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
    f' <rdf:RDF xmlns:rdf="{RDF}">\n'
    '  <rdf:Description rdf:about="">\n'
    "  </rdf:Description>\n"
    " </rdf:RDF>\n"
    "</x:xmpmeta>\n"
    '<?xpacket end="w"?>\n'
).encode()
"""A packet that says nothing."""


class Property(NamedTuple):
    """A property that is a list: its namespace, its name, the usual prefix, ``Bag`` or ``Seq``."""

    uri: str
    name: str
    prefix: str
    kind: str

    @property
    def key(self) -> str:
        """As the tree has it."""
        return f"{self.uri} {self.name}"


class Change(NamedTuple):
    """Words to take from a list, and words to put at its end."""

    remove: frozenset[str]
    add: tuple[str, ...]


class Packet:
    """A packet, and where the lists of some properties lie in it.

    Raises:
        ValueError: it cannot be changed safely; the message says why.
    """

    def __init__(self, raw: bytes, properties: Iterable[Property]) -> None:
        self.mark, self.encoding, self.data = _decoded(raw)
        self._rdf = _one_rdf(Tree(self.data).top)
        descriptions = [one for one in self._rdf.children if one.key == f"{RDF} Description"]
        self._open = next((one for one in descriptions if one.close is not None), None)
        self._found: dict[str, Element] = {}
        wanted = {one.key: one.name for one in properties}
        for element in (child for one in descriptions for child in one.children):
            if element.key in wanted:
                if element.key in self._found:
                    raise ValueError(f"it tells {wanted[element.key]} twice")
                self._found[element.key] = element
                _check_list(element, wanted[element.key])

    def texts(self, of: Property) -> list[str]:
        """The words of a list, none where there is none."""
        element = self._found.get(of.key)
        return [] if element is None else [item.text for item in _items(element)]

    def changed(self, changes: Mapping[Property, Change]) -> bytes:
        """The packet with its lists changed, in the encoding that it came in."""
        cuts, new = [], b""
        for one, change in changes.items():
            element = self._found.get(one.key)
            kept = [text for text in self.texts(one) if text not in change.remove]
            if element is None:
                new += _element(one, change.add)
            elif not kept:  # an empty list goes, and one that was empty is written anew
                cuts.append((self._back(element.begin), element.end, _element(one, change.add)))
            else:
                cuts += self._in_list(element, change)
        if new:
            cuts.append(self._at_home(new))
        data = self.data
        for begin, end, text in sorted(cuts, key=lambda cut: cut[0], reverse=True):
            data = data[:begin] + text + data[end:]
        return self.mark + data.decode().encode(self.encoding)

    def _in_list(self, element: Element, change: Change) -> Iterator[tuple[int, int, bytes]]:
        """Cuts for a list of which some words stay."""
        items = _items(element)
        prefix, end = items[0].prefix, items[-1].end
        for item in items:
            if item.text in change.remove:
                yield self._back(item.begin), item.end, b""
        if change.add:
            new = "".join(f"\n     {_item(text, prefix)}" for text in change.add).encode()
            yield end, end, new

    def _at_home(self, new: bytes) -> tuple[int, int, bytes]:
        """Where properties go that were not there: into the first description that is open."""
        if self._open is not None and self._open.close is not None:
            place = self._back(self._open.close)
            return place, place, new
        if self._rdf.close is None:
            raise ValueError("its rdf:RDF is empty")
        place = self._back(self._rdf.close)
        begin = f'\n  <rdf:Description xmlns:rdf="{RDF}" rdf:about="">'.encode()
        return place, place, begin + new + b"\n  </rdf:Description>"

    def _back(self, place: int) -> int:
        """The place, the white space before it skipped."""
        return len(self.data[:place].rstrip(b" \t\r\n"))


def _decoded(raw: bytes) -> tuple[bytes, str, bytes]:
    """A packet's byte order mark, its encoding, and the rest as UTF-8."""
    if len(raw) > MOST_BYTES:
        raise ValueError("it is too large to be a sidecar")
    mark, encoding = next(
        ((mark, name) for mark, name in MARKS if raw.startswith(mark)), (b"", "utf-8")
    )
    try:
        data = raw[len(mark) :].decode(encoding).encode()
    except UnicodeError:
        raise ValueError("it is not UTF-8 or UTF-16 text") from None
    declared = DECLARED.match(data)
    if declared and not declared[1].lower().startswith(READ):
        raise ValueError(f"it is written in {declared[1].decode()}, not UTF-8")
    return mark, encoding, data


def _one_rdf(top: Element) -> Element:
    """The packet's rdf:RDF, alone or inside x:xmpmeta."""
    found = [one for one in (top, *top.children) if one.key == f"{RDF} RDF"]
    if len(found) != 1:
        raise ValueError("it is XML, but not XMP")
    return found[0]


def _check_list(element: Element, name: str) -> None:
    if element.text.strip() or len(element.children) > 1:
        raise ValueError(f"its {name} is no list")
    for inner in element.children:
        items = inner.children
        if inner.key not in LISTS or any(
            item.key != f"{RDF} li" or item.children for item in items
        ):
            raise ValueError(f"its {name} is no list of words")


def _items(element: Element) -> list[Element]:
    return element.children[0].children if element.children else []


def _item(text: str, prefix: str) -> str:
    return f"<{prefix}:li>{escape(text)}</{prefix}:li>" if prefix else f"<li>{escape(text)}</li>"


def _element(of: Property, words: Iterable[str]) -> bytes:
    """A property's element, which brings its own namespaces; nothing for no words."""
    items = "".join(f"\n     {_item(text, 'rdf')}" for text in words)
    if not items:
        return b""
    tag = f"{of.prefix}:{of.name}"
    return (
        f'\n   <{tag} xmlns:{of.prefix}="{of.uri}" xmlns:rdf="{RDF}">\n    <rdf:{of.kind}>{items}'
        f"\n    </rdf:{of.kind}>\n   </{tag}>"
    ).encode()
