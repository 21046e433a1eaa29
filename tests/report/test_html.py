from html.parser import HTMLParser

import pytest

from edgeblend.report.html import document, figure, listed, section, table
from edgeblend.report.tables import GroupedTable, Table, aligned_groups, fitted


class Cells(HTMLParser):
    """The cells of a table with their tags and classes, row by row."""

    def __init__(self, text):
        super().__init__()
        self.rows = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append([tag, dict(attributes).get("class"), ""])

    def handle_data(self, data):
        if self.rows and self.rows[-1] and data.strip():
            self.rows[-1][-1][2] += data


def test_a_table_has_headings_and_rows():
    cells = Cells(table(Table(("", "a<b"), (("x & y", "-1.5"),))))
    assert cells.rows == [
        [["th", None, ""], ["th", None, "a<b"]],
        [["td", None, "x & y"], ["td", None, "\N{MINUS SIGN}1.5"]],
    ]


def test_a_status_has_its_colour_and_other_words_have_none():
    (_, row) = Cells(table(Table(("", "status"), (("OKAY", "OK"),)))).rows
    assert [kind for _, kind, _ in row] == [None, "status OK"]


def test_groups_are_named_above_their_columns_and_stand_apart():
    grouped = GroupedTable(("one", "two"), ("ms", "a", "b", "a", "b"), (("x", "1", "2", "3", "4"),))
    text = table(grouped)
    assert text.count('colspan="2"') == 2
    names, headings, row = Cells(text).rows
    assert [cell[2] for cell in names] == ["", "one", "two"]
    assert [kind for _, kind, _ in headings] == [None, "apart", None, "apart", None]
    assert [cell[2] for cell in row] == ["x", "1", "2", "3", "4"]


def test_a_table_without_rows_is_nothing():
    assert table(Table(("a",), ())) == ""


@pytest.mark.parametrize(
    ("text", "shown"),
    [("-0.3", "\N{MINUS SIGN}0.3"), ("64.2 (-0.3)", "64.2 (\N{MINUS SIGN}0.3)"), ("int8-safe", "int8-safe")],
)
def test_only_figures_get_a_minus_sign(text, shown):
    assert figure(text) == shown


def test_text_is_escaped_everywhere():
    evil = "<script>"
    page = document(evil, section(evil) + listed("notes", [evil]))
    assert evil not in page
    assert page.count("&lt;script&gt;") == 3


def test_names_of_groups_are_shortened_from_their_beginning():
    assert fitted("a-long-name-int8", 9) == "...e-int8"
    grouped = GroupedTable(("a-long-name-int8",), ("ms", "a", "b"), (("x", "10", "20"),))
    assert aligned_groups(grouped) == ["      ...nt8", "ms     a   b", "x     10  20"]
