"""Tests of the bench's rows and of its table, as Markdown, CSV and plot."""

from __future__ import annotations

import csv
import io
import json
import math
from typing import Any

import numpy as np
import pytest
from PIL import Image

from flukeprint.errors import FlukeprintError
from flukeprint.records import NEW_WHALE, Interval
from flukeprint.training.bench.rows import Row, Scored, collapse_share, paired_gain
from flukeprint.training.bench.table import draw, epochs_text, markdown, millions, table_csv
from tests.conftest import ROOT


def scored(map5: float, gain: Interval | None = None) -> Scored:
    return Scored(
        map5=Interval(map5, map5 - 0.045, map5 + 0.042),
        top1=Interval(0.25, 0.2, 0.3),
        top5=Interval(0.5, 0.4, 0.6),
        f1_macro=Interval(0.125, 0.1, 0.15),
        collapse=0.9375,
        queries=640,
        auroc_known=Interval(math.nan, math.nan, math.nan),
        gain_over_new_whale=gain,
    )


NOTE = "not measured here: bring vgg19-dcbb9e9d.pth, then: flukeprint bench papers --weights FILE"
ROWS = [
    Row("new_whale first", "", "", "", None, None, None, None, scored(0.08), scored(0.333)),
    Row("stanford-cnn", "Stanford", "section 3.1", "0.3262 (Kaggle MAP@5)", 12, 50, 2_345_678,
        8.125, scored(0.31), scored(0.569, Interval(0.236, -0.0001, 0.3)), "", 0.3262),
    Row("ucsd-transfer-vgg19", "UCSD", "section 3.3.4", "0.0016 (Kaggle MAP@5)", None, 40,
        87_800_000, None, None, None, NOTE, 0.0016),
]  # fmt: skip


def test_collapse_by_hand() -> None:
    answers = [
        ["a", "b", NEW_WHALE],  # a and b, each answered twice
        ["a", "d"],
        ["b", "c"],
        ["e", NEW_WHALE],  # neither of a, b, c; c, d and e are answered once, c is first by name
        ["d"],
    ]
    # Answered: a 2, b 2, d 2, c 1, e 1. The three are a, b, d: all but the query of e hold one.
    assert collapse_share(answers) == 4 / 5
    # Without the last, d is answered once as c and e are: c is first by name.
    assert collapse_share(answers[:4]) == 3 / 4
    # A query for each whale, all once: a, b and c are first by name.
    assert collapse_share([["d"], ["c"], ["b"], ["a"]]) == 3 / 4


def test_collapse_takes_new_whale_for_no_whale() -> None:
    assert collapse_share([[NEW_WHALE], [NEW_WHALE, "a"]]) == 0.5
    assert collapse_share([[NEW_WHALE]]) == 0.0
    assert collapse_share([]) == 0.0


def test_collapse_is_whole_where_the_same_whales_are_always_answered() -> None:
    assert collapse_share([["a", "b", "c", "d", "e"]] * 9) == 1.0


def test_identical_systems_gain_nothing() -> None:
    ranks = np.array([1.0, 0.5, 0.0, 0.25])
    assert paired_gain(ranks, ranks.copy(), ["w", "w", "x", "y"]) == Interval(0.0, 0.0, 0.0)


def test_a_gain_is_paired_query_by_query() -> None:
    b = np.array([0.0, 0.2, 0.5, 0.75])
    found = paired_gain(b + 0.25, b, ["w", "x", "y", "z"])
    # Each query gains the same, so every resample does, however unlike the queries are.
    assert found.value == pytest.approx(0.25)
    assert (found.low, found.high) == pytest.approx((0.25, 0.25))
    assert paired_gain(b, b + 0.25, ["w", "x", "y", "z"]).value == pytest.approx(-0.25)


def test_a_gain_is_resampled_by_whole_whales() -> None:
    a, b = np.array([1.0] * 9 + [0.0]), np.zeros(10)
    one_whale = paired_gain(a, b, ["w"] * 10)
    assert one_whale == Interval(0.9, 0.9, 0.9)
    apart = paired_gain(a, b, [str(query) for query in range(10)])
    assert apart.low < 0.9 < apart.high


def test_a_gain_of_other_queries_is_refused() -> None:
    with pytest.raises(ValueError, match="do not fit 2 queries"):
        paired_gain(np.zeros(2), np.zeros(3), ["w", "x"])


@pytest.mark.parametrize("row", ROWS)
def test_scores_there_and_back_through_json(row: Row) -> None:
    text = json.dumps(row.to_dict(), allow_nan=False)
    kept = json.loads(text)["open_set"]
    assert (kept is None) == (row.open_set is None)
    if row.open_set is not None:
        back = Scored.from_dict(kept)
        assert back.to_dict() == kept
        assert back.map5 == row.open_set.map5
        assert back.auroc_known is not None and math.isnan(back.auroc_known.value)


def test_what_are_no_scores_is_refused() -> None:
    whole = ROWS[1].to_dict()["open_set"]
    damages: list[Any] = [{}, {**whole, "map5": 0.5}, {**whole, "queries": "x"}, 3]
    for damage in damages:
        with pytest.raises(FlukeprintError, match="not the scores of a bench"):
            Scored.from_dict(damage)


def cells(text: str, heading: str, name: str) -> dict[str, str]:
    """A row of the Markdown table under a heading, by column."""
    lines = text.partition(f"### {heading}")[2].partition("###")[0].splitlines()
    table = [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in lines
        if line.startswith("|")
    ]
    assert len({len(row) for row in table}) == 1, "all rows have all columns"
    (found,) = [row for row in table if row[0] == name]
    return dict(zip(table[0], found, strict=True))


def test_markdown_has_both_protocols() -> None:
    text = markdown(ROWS)
    paper = cells(text, "The papers' protocol", "stanford-cnn")
    assert paper["paper"] == "Stanford, section 3.1"
    assert paper["published"] == "0.3262 (Kaggle MAP@5)"
    assert paper["MAP@5"] == "0.310 (0.265-0.352)"
    assert paper["top three"] == "0.938"
    here = cells(text, "Open-set", "stanford-cnn")
    assert here["MAP@5"] == "0.569 (0.524-0.611)"
    assert here["more than new_whale alone"] == "+0.236 (+0.000 to +0.300)"
    assert here["more than stanford-cnn"] == here["AUROC"] == "-"
    assert (here["parameters"], here["epochs"]) == ("2.35 M", "12 of 50")
    assert here["seconds an epoch"] == "8.12"


def test_markdown_says_what_was_not_measured_and_how_to() -> None:
    text = markdown(ROWS)
    here = cells(text, "Open-set", "ucsd-transfer-vgg19")
    assert here["MAP@5"] == "not measured here" and here["parameters"] == "87.8 M"
    assert here["epochs"] == here["seconds an epoch"] == "-"
    assert f"- ucsd-transfer-vgg19: {NOTE}\n" in text


def test_a_row_may_be_for_one_protocol_only() -> None:
    variant = Row("cnn 1e-4", "", "", "", 5, 5, None, None, scored(0.3), None)
    open_set = markdown([*ROWS, variant]).partition("### Open-set")[2]
    assert "cnn 1e-4" not in open_set
    assert draw([*ROWS, variant]) == draw(ROWS)
    default = Row("flukeprint", "", "", "", 5, 5, None, None, None, scored(0.3))
    assert cells(markdown([default]), "The papers' protocol", "flukeprint")["MAP@5"] == "-"


def test_a_name_cannot_break_the_table() -> None:
    odd = Row("a|b\nc", "", "", "", 3, 3, 5, 1.0, None, None)
    text = markdown([odd])
    assert text.count("| a\\|b c |") == 2


def test_small_words() -> None:
    assert [millions(n) for n in (87_800_000, 1_234_567, 87_000)] == ["87.8 M", "1.23 M", "0.09 M"]
    assert epochs_text(Row("a", "", "", "", 50, 50, None, None, None, None)) == "50"
    assert epochs_text(Row("a", "", "", "", 50, None, None, None, None, None)) == "50"


def test_csv_has_a_line_a_row_and_plain_numbers() -> None:
    table = list(csv.DictReader(io.StringIO(table_csv(ROWS))))
    assert [line["system"] for line in table] == [row.name for row in ROWS]
    cnn = table[1]
    assert float(cnn["open_set_map5"]) == 0.569
    assert (float(cnn["open_set_map5_low"]), float(cnn["open_set_map5_high"])) == (0.524, 0.611)
    assert float(cnn["open_set_gain_over_new_whale"]) == 0.236
    assert float(cnn["paper_protocol_top_three_share"]) == 0.9375
    assert (cnn["parameters"], cnn["epochs"], cnn["recipe_epochs"]) == ("2345678", "12", "50")
    assert float(cnn["seconds_per_epoch"]) == 8.125
    assert float(cnn["published_kaggle_map5"]) == 0.3262
    assert cnn["open_set_auroc_known"] == ""  # nan is no number
    assert table[2]["open_set_map5"] == table[2]["paper_protocol_queries"] == ""
    assert table[2]["note"] == NOTE


def test_a_csv_cell_cannot_be_a_formula() -> None:
    odd = Row("=1+1", "", "", "", None, None, None, None, None, None)
    (line,) = csv.DictReader(io.StringIO(table_csv([odd])))
    assert line["system"] == "'=1+1"


@pytest.mark.parametrize("rows", [ROWS, ROWS[1:], ROWS[2:], []])
def test_the_plot_opens(rows: list[Row]) -> None:
    picture = Image.open(io.BytesIO(draw(rows)))
    assert picture.format == "PNG"
    assert picture.width >= 1_000
    colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 24) or []}
    assert ((31, 111, 139) in colours) and ((217, 98, 59) in colours)  # both marks, if in the key


def test_the_plot_grows_with_its_rows() -> None:
    short, tall = (Image.open(io.BytesIO(draw(ROWS * times))).height for times in (1, 4))
    assert tall > 2 * short


def test_the_docs_show_the_table_that_the_results_hold() -> None:
    kept = (ROOT / "docs" / "results" / "papers" / "papers.md").read_text(encoding="utf-8")
    assert kept in (ROOT / "docs" / "papers.md").read_text(encoding="utf-8")
