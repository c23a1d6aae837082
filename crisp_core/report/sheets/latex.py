"""A sheet as a LaTeX table, for a document that uses the packages booktabs and graphicx."""

from __future__ import annotations

from collections.abc import Iterator

from crisp_core.report.prose import stopped
from crisp_core.report.sheets.formats import label_of, sample_row
from crisp_core.report.sheets.sheet import DAGGER, DOWN, Entry, Heading, Sheet, words_of

SPECIAL = str.maketrans(
    {
        **{letter: f"\\{letter}" for letter in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        "\n": " ",
        "\N{MINUS SIGN}": "$-$",
        "\N{PLUS-MINUS SIGN}": r"$\pm$",
        "\N{EN DASH}": "--",
        "\N{NO-BREAK SPACE}": r"\,",
        "\N{MULTIPLICATION SIGN}": r"$\times$",
        DAGGER: r"$^\dagger$",
        DOWN: r"$\downarrow$",
    }
)


def latex_text(sheet: Sheet) -> str:
    """Write a table with booktabs rules: best of a column bold, worst site of a row with a dagger.

    Deviation, interval and p stand smaller under the figure; a table wider than the line shrinks.
    """
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{latex_words(' '.join(filter(None, [stopped(sheet.title), sheet.note])))}}}",
        rf"\label{{tab:{sheet.name}}}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{''.join(map(_alignment, sheet.headings))}}}",
        r"\toprule",
        _line(latex_words(label_of(heading)) for heading in sheet.headings),
        r"\midrule",
        *(_line(map(_cell, row, sheet.headings)) for row in sheet.rows),
        *_foot(sheet),
        r"\bottomrule",
        r"\end{tabular}}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def latex_words(text: str) -> str:
    r"""Write any text such that LaTeX prints it.

    Examples:
        >>> latex_words("50 % of a_b")
        '50 \\% of a\\_b'
    """
    return text.translate(SPECIAL)


def _cell(entry: Entry, heading: Heading) -> str:
    written = words_of(entry, heading)
    main = latex_words(written.main)
    main = rf"\texttt{{{main}}}" if heading.kind == "code" and main else main
    main = rf"\textbf{{{main}}}" if entry.best else main
    main = f"{main} {latex_words(written.mark)}" if written.mark else main
    small = (rf"{{\scriptsize {latex_words(word)}}}" for word in written.small)
    lines = r" \\ ".join([main, *small])
    return rf"\begin{{tabular}}[t]{{@{{}}r@{{}}}}{lines}\end{{tabular}}" if written.small else main


def _foot(sheet: Sheet) -> Iterator[str]:
    if sheet.sampled:
        yield r"\midrule"
        yield _line(map(latex_words, sample_row(sheet)))


def _line(cells: Iterator[str]) -> str:
    return " & ".join(cells) + r" \\"


def _alignment(heading: Heading) -> str:
    return "l" if heading.wordy else "r"
