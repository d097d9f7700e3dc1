"""Sidecars: what is ours is put right, what is others' stays byte for byte."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flukeprint.exports.xmp import HIERARCHY, NOTED, PROPERTIES, SUBJECT, TAGS, merge
from flukeprint.exports.xmp_packet import EMPTY, Change, Packet
from tests.exports.test_tables import NAME

KNOWN = frozenset({"Salt", "Pepper"})
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"

SALT = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="{RDF}">
  <rdf:Description rdf:about="">
   <dc:subject xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:rdf="{RDF}">
    <rdf:Bag>
     <rdf:li>Salt</rdf:li>
    </rdf:Bag>
   </dc:subject>
   <lr:hierarchicalSubject xmlns:lr="http://ns.adobe.com/lightroom/1.0/" xmlns:rdf="{RDF}">
    <rdf:Bag>
     <rdf:li>Whales|Humpback|Salt</rdf:li>
    </rdf:Bag>
   </lr:hierarchicalSubject>
   <digiKam:TagsList xmlns:digiKam="http://www.digikam.org/ns/1.0/" xmlns:rdf="{RDF}">
    <rdf:Seq>
     <rdf:li>Whales/Humpback/Salt</rdf:li>
    </rdf:Seq>
   </digiKam:TagsList>
   <flukeprint:tags xmlns:flukeprint="https://flukeprint.invalid/ns/1.0/" xmlns:rdf="{RDF}">
    <rdf:Bag>
     <rdf:li>Salt</rdf:li>
     <rdf:li>Whales|Humpback|Salt</rdf:li>
     <rdf:li>Whales/Humpback/Salt</rdf:li>
    </rdf:Bag>
   </flukeprint:tags>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>
"""

OTHERS = f"""<?xml version="1.0" encoding="UTF-8"?>
<!-- kept > "as it is" -->
<x:xmpmeta xmlns:x='adobe:ns:meta/' x:xmptk="Other 1.0">
<r:RDF xmlns:r="{RDF}" xmlns:odd="urn:odd">
  <r:Description r:about="" odd:note="a &gt; b&#xA;c > d"
     xmlns:d="http://purl.org/dc/elements/1.1/" xmp:Rating="5" xmlns:xmp="http://ns.adobe.com/xap/1.0/">
    <odd:list><r:Seq><r:li odd:q="1">Salt</r:li></r:Seq></odd:list>
    <d:subject><r:Bag>
      <r:li>boat</r:li><r:li>R&amp;D</r:li>
      <!-- between --><r:li><![CDATA[<calf>]]></r:li>
    </r:Bag></d:subject>
  </r:Description>
  <r:Description r:about=""/>
</r:RDF>
</x:xmpmeta>
"""


def tags(raw: bytes) -> dict[str, list[str]]:
    packet = Packet(raw, PROPERTIES)
    return {one.prefix: packet.texts(one) for one in PROPERTIES}


def flat(name: str) -> dict[str, list[str]]:
    levels = [f"Whales{sign}Humpback{sign}{name}" for sign in "|/"]
    return {"dc": [name], "lr": levels[:1], "digiKam": levels[1:], "flukeprint": [name, *levels]}


def test_a_new_sidecar() -> None:
    assert merge(EMPTY, "Salt", KNOWN).decode() == SALT
    ElementTree.fromstring(SALT)


def test_another_whale_and_nobody() -> None:
    pepper = merge(SALT.encode(), "Pepper", KNOWN)
    assert tags(pepper) == flat("Pepper")
    assert pepper.decode() == SALT.replace("Salt", "Pepper")
    assert merge(pepper, None, KNOWN) == EMPTY
    assert merge(EMPTY, None, KNOWN) == EMPTY


def test_what_others_wrote_stays() -> None:
    raw = OTHERS.encode()
    merged = merge(raw, "Salt", KNOWN)
    assert tags(merged)["dc"] == ["boat", "R&D", "<calf>", "Salt"]
    assert b"<r:li>Salt</r:li>" in merged
    for part in OTHERS.split("    </r:Bag></d:subject>")[0].splitlines()[:-1]:
        assert part.encode() in merged
    assert merge(merged, None, KNOWN) == raw
    assert merge(merged, "Salt", KNOWN) == merged


def test_a_tag_that_was_there_before_is_not_ours() -> None:
    theirs = OTHERS.replace("boat", "Salt").encode()
    merged = merge(theirs, "Salt", KNOWN)
    assert tags(merged)["flukeprint"] == flat("Salt")["flukeprint"][1:]
    assert merge(merged, "Salt", KNOWN) == merged
    assert tags(merge(merged, "Pepper", KNOWN))["dc"] == ["Salt", "R&D", "<calf>", "Pepper"]


def test_where_the_note_was_thrown_away() -> None:
    """Names of the catalogue in our branch are ours; other words are not, whatever they are."""
    begin, end = SALT.index("   <flukeprint:tags"), SALT.index("  </rdf:Description>")
    bare = (SALT[:begin] + SALT[end:]).replace(
        "<rdf:li>Salt<", "<rdf:li>Cinnamon</rdf:li><rdf:li>Salt<"
    )
    found = tags(merge(bare.encode(), "Pepper", KNOWN))
    assert found == {**flat("Pepper"), "dc": ["Cinnamon", "Pepper"]}
    assert tags(merge(bare.encode(), "Pepper", frozenset({"Pepper"})))["dc"] == [
        *("Cinnamon", "Salt", "Pepper")
    ]


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"], ids=lambda name: name
)
def test_encodings_stay(encoding: str) -> None:
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    raw = (mark + OTHERS.replace("boat", "båt").replace(' encoding="UTF-8"', "")).encode(encoding)
    merged = merge(raw, "Salt", KNOWN)
    assert tags(merged)["dc"] == ["båt", "R&D", "<calf>", "Salt"]
    assert merge(merged, None, KNOWN) == raw


def test_a_description_without_elements() -> None:
    raw = f'<rdf:RDF xmlns:rdf="{RDF}"><rdf:Description rdf:about="" rdf:x="1>"/></rdf:RDF>'
    merged = merge(raw.encode(), "Salt", KNOWN)
    assert tags(merged) == flat("Salt")
    assert raw.removesuffix("</rdf:RDF>").encode() in merged
    after = packet("<x:a xmlns:x='urn:x' x:b='1'/>")  # an element without an end before one's end
    assert tags(merge(after.encode(), "Salt", KNOWN)) == flat("Salt")


LI = "<rdf:li>x</rdf:li>"
BODY = "<dc:subject xmlns:dc='http://purl.org/dc/elements/1.1/'>{}</dc:subject>"


def packet(inside: str, before: str = "") -> str:
    return (
        f'{before}<rdf:RDF xmlns:rdf="{RDF}"><rdf:Description rdf:about="">{inside}'
        "</rdf:Description></rdf:RDF>"
    )


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ("", "not well-formed"),
        ("<a>", "not well-formed"),
        ("<a/>", "XML, but not XMP"),
        ("<a></a>", "XML, but not XMP"),
        (packet("", "<!DOCTYPE a>"), "a document type"),
        (packet("&e;", '<!DOCTYPE a [<!ENTITY e "x">]>'), "a document type"),
        (packet("&e;"), "not well-formed"),
        (packet(BODY.format("x")), "its subject is no list"),
        (packet(BODY.format(LI)), "its subject is no list of words"),
        (packet(BODY.format("<rdf:Bag><rdf:li><rdf:Bag/></rdf:li></rdf:Bag>")), "no list of words"),
        (packet(BODY.format(f"<rdf:Bag>{LI}</rdf:Bag>") * 2), "tells subject twice"),
        (packet("", '<?xml version="1.0" encoding="latin-1"?>'), "written in latin-1"),
        (f'<rdf:RDF xmlns:rdf="{RDF}"/>', "its rdf:RDF is empty"),
        (b"\xff", "not UTF-8 or UTF-16"),
        (b"\xff\xfea", "not UTF-8 or UTF-16"),
        (b" " * (16 * 1024 * 1024 + 1), "too large"),
    ],
)
def test_what_cannot_be_changed_safely(raw: str | bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        merge(raw if isinstance(raw, bytes) else raw.encode(), "Salt", KNOWN)


@pytest.mark.parametrize("empty", ["", "<rdf:Bag/>", "<rdf:Bag></rdf:Bag>"])
def test_lists_that_are_empty(empty: str) -> None:
    merged = merge(packet(BODY.format(empty)).encode(), "Salt", KNOWN)
    assert tags(merged) == flat("Salt")
    assert tags(merge(merged, None, KNOWN)) == {
        key: [] for key in ("dc", "lr", "digiKam", "flukeprint")
    }


WORDS = st.lists(NAME, max_size=3, unique=True)


@given(WORDS, st.lists(st.none() | st.sampled_from(["Salt", "Pepper"]) | NAME, max_size=5))
def test_any_words_and_any_whales(words: list[str], whales: list[str | None]) -> None:
    """Others' words stay, in order; the last whale's tags are there; again changes nothing."""
    names = KNOWN | {name for name in whales if name is not None}
    raw = OTHERS.encode()
    if words:
        first = Packet(EMPTY, PROPERTIES)
        raw = first.changed({SUBJECT: Change(frozenset(), tuple(words))})
    before = tags(raw)["dc"]
    for name in whales:
        raw = merge(raw, name, names)
        assert merge(raw, name, names) == raw
        found = tags(raw)
        assert [word for word in found["dc"] if word in before] == before
        assert set(found["dc"]) == {*before, *([] if name is None else [name])}
        levels = [] if name is None else [f"Whales|Humpback|{name}"]
        assert found["lr"] == levels
        assert found["digiKam"] == [level.replace("Whales|Humpback|", "Whales/Humpback/")
                                    for level in levels]  # fmt: skip


@given(st.binary(max_size=40), st.integers(0, 700), st.integers(0, 60))
def test_damage_is_told_or_survived(noise: bytes, place: int, length: int) -> None:
    raw = OTHERS.encode()
    damaged = raw[:place] + noise + raw[place + length :]
    try:
        merged = merge(damaged, "Salt", KNOWN)
    except ValueError:
        return
    assert tags(merged)["dc"][-1] == "Salt"
    assert merge(merged, "Salt", KNOWN) == merged


def test_each_property_is_its_own() -> None:
    assert len({one.key for one in (SUBJECT, HIERARCHY, TAGS, NOTED)}) == 4
