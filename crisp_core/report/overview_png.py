"""The overview as one picture; needs the extra `pdf`, which brings the letters."""

from __future__ import annotations

import io

from PIL import Image, ImageDraw, ImageFont

from crisp_core.report.overview import COLUMNS, FLAGS, LEGEND, Overview, Views

WIDTH_PX, MARGIN_PX, GAP_PX, LABEL_PX = 1400, 40, 12, 44
PICTURE_PX = (WIDTH_PX - 2 * MARGIN_PX - LABEL_PX - GAP_PX * (len(COLUMNS) - 1)) // len(COLUMNS)
TALLEST_PX = 360
INK, FAINT, PAPER = (25, 25, 25), (110, 110, 110), (255, 255, 255)
TITLE_PX, TEXT_PX, SMALL_PX = 40, 22, 19
COLUMN_PX = (420, 240, 240, 240)


class _Sheet:
    """Paper that is written on from the top; twice as long as any page needs."""

    def __init__(self) -> None:
        self.image = Image.new("RGB", (WIDTH_PX, 4000), PAPER)
        self.draw = ImageDraw.Draw(self.image)
        self.top = MARGIN_PX

    def write(
        self, text: str, size: int, colour: tuple[int, int, int] = INK, left: int = MARGIN_PX
    ) -> None:
        """Write one line; the next goes below it."""
        font = ImageFont.load_default(size)
        self.draw.text((left, self.top), text, colour, font)
        self.top += round(size * 1.4)

    def cells(self, texts: tuple[str, ...], colour: tuple[int, int, int]) -> None:
        """Write a row of the table: words on the left, numbers on the right of their column."""
        font, left = ImageFont.load_default(TEXT_PX), MARGIN_PX + LABEL_PX
        for index, (text, width) in enumerate(zip(texts, COLUMN_PX, strict=True)):
            at, anchor = (left + width, "ra") if index else (left, "la")
            self.draw.text((at, self.top), text, colour, font, anchor)
            left += width
        self.top += round(TEXT_PX * 1.5)


def overview_png(page: Overview) -> bytes:
    """Return the page as a PNG file, as long as it needs to be."""
    sheet = _Sheet()
    sheet.write(page.case, TITLE_PX)
    for fact in page.facts:
        sheet.write(fact, SMALL_PX, FAINT)
    _flag(sheet, page)
    _pictures(sheet, page)
    sheet.top += GAP_PX
    sheet.cells(page.header, FAINT)
    for row in page.rows:
        box = (MARGIN_PX + 8, sheet.top + 4, MARGIN_PX + 26, sheet.top + 22)
        sheet.draw.rectangle(box, fill=row.colour)
        sheet.cells(row.cells, INK)
    sheet.top += GAP_PX
    sheet.write("; ".join(LEGEND), SMALL_PX - 3, FAINT)
    sheet.write(page.limits, TEXT_PX)
    file = io.BytesIO()
    sheet.image.crop((0, 0, WIDTH_PX, sheet.top + MARGIN_PX // 2)).save(file, "PNG")
    return file.getvalue()


def _flag(sheet: _Sheet, page: Overview) -> None:
    colour, words = FLAGS[page.decision]
    sheet.top += GAP_PX
    box = (MARGIN_PX, sheet.top, WIDTH_PX - MARGIN_PX, sheet.top + 46)
    sheet.draw.rectangle(box, fill=colour)
    sheet.top += 9
    sheet.write(words, TEXT_PX + 2, PAPER, MARGIN_PX + 16)
    sheet.top += 10
    for reason in page.reasons:
        sheet.write(f"-  {reason}", TEXT_PX)
    sheet.top += GAP_PX


def _pictures(sheet: _Sheet, page: Overview) -> None:
    font = ImageFont.load_default(SMALL_PX)
    for index, word in enumerate(COLUMNS):
        sheet.draw.text((_left(index), sheet.top), word, FAINT, font)
    sheet.top += round(SMALL_PX * 1.4)
    for views in page.slices:
        _slice(sheet, page, views)


def _slice(sheet: _Sheet, page: Overview, views: Views) -> None:
    tall = min(TALLEST_PX, round(PICTURE_PX * page.height_per_width))
    wide = round(tall / page.height_per_width)
    font = ImageFont.load_default(SMALL_PX)
    middle = (MARGIN_PX, sheet.top + tall // 2)
    sheet.draw.text(middle, str(views.number), FAINT, font, "lm")
    for index, picture in enumerate(views.pictures):
        drawn = Image.fromarray(picture).resize((wide, tall), Image.Resampling.BILINEAR)
        sheet.image.paste(drawn, (_left(index), sheet.top))
    sheet.top += tall + GAP_PX


def _left(column: int) -> int:
    return MARGIN_PX + LABEL_PX + column * (PICTURE_PX + GAP_PX)
