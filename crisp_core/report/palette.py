"""One colour a structure, the same in pictures and legends, and told apart by colour-blind eyes."""

from __future__ import annotations

Colour = tuple[int, int, int]

STRUCTURES: tuple[Colour, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (204, 121, 167),
    (0, 114, 178),
    (213, 94, 0),
    (240, 228, 66),
)
"""Okabe and Ito, "Color Universal Design", 2008; black is left to the image."""

REFERENCE: Colour = (255, 255, 255)
"""The outline of the reference in every picture."""

RIGHT: Colour = (0, 158, 60)
WRONG: Colour = (222, 45, 38)
LACKING: Colour = (49, 110, 230)
MISTAKEN: Colour = (240, 228, 66)
ERRORS: dict[str, Colour] = {
    "found": RIGHT,
    "too much": WRONG,
    "missed": LACKING,
    "another structure": MISTAKEN,
}
"""What the view of the errors shows, by its legend."""
HEAT: tuple[Colour, ...] = ((0, 0, 0), (120, 40, 90), (230, 120, 30), (255, 245, 200))
"""From certain to a coin toss."""


def structure_colour(index: int) -> Colour:
    """Return the colour of structure `index`, from 0; after seven structures they repeat."""
    return STRUCTURES[index % len(STRUCTURES)]


def css(colour: Colour) -> str:
    """Write a colour as a style sheet does.

    Examples:
        >>> css((230, 159, 0))
        '#e69f00'
    """
    return "#{:02x}{:02x}{:02x}".format(*colour)
