"""Schedules of the mask ratio that papers have used, by name, with the papers' constants."""

from typing import NamedTuple

from diffmask.core.schedule import Cosine, Linear, Piecewise, Polynomial, Schedule, Steps

_MRD = "Yang et al. 2023 (arXiv 2208.10806)"
_P = 0.15  # the constant ratio that masking ratio decay replaces (Devlin et al. 2019)
_WARMUP = 80_000 / 1_000_000  # the published code warms up for 80,000 steps; its base model trains for 1,000,000
_MMBERT = (2300, 600, 100)  # thousand millions of tokens in pretraining, context extension and decay of mmBERT


class Preset(NamedTuple):
    """A schedule that a paper used.

    Attributes:
        schedule: Its values, before any floor.
        source: Where it comes from.
        formula: Its values in words, t = progress and p = 0.15.
    """

    schedule: Schedule
    source: str
    formula: str


PRESETS: dict[str, Preset] = {
    "mrd-linear": Preset(Linear(2 * _P, 0.0), _MRD, "2p (1 - t)"),
    "mrd-cosine": Preset(Cosine(2 * _P + 0.02, 0.02), _MRD, "p (1 + cos(pi t)) + 0.02"),
    "mrd-ascending": Preset(Linear(0.0, 2 * _P), _MRD, "2p t"),
    "mrd-square-above": Preset(Polynomial(2 * _P + 0.01, 0.01, ease_in=True), _MRD, "2p (1 - t^2) + 0.01"),
    "mrd-square-below": Preset(Polynomial(2 * _P, 0.0), _MRD, "2p (1 - t)^2"),
    "mrd-tent": Preset(Piecewise((0.0, 0.5, 1.0), (0.0, 2 * _P, 0.0)), _MRD, "2p (1 - |1 - 2t|)"),
    "mrd-vee": Preset(Piecewise((0.0, 0.5, 1.0), (2 * _P + 0.01, 0.01, 2 * _P + 0.01)), _MRD, "2p |1 - 2t| + 0.01"),
    "mrd-warmup-decay": Preset(
        Piecewise((0.0, _WARMUP, 1.0), (0.0, 2 * _P, 0.0)), _MRD, "0 to 2p by t = 0.08, then to 0"
    ),
    "30-15": Preset(Linear(0.30, 0.15), "Ankner et al. 2024 (arXiv 2305.15096)", "0.30 - 0.15 t"),
    "30-15-5": Preset(
        Steps((0.0, _MMBERT[0] / sum(_MMBERT), (_MMBERT[0] + _MMBERT[1]) / sum(_MMBERT)), (0.30, 0.15, 0.05)),
        "mmBERT, Marone et al. 2025 (arXiv 2509.06888)",
        "0.30, 0.15 from 0.767, 0.05 from 0.967",
    ),
}
