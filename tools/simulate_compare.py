"""Simulate results of two methods and count how often `diffmask compare` says that they differ.

    python tools/simulate_compare.py alarms     no effect: false alarms, beside those of simpler tests
    python tools/simulate_compare.py power      effects by numbers of seeds
    python tools/simulate_compare.py family     no effect among several methods: any false alarm, corrected or not

A text is predicted rightly if  method + text + method x text + method x seed + rest > 0, all normal. `method x text` is
what a pretrained model does on a text whatever the seed; `method x seed` is what a seed does on all texts. Both methods
are right on the same share of all texts, plus the effect. `docs/compare.md` is made with it.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
from scipy import stats

from diffmask.evaluate.compare import NOT_SHOWN, verdict
from diffmask.evaluate.resampling import LEVEL, Draws, Sums, count, holm, interval, p_value, ratio

CLASSES = np.array([0.4, 0.3, 0.15, 0.1, 0.05])
"""Shares of the classes: single-label, unbalanced."""


@dataclass(frozen=True)
class World:
    """Where results come from; the parts are standard deviations on the scale of the latent sum."""

    name: str
    text: float = 1.0
    method_text: float = 0.5
    method_seed: float = 0.06
    rest: float = 0.6
    paired: float = 0.0
    """Share of the variance over seeds that two methods with the same seed have in common."""
    failing: float = 0.0
    """Share of runs that fail, with about 10 points less."""
    accuracy: float = 0.8


WORLDS = (
    World("usual"),
    World("seeds of one number alike", paired=0.8),
    World("no noise of seeds", method_seed=0.0),
    World("much noise of seeds", method_seed=0.2),
    World("one model twice", method_text=0.0),
    World("one model twice, no noise of seeds", method_text=0.0, method_seed=0.0),
    World("one run in ten fails", failing=0.1),
)


def simulate(
    world: World, effects: Sequence[float], num_seeds: int, num_texts: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return labels (N,) and predictions (methods, S, N) of methods whose accuracies differ by `effects`."""
    scale = np.sqrt(world.text**2 + world.method_text**2 + world.method_seed**2 + world.rest**2)
    levels = [scale * NormalDist().inv_cdf(world.accuracy + effect) for effect in effects]
    shape = (len(effects), num_seeds, num_texts)
    common = np.sqrt(world.paired) * random.standard_normal((1, num_seeds, 1))
    own = np.sqrt(1 - world.paired) * random.standard_normal((len(effects), num_seeds, 1))
    latent = (
        np.array(levels)[:, None, None]
        + world.text * random.standard_normal((1, 1, num_texts))
        + world.method_text * random.standard_normal((len(effects), 1, num_texts))
        + world.method_seed * (common + own)
        + world.rest * random.standard_normal(shape)
        - 0.45 * (random.random((len(effects), num_seeds, 1)) < world.failing)
    )
    labels = random.choice(len(CLASSES), num_texts, p=CLASSES)
    # what a text is taken for is mostly the same
    usual = (labels + random.integers(1, len(CLASSES), num_texts)) % len(CLASSES)
    other = (labels + random.integers(1, len(CLASSES), shape)) % len(CLASSES)
    wrong = np.where(random.random(shape) < 0.7, usual, other)
    return labels, np.where(latent > 0, labels, wrong)


def measure(metric: str, labels: np.ndarray, predictions: np.ndarray) -> list[Sums]:
    """Return the sums of each method."""
    names = [str(place) for place in range(len(CLASSES))]
    return [[count(metric, "single-label", names, labels, seed) for seed in seeds] for seeds in predictions]


def differences(first: Sums, second: Sums) -> np.ndarray:
    """Return the difference of each seed."""
    scores = [[ratio(each.sum(axis=0, dtype=np.float64)) for each in seeds] for seeds in (first, second)]
    return np.subtract(*scores)


def decide(first: Sums, second: Sums, draws: Draws) -> tuple[float, float, float]:
    """Return p-value and interval of a difference, as `compare` computes them."""
    return _decide(differences(first, second), _gains(first, second, draws), draws.exchanged(first, second), draws)


def _gains(first: Sums, second: Sums, draws: Draws) -> np.ndarray:
    one, other = draws.resampled([first, second])
    return one - other


def _decide(values: np.ndarray, gains: np.ndarray, exchanged: np.ndarray, draws: Draws) -> tuple[float, float, float]:
    return p_value(values, exchanged, draws.generator()), *interval(values, gains, draws.generator())


def simpler_tests(values: np.ndarray, gains: np.ndarray, exchanged: np.ndarray, draws: Draws) -> dict[str, bool]:
    """Return what simpler tests say of the same results."""
    # one seed in the place of their mean: nothing varies over seeds
    of_texts = p_value(values.mean(keepdims=True), exchanged.mean(axis=1, keepdims=True), draws.generator())
    texts, seeds = of_texts < LEVEL, np.ptp(values) > 1e-9 and stats.ttest_1samp(values, 0.0).pvalue < LEVEL
    drawn = draws.generator().integers(0, gains.shape[1], gains.shape)
    low, high = np.quantile(np.take_along_axis(gains, drawn, axis=1).mean(axis=1), [LEVEL / 2, 1 - LEVEL / 2])
    plain = bool(low > 0 or high < 0)
    return {"texts alone": texts, "seeds alone": seeds, "both of these": texts and seeds, "plain bootstrap": plain}


def trials(world: World, effect: float, num_seeds: int, args: argparse.Namespace) -> Iterator[dict[str, bool]]:
    """Yield what each simulation says."""
    draws = Draws(args.texts, args.draws, 0)
    random = np.random.default_rng([args.seed, num_seeds, round(1e4 * effect)])
    for _ in range(args.simulations):
        first, second = measure(args.metric, *simulate(world, (effect, 0.0), num_seeds, args.texts, random))
        values, gains = differences(first, second), _gains(first, second, draws)
        exchanged = draws.exchanged(first, second)
        p, low, high = _decide(values, gains, exchanged, draws)
        said = verdict(low, high, p) != NOT_SHOWN
        found = {"compare": said, "wrong sign": said and effect != 0 and (low > 0) != (effect > 0)}
        # where the labels do not matter the truth is the effect
        found["covered"] = low <= effect <= high
        yield found | (simpler_tests(values, gains, exchanged, draws) if args.command == "alarms" else {})


def share(hits: Sequence[bool]) -> str:
    """Return a share in per cent with its 95 % interval (Wilson)."""
    found = stats.binomtest(int(np.sum(hits)), len(hits)).proportion_ci(method="wilson")
    return f"{100 * np.mean(hits):.1f} ({100 * found.low:.1f}-{100 * found.high:.1f})"


def alarms(args: argparse.Namespace) -> None:
    """Print false alarms by world and number of seeds."""
    names = ["compare", "texts alone", "seeds alone", "both of these", "plain bootstrap"]
    print(f"| results | seeds | {' | '.join(names)} | covered |")
    print(f"|---|---:|{'---:|' * (len(names) + 1)}")
    for world in WORLDS:
        for num_seeds in args.seeds:
            found = list(trials(world, 0.0, num_seeds, args))
            cells = [share([each[name] for each in found]) for name in [*names, "covered"]]
            cells = [cells[0], *(cell.partition(" ")[0] for cell in cells[1:])]
            print(f"| {world.name} | {num_seeds} | {' | '.join(cells)} |", flush=True)


def power(args: argparse.Namespace) -> None:
    """Print how often effects are detected."""
    print(f"| effect, points | {' | '.join(f'{num} seeds' for num in args.seeds)} |")
    print(f"|---:|{'---:|' * len(args.seeds)}")
    world = replace(WORLDS[0], method_seed=args.seed_noise) if args.seed_noise is not None else WORLDS[0]
    for effect in args.effects:
        found = [list(trials(world, effect / 100, num_seeds, args)) for num_seeds in args.seeds]
        cells = [share([trial["compare"] for trial in each]) for each in found]
        wrong = sum(trial["wrong sign"] for each in found for trial in each)
        print(f"| {effect:g} | {' | '.join(cells)} |" + (f" {wrong} of wrong sign" if wrong else ""), flush=True)


def family(args: argparse.Namespace) -> None:
    """Print how often any of several methods is said to differ from the first, when none does."""
    draws, random = Draws(args.texts, args.draws, 0), np.random.default_rng(args.seed)
    for num_seeds in args.seeds:
        any_found = {"corrected": [], "not corrected": []}
        for _ in range(args.simulations):
            sums = measure(args.metric, *simulate(WORLDS[0], [0.0] * args.methods, num_seeds, args.texts, random))
            decided = [decide(each, sums[0], draws) for each in sums[1:]]
            plain = [p for p, *_ in decided]
            for name, values in {"corrected": holm(plain), "not corrected": plain}.items():
                said = (verdict(low, high, p) for (_, low, high), p in zip(decided, values, strict=True))
                any_found[name].append(any(each != NOT_SHOWN for each in said))
        print(
            f"{args.methods} methods, {num_seeds} seeds: " + ", ".join(f"{n} {share(h)}" for n, h in any_found.items())
        )


def main() -> None:
    """Run one of the simulations."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("alarms", "power", "family"))
    parser.add_argument("--simulations", type=int, default=1000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[3, 5, 10])
    parser.add_argument("--effects", type=float, nargs="+", default=[1, 2, 3, 4, 6], help="in points")
    parser.add_argument("--texts", type=int, default=1000, help="test texts")
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--metric", default="micro_f1")
    parser.add_argument("--methods", type=int, default=7)
    parser.add_argument("--seed-noise", type=float, help="of `power`, in the place of 0.06")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    {"alarms": alarms, "power": power, "family": family}[args.command](args)


if __name__ == "__main__":
    main()
