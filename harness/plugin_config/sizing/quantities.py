"""Numbers as people read them: lengths of time, bytes, rates, and rounding to figures that look chosen."""

from __future__ import annotations

import math


def duration_text(seconds: float) -> str:
    """Return a length of time: ``50 ms``, ``1.5 s``, ``10 min``, ``1 min 22 s``, ``2 h 5 min``."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 59.95:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    parts = [(hours, "h"), (minutes, "min"), (rest if not hours else 0, "s")]
    return " ".join(f"{number:,} {unit}" for number, unit in parts if number)


def bytes_text(number: float) -> str:
    """Return a number of bytes in decimal units: ``700 B``, ``7.0 MB``."""
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"{number:,.0f} B" if unit == "B" else f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:,.3g} GB"


def rate_text(number: float) -> str:
    """Return how many a second: three digits for small numbers, whole ones with thousands set off for large."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def setting_text(value: int | float | None) -> str:
    """Return a parameter's value as one writes it: ``1000000``, ``0.5``, ``null``."""
    return "null" if value is None else str(plain_number(value))


def plain_number(value: int | float) -> int | float:
    """Return a whole number as an int: ``60.0`` is 60."""
    return int(value) if float(value).is_integer() else value


def rounded_up(number: float, digits: int = 2) -> int:
    """Return the next whole number at or above ``number`` with no more than so many digits that are not zero."""
    whole = math.ceil(number)
    unit: int = 10 ** max(0, len(str(whole)) - digits)
    return -(-whole // unit) * unit


def rounded_down(number: float, digits: int = 2) -> float:
    """Return the next number at or below ``number``, which is above zero, with so many significant digits."""
    unit = 10.0 ** (math.floor(math.log10(number)) - digits + 1)
    return float(f"{math.floor(number / unit + 1e-9) * unit:.{digits}g}")


def next_round(number: float) -> int:
    """Return the next of 1, 2, 5, 10, 20, 50, … at or above ``number``."""
    power = 1
    while True:
        for first in (1, 2, 5):
            if first * power >= number:
                return first * power
        power *= 10
