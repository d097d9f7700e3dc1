"""Self-contained HTML pages: one file, no script, no network, and no trust in any name."""

from __future__ import annotations

import base64
from functools import cache
from typing import TYPE_CHECKING

from flukeprint.wording import number, one_line, percent, plural, printable

if TYPE_CHECKING:
    import jinja2


def render(template: str, **values: object) -> str:
    """A page made from ``templates/<template>``; every value is escaped.

    The templates extend ``page.html`` and may use the filters ``number`` (8,350), ``percent``
    (``part | percent(whole)``), ``plural`` (``n | plural("whale")``: "1 whale", "2 whales")
    and ``png`` (PNG bytes to a data URI).

    Raises:
        jinja2.TemplateError: the template is missing or names a value that is not given.
    """
    return printable(_environment().get_template(template).render(**values))


def png_uri(data: bytes) -> str:
    """PNG bytes as a data URI for the ``src`` of an image."""
    return f"data:image/png;base64,{base64.b64encode(data).decode('ascii')}"


@cache
def _environment() -> jinja2.Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("flukeprint", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=number, percent=percent, plural=plural, png=png_uri, one_line=one_line
    )
    return environment
