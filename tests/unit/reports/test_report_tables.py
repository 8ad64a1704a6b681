"""One description of a table in every format."""

import pytest

from aims.reports.statistics.paired import Verdict
from aims.reports.tables.latex import latex_text
from aims.reports.tables.markdown import escape_markdown, markdown_lines, markdown_text
from aims.reports.tables.marks import MARKS
from aims.reports.tables.table import Cell, Column, Row, Table

TABLE = Table(
    title="A_1 & more",
    name="Made up",
    label="tab:made-up",
    caption="In percent.",
    corner="row",
    columns=[Column(name="fact"), Column(name="old", group="x_y"), Column(name="new", group="x_y")],
    rows=[
        Row(label="one", cells=[Cell(lines=("a|b",)), Cell(footnote="read off"), Cell()], block=1),
        Row(
            label="two",
            cells=[
                Cell(lines=("c",), footnote="guessed"),
                Cell(lines=("1.00", "[0.50, 1.50]"), rank="best"),
                Cell(lines=("0.90",), rank="second", mark=MARKS[Verdict.NOT_SEPARABLE], warning="BELOW"),
            ],
            block=2,
        ),
    ],
    notes=["That is all."],
)


def test_markdown() -> None:
    assert markdown_text(markdown_lines(TABLE)) == (
        "## A\\_1 &amp; more\n\nIn percent.\n\n"
        "| row | fact | x\\_y, old | x\\_y, new |\n"
        "| --- | ---: | ---: | ---: |\n"
        "| one | a\\|b | (a) |  |\n"
        "| two | c (b) | **1.00**<br>[0.50, 1.50] | <u>0.90</u> ≈<br>BELOW |\n\n"
        "(a) read off\n\n(b) guessed\n\nThat is all.\n"
    )


def test_latex() -> None:
    text = latex_text([TABLE])
    assert r"\caption{Made up. A\_1 \& more. In percent.}" in text
    assert r"&  & \multicolumn{2}{c}{x\_y} \\" in text
    assert r"\cmidrule(lr){3-4}" in text
    assert r"row & fact & old & new \\" in text
    assert r"one & a\textbar{}b & $^{a}$ &  \\" in text
    best = r"\begin{tabular}[t]{@{}r@{}}\textbf{1.00} \\ {\scriptsize {[}0.50, 1.50{]}}\end{tabular}"
    assert best in text
    assert r"\underline{0.90}$^{\approx}$" in text
    # A rule below the head, and one between the blocks.
    assert text.count(r"\midrule") == 2
    assert r"\par\smallskip{\footnotesize $^{b}$ guessed}" in text
    assert r"\par\smallskip{\footnotesize That is all.}" in text


@pytest.mark.parametrize(
    ("text", "escaped"),
    [("[1, 2]", "[1, 2]"), ("[a](b)", r"[a\](b)"), ("[a][b]", r"[a\][b]"), ("[a]: b", r"[a\]: b")],
)
def test_brackets_are_escaped_where_they_would_make_a_link(text: str, escaped: str) -> None:
    assert escape_markdown(text) == escaped
