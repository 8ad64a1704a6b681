"""Tables as LaTeX: one `table` environment each, ready for \\input; they need booktabs alone."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib import resources

import jinja2

from aims.report.statistics.paired import Verdict
from aims.report.tables.layout import Format, Layout
from aims.report.tables.marks import MARKS

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


def stack(lines: list[str]) -> str:
    """Score on top, in line with its row; the setting below in small type."""
    if len(lines) < 2:
        return "".join(lines)
    stacked = r" \\ ".join([lines[0], *(rf"{{\scriptsize {line}}}" for line in lines[1:])])
    return rf"\begin{{tabular}}[t]{{@{{}}r@{{}}}}{stacked}\end{{tabular}}"


LATEX = Format(
    escape=escape_latex,
    prose=prose,
    ranks={"best": r"\textbf{%s}", "second": r"\underline{%s}", "": "%s"},
    mark=superscript,
    footnote=lambda letter: f"$^{{{letter}}}$",
    stack=stack,
    is_latex=True,
)


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        block_start_string="<%",
        block_end_string="%>",
        variable_start_string="<<",
        variable_end_string=">>",
        # A percent sign in braces opens a comment of Jinja's own.
        comment_start_string="<#",
        comment_end_string="#>",
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["prose"] = prose
    text = resources.files("aims.report.tables").joinpath("table.tex.j2").read_text("utf-8")
    return environment.from_string(text)


def latex_text(tables: Iterable[Layout]) -> str:
    """The tables as the text of a file."""
    return "% needs \\usepackage{booktabs}\n" + "\n".join(map(_latex_table, tables))


def _latex_table(table: Layout) -> str:
    kinds = [kind for _, below in table.groups for kind in below]
    heads = [""] * (1 + len(table.columns))
    rules, first = [], 2 + len(table.columns)
    for name, below in table.groups:
        several = len(below) > 1
        heads.append(rf"\multicolumn{{{len(below)}}}{{c}}{{{name}}}" if several else name)
        rules += [rf"\cmidrule(lr){{{first}-{first + len(below) - 1}}}"] if several else []
        first += len(below)
    return _template().render(
        table=table,
        columns=len(table.columns) + len(kinds),
        heads=" & ".join(heads).lstrip() if table.groups else "",
        rules=" ".join(rules),
        header=" & ".join([table.corner, *table.columns, *kinds]).lstrip(),
    )
