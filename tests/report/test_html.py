from html.parser import HTMLParser
from pathlib import Path

import pytest

import edgeblend
from edgeblend.report.html import document, figure, listed, meanings, section, table, title
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


# One writer


def table_builders(sources: dict[str, str]) -> list[str]:
    """Return the modules that write HTML of tables."""
    return [name for name, source in sources.items() if "<table>" in source or "<tr" in source]


def test_tables_are_written_in_one_place():
    folder = Path(edgeblend.__file__).parent
    sources = {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(folder.rglob("*.py"))
    }
    assert table_builders(sources) == ["report/html.py"]
    assert table_builders({"demo/page.py": 'f"<table><tr><td>{x}"', "cli/run.py": "table(rows)"}) == [
        "demo/page.py"
    ]


def test_a_page_begins_with_what_was_measured_and_ends_with_what_it_means():
    text = title("a < b", ["on <this>"], lead="<p>first</p>")
    expected = "<h1>a &lt; b</h1>\n<p>first</p>"
    assert text.startswith(expected)
    assert f"<li>on &lt;this&gt;</li><li>edgeblend {edgeblend.__version__}</li>" in text
    assert meanings(["ms: milliseconds"]).startswith("<h2>What the figures mean</h2>")


def test_the_rules_for_phones_come_last():
    page = document("a", "", style=".own { color: red; }\n")
    assert page.index(".own") < page.index("@media (max-width: 40rem)") < page.index("</style>")
