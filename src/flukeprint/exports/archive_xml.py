"""The two XML files of a Darwin Core archive: what its columns mean, and whose data they are.

Sources: TDWG, "Darwin Core Text Guide", and its schema tdwg_dwc_text.xsd; GBIF Metadata Profile 1.3
(eml-gbif-profile.xsd), which is an EML 2.2.0 of which the order of elements is fixed; the IPT's
manual for the wording that makes a licence readable to machines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

from flukeprint.errors import FlukeprintError

CREATIVE_COMMONS = "http://creativecommons.org"
_BY = "This work is licensed under a {}."
LICENCES = {
    "cc0": (
        "To the extent possible under law, the publisher has waived all rights to these data and "
        "has dedicated them to the {}. Users may copy, modify, distribute and use the work, "
        "including for commercial purposes, without restriction",
        f"{CREATIVE_COMMONS}/publicdomain/zero/1.0/legalcode",
        "Public Domain (CC0 1.0)",
    ),
    "cc-by": (
        _BY,
        f"{CREATIVE_COMMONS}/licenses/by/4.0/legalcode",
        "Creative Commons Attribution (CC-BY) 4.0 License",
    ),
    "cc-by-nc": (
        _BY,
        f"{CREATIVE_COMMONS}/licenses/by-nc/4.0/legalcode",
        "Creative Commons Attribution Non Commercial (CC-BY-NC) 4.0 License",
    ),
}
"""The three that GBIF takes: the sentence, the licence's address and its name."""
NOT_STATED = "not stated"


@dataclass(frozen=True, slots=True)
class TableFile:
    """A file of the archive: its class's URI and its columns' terms, the first its record's id."""

    name: str
    row_type: str
    terms: tuple[str, ...]


def meta_xml(core: TableFile, extensions: Sequence[TableFile]) -> str:
    """The archive's descriptor, which names every column's term by its index from 0."""
    parts = [_table("core", "id", core), *(_table("extension", "coreid", e) for e in extensions)]
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<archive xmlns="http://rs.tdwg.org/dwc/text/" metadata="eml.xml">\n'
        f"{''.join(parts)}</archive>\n"
    )


def _table(element: str, key: str, table: TableFile) -> str:
    first = 0 if element == "core" else 1  # an extension's first column is the core's id, no term
    fields = "".join(
        f'    <field index="{place}" term={quoteattr(term)}/>\n'
        for place, term in enumerate(table.terms)
        if place >= first
    )
    return (
        f'  <{element} encoding="UTF-8" fieldsTerminatedBy="," linesTerminatedBy="\\n" '
        f'fieldsEnclosedBy="&quot;" ignoreHeaderLines="1" rowType={quoteattr(table.row_type)}>\n'
        f"    <files>\n      <location>{escape(table.name)}</location>\n    </files>\n"
        f'    <{key} index="0"/>\n{fields}  </{element}>\n'
    )


def eml_xml(
    *, identifier: str, title: str, publisher: str, published: str, abstract: str, licence: str
) -> str:
    """Whose data these are; ``published`` is YYYY-MM-DD, ``identifier`` this version's own.

    Raises:
        FlukeprintError: the licence is none that GBIF takes, or a text cannot be printed.
    """
    if licence and licence not in LICENCES:
        raise FlukeprintError(f"no licence is called {licence!r}; say {', '.join(LICENCES)}")
    for text in (title, publisher):
        if not text.isprintable():
            raise FlukeprintError(f"{text[:40]!r} cannot be printed; give it without line breaks")
    name = escape(publisher.strip() or NOT_STATED)
    agent = f"<organizationName>{name}</organizationName>"
    rights = ""
    if licence:
        sentence, url, licence_name = LICENCES[licence]
        link = f"<ulink url={quoteattr(url)}><citetitle>{licence_name}</citetitle></ulink>"
        para = f"<para>{sentence.format(link)}</para>"
        rights = f"    <intellectualRights>{para}</intellectualRights>\n"
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<eml:eml xmlns:eml="https://eml.ecoinformatics.org/eml-2.2.0"\n'
        '    xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"\n'
        '    xsi:schemaLocation="https://eml.ecoinformatics.org/eml-2.2.0'
        ' https://rs.gbif.org/schema/eml-gbif-profile/1.3/eml.xsd"\n'
        f'    packageId={quoteattr(identifier)} system="flukeprint" scope="system" xml:lang="en">\n'
        "  <dataset>\n"
        f"    <title>{escape(title.strip() or NOT_STATED)}</title>\n"
        f"    <creator>{agent}</creator>\n"
        f"    <metadataProvider>{agent}</metadataProvider>\n"
        f"    <pubDate>{escape(published)}</pubDate>\n"
        "    <language>en</language>\n"
        f"    <abstract><para>{escape(abstract)}</para></abstract>\n"
        f"{rights}"
        f"    <contact>{agent}</contact>\n"
        "  </dataset>\n"
        "</eml:eml>\n"
    )
