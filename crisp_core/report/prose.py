"""Figures as words: numbers, intervals, durations and the sentences around them."""

from __future__ import annotations

from datetime import UTC, datetime

from crisp_core.numerics.statistics import Interval

MISSING = "\N{EN DASH}"
SECONDS_PER_MINUTE = 60
SECONDS_PER_HOUR = 3600
SMALLEST_P = 0.001


def number(value: float | None, decimals: int = 3) -> str:
    r"""Write a number with a true minus sign, and an en dash for one that is not defined.

    Examples:
        >>> number(0.0512, 2), number(-0.0001, 2), ascii(number(-0.0512, 2))
        ('0.05', '0.00', "'\\u22120.05'")
    """
    if value is None:
        return MISSING
    text = f"{value:.{decimals}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "\N{MINUS SIGN}")


def signed(value: float | None, decimals: int = 3) -> str:
    """Write a difference with its sign.

    Examples:
        >>> signed(0.02, 2), signed(0.0001, 2)
        ('+0.02', '0.00')
    """
    text = number(value, decimals)
    return f"+{text}" if value is not None and value > 0 and float(text) > 0 else text


def bounds(interval: Interval | None, decimals: int = 3) -> str:
    """Write an interval's ends, or that one patient gives none."""
    return ends(interval.low, interval.high, decimals) if interval else ends(None, None)


def confidence(interval: Interval | None) -> str:
    """Write a 95 % interval with its name, or that one patient gives none.

    Examples:
        >>> confidence(Interval(0.5, None, None, None, 1, 1))
        'no interval'
    """
    words = bounds(interval)
    known = interval is not None and interval.low is not None
    return f"95\N{NO-BREAK SPACE}%\N{NO-BREAK SPACE}CI {words}" if known else words


def ends(low: float | None, high: float | None, decimals: int = 3) -> str:
    """Write where an interval begins and ends.

    Examples:
        >>> ends(0.5, 0.75, 2), ends(None, None)
        ('0.50 to 0.75', 'no interval')
    """
    if low is None or high is None:
        return "no interval"
    return f"{number(low, decimals)} to {number(high, decimals)}"


def p_words(p: float) -> str:
    """Write a p value as journals do.

    Examples:
        >>> p_words(0.0004), p_words(0.0321), p_words(1.0)
        ('< 0.001', '0.032', '1.000')
    """
    return f"< {SMALLEST_P}" if p < SMALLEST_P else f"{p:.3f}"


def count(amount: int, noun: str) -> str:
    """Write an amount with its noun.

    Examples:
        >>> count(1, "case"), count(2000, "case")
        ('1 case', '2,000 cases')
    """
    return f"{amount:,} {noun}" + ("" if amount == 1 else "s")


def sample(case_count: int, patient_count: int) -> str:
    """Write how much a figure rests on.

    Examples:
        >>> sample(16, 8)
        'n = 16 cases of 8 patients'
    """
    return f"n = {count(case_count, 'case')} of {count(patient_count, 'patient')}"


def listed(words: list[str]) -> str:
    """Join words as a sentence does.

    Examples:
        >>> listed(["a"]), listed(["a", "b", "c"])
        ('a', 'a, b and c')
    """
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def share(part: float) -> str:
    r"""Write a share in percent.

    Examples:
        >>> ascii(share(0.294))
        "'29\\xa0%'"
    """
    return f"{part:.0%}".replace("%", "\N{NO-BREAK SPACE}%")


def moment(iso: str) -> str:
    """Write a time stamp as people read it; what is none stays as it is.

    Examples:
        >>> moment("2026-11-26T00:20:58+00:00"), moment("")
        ('26 November 2026, 00:20 UTC', '')
    """
    try:
        when = datetime.fromisoformat(iso).astimezone(UTC)
    except ValueError:
        return iso
    return f"{when.day} {when:%B %Y, %H:%M} UTC"


def stopped(sentence: str) -> str:
    """End a sentence that has no full stop."""
    return sentence if sentence.endswith((".", "?", "!")) else f"{sentence}."


def duration(seconds: float) -> str:
    """Write a time as people say it.

    Examples:
        >>> duration(41.2), duration(754), duration(7504)
        ('41 s', '12 min 34 s', '2 h 5 min')
    """
    whole = round(seconds)
    if whole < SECONDS_PER_MINUTE:
        return f"{whole} s"
    if whole < SECONDS_PER_HOUR:
        return f"{whole // SECONDS_PER_MINUTE} min {whole % SECONDS_PER_MINUTE} s"
    return f"{whole // SECONDS_PER_HOUR} h {whole % SECONDS_PER_HOUR // SECONDS_PER_MINUTE} min"
