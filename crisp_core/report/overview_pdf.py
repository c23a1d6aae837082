"""The overview as one page of PDF; needs the extra `pdf`."""

from __future__ import annotations

import io

from fpdf import FPDF
from fpdf.enums import XPos, YPos

from crisp_core.report.overview import COLUMNS, FLAGS, LEGEND, Overview, Views
from crisp_core.report.pictures import png

MARGIN_MM = 12.0
GAP_MM = 2.0
WIDTH_MM = 210 - 2 * MARGIN_MM
PICTURE_MM = (WIDTH_MM - GAP_MM * (len(COLUMNS) - 1) - 8) / len(COLUMNS)
TALLEST_MM = 48.0
INK, FAINT = (25, 25, 25), (110, 110, 110)
FONT = "helvetica"


def overview_pdf(page: Overview) -> bytes:
    """Return the page as a PDF file, A4."""
    pdf = FPDF(format="A4")
    pdf.set_auto_page_break(auto=False)
    pdf.set_margins(MARGIN_MM, MARGIN_MM)
    pdf.set_title(_plain(f"CRISP-FL prediction of {page.case}"))
    pdf.set_creator("CRISP-FL")
    pdf.add_page()
    _head(pdf, page)
    _flag(pdf, page)
    _pictures(pdf, page)
    _table(pdf, page)
    _foot(pdf, page)
    return bytes(pdf.output())


def _head(pdf: FPDF, page: Overview) -> None:
    _line(pdf, page.case, size=18, style="B", height=9)
    for fact in page.facts:
        _line(pdf, fact, size=9, colour=FAINT, height=4.6)
    pdf.ln(2)


def _flag(pdf: FPDF, page: Overview) -> None:
    colour, words = FLAGS[page.decision]
    pdf.set_fill_color(*colour)
    pdf.set_text_color(255, 255, 255)
    pdf.set_font(FONT, "B", 11)
    pdf.cell(0, 8, f"  {words}", fill=True, new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    pdf.ln(1)
    for reason in page.reasons:
        _line(pdf, f"-  {reason}", size=9.5, height=5)
    pdf.ln(2)


def _pictures(pdf: FPDF, page: Overview) -> None:
    top = pdf.get_y()
    for index, word in enumerate(COLUMNS):
        pdf.set_xy(_left(index), top)
        _line(pdf, word, size=8.5, colour=FAINT, height=4.5)
    for views in page.slices:
        _slice(pdf, page, views)
    pdf.ln(1)


def _slice(pdf: FPDF, page: Overview, views: Views) -> None:
    tall = min(TALLEST_MM, PICTURE_MM * page.height_per_width)
    wide = tall / page.height_per_width
    top = pdf.get_y()
    pdf.set_xy(MARGIN_MM, top + tall / 2 - 2)
    _line(pdf, str(views.number), size=8.5, colour=FAINT, height=4)
    for index, picture in enumerate(views.pictures):
        pdf.image(io.BytesIO(png(picture)), x=_left(index), y=top, w=wide, h=tall)
    pdf.set_xy(MARGIN_MM, top + tall + GAP_MM)


def _table(pdf: FPDF, page: Overview) -> None:
    widths = (62.0, *[36.0] * (len(page.header) - 1))
    pdf.ln(2)
    _cells(pdf, page.header, widths, colour=FAINT)
    for row in page.rows:
        top = pdf.get_y()
        pdf.set_fill_color(*row.colour)
        pdf.rect(MARGIN_MM, top + 1.2, 3.2, 3.2, style="F")
        _cells(pdf, row.cells, widths, colour=INK)
    pdf.ln(2)


def _cells(
    pdf: FPDF, cells: tuple[str, ...], widths: tuple[float, ...], colour: tuple[int, int, int]
) -> None:
    pdf.set_text_color(*colour)
    pdf.set_font(FONT, "", 9.5)
    pdf.set_x(MARGIN_MM + 6)
    for index, (text, width) in enumerate(zip(cells, widths, strict=True)):
        pdf.cell(width, 5.6, _plain(text), align="R" if index else "L")
    pdf.ln(5.6)


def _foot(pdf: FPDF, page: Overview) -> None:
    pdf.set_y(-MARGIN_MM - 13)
    pdf.set_draw_color(*FAINT)
    pdf.line(MARGIN_MM, pdf.get_y() - 1.5, MARGIN_MM + WIDTH_MM, pdf.get_y() - 1.5)
    _line(pdf, "; ".join(LEGEND), size=7.5, colour=FAINT, height=5)
    _line(pdf, page.limits, size=9, style="B", height=5)


def _left(column: int) -> float:
    return MARGIN_MM + 8 + column * (PICTURE_MM + GAP_MM)


def _line(
    pdf: FPDF,
    text: str,
    *,
    size: float,
    height: float,
    style: str = "",
    colour: tuple[int, int, int] = INK,
) -> None:
    pdf.set_font(FONT, style, size)
    pdf.set_text_color(*colour)
    pdf.cell(0, height, _plain(text), new_x=XPos.LMARGIN, new_y=YPos.NEXT)


def _plain(text: str) -> str:
    """Keep what the page's own font can draw."""
    return text.encode("latin-1", "replace").decode("latin-1")
