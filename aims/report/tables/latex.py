"""Table 1 as LaTeX: one `table` environment a section, ready for \\input; needs booktabs alone."""

from __future__ import annotations

from collections.abc import Sequence

from aims.report.runs.floors import FLOORS
from aims.report.statistics.paired import Verdict
from aims.report.tables.captions import caption, cell_lines, footnote_marks, published_text, title
from aims.report.tables.marks import MARKS
from aims.report.tables.published import TABLE1_METHODS, PublishedTable1
from aims.report.tables.table1 import Row, Section

# Brackets and stars are braced because after a line break \\ they would be read as its arguments.
_ESCAPES = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "{": r"\{",
        "}": r"\}",
        "_": r"\_",
        "&": r"\&",
        "%": r"\%",
        "#": r"\#",
        "$": r"\$",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        "[": "{[}",
        "]": "{]}",
        "*": "{*}",
    }
)


# Signs that are no letters, in mathematics.
_SIGNS = {
    MARKS[Verdict.NOT_SEPARABLE]: r"\approx",
    MARKS[Verdict.NOT_TESTED]: r"\dagger",
    "−": "-",
    "≥": r"\ge",
}


def escape_latex(text: str) -> str:
    """Makes text mean itself in LaTeX."""
    return text.translate(_ESCAPES)


def prose(text: str) -> str:
    """As `escape_latex`, with the marks of verdicts, minus signs and dashes."""
    text = escape_latex(text).replace("–", "--")
    for sign, macro in _SIGNS.items():
        text = text.replace(sign, f"${macro}$")
    return text


def superscript(mark: str) -> str:
    """A verdict's mark behind a score; empty where there is none."""
    return f"$^{{{_SIGNS.get(mark, mark)}}}$" if mark else ""


def table1_latex(sections: Sequence[Section], published: PublishedTable1) -> str:
    """Table 1 in LaTeX, one `table` environment a section."""
    tables = [_table(section, published, index) for index, section in enumerate(sections, start=1)]
    return "% needs \\usepackage{booktabs}\n" + "\n".join(tables)


def _table(section: Section, published: PublishedTable1, index: int) -> str:
    marks = footnote_marks(section)
    text = f"Scratch and SimCMF: {title(section.condition)}. {caption(section, published)}"
    heads = [rf"\multicolumn{{2}}{{c}}{{{escape_latex(name)}}}" for name in TABLE1_METHODS.values()]
    heads += [escape_latex(name) for name in FLOORS]
    kinds = ["published", "ours"] * len(TABLE1_METHODS) + ["ours"] * len(FLOORS)
    rules = [rf"\cmidrule(lr){{{2 * i + 2}-{2 * i + 3}}}" for i in range(len(TABLE1_METHODS))]
    lines = [
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{escape_latex(text)}}}",
        rf"  \label{{tab:aims-table1-{index}}}",
        rf"  \begin{{tabular}}{{l{'r' * len(kinds)}}}",
        r"    \toprule",
        f"    & {' & '.join(heads)} \\\\",
        f"    {' '.join(rules)}",
        f"    {' & '.join(['modality', *kinds])} \\\\",
        r"    \midrule",
        *_body(section, marks),
        r"    \bottomrule",
        r"  \end{tabular}",
    ]
    for note, mark in marks.items():
        lines.append(rf"  \par\smallskip{{\footnotesize $^{{{mark}}}$ {escape_latex(note)}}}")
    for note in (*section.notes, section.floor_note):
        lines.append(rf"  \par\smallskip{{\footnotesize Note: {escape_latex(note)}}}")
    return "\n".join([*lines, r"\end{table}", ""])


def _body(section: Section, marks: dict[str, str]) -> list[str]:
    """Rows of the tabular, with a rule before and after the average where other rows follow."""
    lines = []
    kind = "paper"
    for row in section.rows:
        if row.kind != kind:
            lines.append(r"    \midrule")
            kind = row.kind
        lines.append(f"    {_row(row, marks)} \\\\")
    return lines


def _row(row: Row, marks: dict[str, str]) -> str:
    texts = [escape_latex(row.label)]
    for method, cell in row.cells.items():
        mark = f"$^{{{marks[cell.footnote]}}}$" if cell.footnote else ""
        texts += [] if method in FLOORS else [published_text(cell) + mark]
        texts.append(stack(cell_lines(cell, escape_latex)))
    return " & ".join(texts)


def stack(lines: list[str]) -> str:
    """Score on top, in line with its row; the setting below in small type."""
    if len(lines) < 2:
        return "".join(lines)
    stacked = r" \\ ".join([lines[0], *(rf"{{\scriptsize {line}}}" for line in lines[1:])])
    return rf"\begin{{tabular}}[t]{{@{{}}r@{{}}}}{stacked}\end{{tabular}}"
