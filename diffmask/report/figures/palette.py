"""The colours of heat maps: steps from plain to hot, each readable under the text, for light and for dark."""

NUM_LEVELS = 11
"""Level 0 is the page itself."""


def _ramp(*stops: str) -> tuple[str, ...]:
    """Return evenly spaced colours between stops, straight through RGB."""
    points = [tuple(int(stop[i : i + 2], 16) for i in (1, 3, 5)) for stop in stops]
    colours = []
    for level in range(NUM_LEVELS):
        place = level / (NUM_LEVELS - 1) * (len(points) - 1)
        left = min(int(place), len(points) - 2)
        pairs = zip(points[left], points[left + 1], strict=True)
        colours.append("#" + "".join(f"{round(a + (b - a) * (place - left)):02x}" for a, b in pairs))
    return tuple(colours)


LIGHT = _ramp("#ffffff", "#ffeccc", "#ffd08a", "#ffac4d", "#f98a2b")
LIGHT_INK = "#1f1b17"
DARK = _ramp("#1c1a18", "#3a2716", "#643813", "#904811", "#b04e0f")
DARK_INK = "#f6efe7"


def level(probability: float, highest: float) -> int:
    """Return the step of a probability on a scale that ends at `highest`; everything above the page is at least 1.

    >>> [level(p, 0.5) for p in (0.0, 0.01, 0.25, 0.5)]
    [0, 1, 5, 10]
    """
    if probability <= 0:
        return 0
    return min(NUM_LEVELS - 1, max(1, round(probability / highest * (NUM_LEVELS - 1))))
