"""Tables as LaTeX: one `table` environment each, ready for \\input; the only package needed is booktabs."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib import resources

import jinja2

from aims.core.texts import printable
from aims.reports.statistics.paired import Verdict
from aims.reports.tables.marks import MARKS
from aims.reports.tables.table import Cell, Table

# Brackets and stars are braced: directly after a line break \\ they would be parsed as its arguments.
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

# Signs that are set in math mode.
_SIGNS = {
    MARKS[Verdict.NOT_SEPARABLE]: r"\approx",
    MARKS[Verdict.NOT_TESTED]: r"\dagger",
    "−": "-",
    "≥": r"\ge",
}
_RANKS = {"best": r"\textbf{%s}", "second": r"\underline{%s}", "": "%s"}


def escape_latex(text: str) -> str:
    """Escapes text for LaTeX, including dashes, minus signs and the marks of verdicts."""
    text = printable(" ".join(text.split())).translate(_ESCAPES).replace("–", "--")
    for sign, macro in _SIGNS.items():
        text = text.replace(sign, f"${macro}$")
    return text


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        # All of Jinja's default delimiters begin or end with a brace, which LaTeX uses for arguments.
        block_start_string="<%",
        block_end_string="%>",
        variable_start_string="<<",
        variable_end_string=">>",
        comment_start_string="<#",
        comment_end_string="#>",
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"latex": escape_latex, "cell": _cell}
    text = resources.files("aims.reports.tables").joinpath("table.tex.j2").read_text("utf-8")
    return environment.from_string(text)


def latex_text(tables: Iterable[Table]) -> str:
    """The tables as the content of a .tex file."""
    return "% needs \\usepackage{booktabs}\n" + "\n".join(map(_latex_table, tables))


def _latex_table(table: Table) -> str:
    heads, rules, first = [], [], 2
    for name, number in table.groups:
        text = escape_latex(name)
        several = name and number > 1
        heads += [rf"\multicolumn{{{number}}}{{c}}{{{text}}}"] if several else [text] * number
        rules += [rf"\cmidrule(lr){{{first}-{first + number - 1}}}"] if several else []
        first += number
    headings = (f"{text}." for text in (table.name, table.title) if text)
    return _template().render(
        table=table,
        letters=table.footnotes,
        caption=" ".join(filter(None, [*headings, table.caption])),
        heads=heads if any(heads) else [],
        rules=rules,
    )


def _cell(cell: Cell, letters: dict[str, str]) -> str:
    """A cell: the value on the baseline of its row, further lines below it in small type."""
    lines = [*map(escape_latex, filter(None, [*cell.lines, cell.warning]))] or [""]
    lines[0] = _RANKS[cell.rank] % lines[0]
    if cell.mark:
        lines[0] += f"$^{{{_SIGNS.get(cell.mark, cell.mark)}}}$"
    if cell.footnote:
        lines[0] += f"$^{{{letters[cell.footnote]}}}$"
    if len(lines) == 1:
        return lines[0]
    stacked = r" \\ ".join([lines[0], *(rf"{{\scriptsize {line}}}" for line in lines[1:])])
    return rf"\begin{{tabular}}[t]{{@{{}}r@{{}}}}{stacked}\end{{tabular}}"
