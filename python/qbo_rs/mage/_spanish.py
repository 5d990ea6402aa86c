"""Texts of Mage's log in both languages: English, a bar, Spanish.

A finished text is never taken apart at a bar: names of companies and files hold bars, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qbo_rs import _core

if TYPE_CHECKING:
    from typing_extensions import Self

BAR = " | "


class InBoth(str):
    """A text in both languages, which knows its halves. It is the text alone if the two are the same.

    Example:
        >>> InBoth("not set", "sin definir")
        'not set | sin definir'

    """

    __slots__ = ("english", "spanish")
    english: str
    spanish: str

    def __new__(cls, english: str, spanish: str) -> Self:
        """Join the halves."""
        text = super().__new__(cls, english if english == spanish else f"{english}{BAR}{spanish}")
        text.english, text.spanish = english, spanish
        return text

    def __reduce__(self) -> tuple[type[InBoth], tuple[str, str]]:
        """Return what a copy is made of."""
        return InBoth, (self.english, self.spanish)


def in_both(text: str) -> InBoth:
    """Return a text with its Spanish behind a bar.

    Args:
        text: A finished English text, of which the catalogue may know the Spanish, or one in both languages.

    Example:
        >>> in_both("not set")
        'not set | sin definir'

    """
    return text if isinstance(text, InBoth) else InBoth(text, _core.in_spanish(text))


def text_of(error: BaseException) -> str:
    """Return the text of an error, which knows its halves if it was raised in both languages."""
    text = error.args[0] if error.args else ""
    return text if isinstance(text, InBoth) else str(error)
