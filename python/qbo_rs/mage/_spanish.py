"""Texts of Mage's log in both languages: English, a bar, Spanish."""

from __future__ import annotations

from qbo_rs import _core

BAR = " | "


def in_both(text: str) -> str:
    """Return a text of the core with its Spanish behind a bar.

    Args:
        text: A finished English text.

    Returns:
        The text alone, if it is in both languages already or the catalogue knows nothing of it.

    Example:
        >>> in_both("not set")
        'not set | sin definir'

    """
    spanish = text if BAR in text else _core.in_spanish(text)
    return text if spanish == text else f"{text}{BAR}{spanish}"
