"""One table, shown on a terminal, in Markdown and in HTML."""

from aepsl.base.table import Table, number

TABLE = Table(
    "IoU <of> two",
    ["row", "mIoU", "range", "note"],
    [
        ["x|y", number(-5.25), "1.0 … 20.0", "a < b"],
        ["  the paper", number(71), "", "word " * 30 + "end"],
        ["settings.of.this = a name alone, longer than any other", "", "", ""],
    ],
    "Percent.",
)


def test_figures_stand_to_the_right_and_nothing_is_cut():
    lines = TABLE.text().splitlines()
    assert lines[0] == "IoU <of> two" and lines[-1] == "Percent."
    assert lines[1] == "row          mIoU       range  note"
    assert lines[2] == "x|y          −5.2  1.0 … 20.0  a < b"
    assert lines[3].startswith("  the paper  71.0              word word")
    assert TABLE.text().count("word") == 30 and "end" in TABLE.text() and max(map(len, lines)) < 100
    assert lines[-2] == TABLE.rows[2][0]


def test_columns_with_a_word_stand_to_the_left():
    text = Table("", ["what", "which"], [["cores", "2"], ["commit", "1abc"], ["other commits", "none"]]).text()
    assert text.splitlines() == [
        "what           which",
        "cores          2",
        "commit         1abc",
        "other commits  none",
    ]


def test_markdown_keeps_bars_out_of_cells():
    lines = TABLE.markdown().splitlines()
    assert lines[:2] == ["## IoU <of> two", ""]
    assert lines[2:5] == [
        "| row | mIoU | range | note |",
        "|---|---:|---:|---|",
        "| x\\|y | −5.2 | 1.0 … 20.0 | a < b |",
    ]
    assert lines[5].startswith("| the paper | 71.0 |  | word") and lines[-1] == "Percent."


def test_html_escapes_and_says_what_belongs_together():
    html = TABLE.html()
    assert "<h3>IoU &lt;of&gt; two</h3>" in html and "<td>a &lt; b</td>" in html and "<of>" not in html
    assert '<tr class="below"><td>the paper</td><td class="n">71.0</td>' in html
    assert '<th scope="col" class="n">mIoU</th>' in html and '<p class="note">Percent.</p>' in html


def test_a_table_without_rows_has_its_head():
    assert Table("", ["a", "b"], []).text() == "a  b"
