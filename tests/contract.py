"""What every policy promises, and the table of which keeps what.

PYTHONPATH=tests python tests/contract.py
"""

import torch
from support.domain import COUNTS, domain_anchors

from diffmask.assemble.recipe import Ingredients
from diffmask.assemble.text import TEXT_POLICIES, TextMasking
from diffmask.config import TextMaskingConfig
from diffmask.core.masker import Masker
from diffmask.core.schedule import Constant
from diffmask.core.units import Units
from diffmask.text.adapter import _join_words

CLASSES = ("noun", "verb", "other")


def configs():
    """Return a config for each listed policy, and for some that are made of others."""
    plain = {name: TextMaskingConfig(policy=name) for name in TEXT_POLICIES}
    plain["mixture"] = TextMaskingConfig(policy="mixture", mixture=("difference", "salient-span"))
    over = TextMaskingConfig(policy="loss-weighted", base="difference")
    return plain | {"loss-weighted over difference": over}


MASKINGS = {TextMaskingConfig: TextMasking}
"""The masking of each class of settings; a test that adds a modality adds its own."""


def policies_of(config):
    return MASKINGS[type(config)].policies


def make(config, *, trained=True):
    """Return a policy; one that learns has seen that the first class is the hardest and the last the easiest."""
    policy = policies_of(config)[config.policy].make(Ingredients(config, domain_anchors(), CLASSES))
    units = make_units(6, 40)
    for _ in range(5 if trained else 0):
        loss = (len(CLASSES) - units.features["classes"]).float() * units.eligible
        policy.observe(units, units.eligible, loss)
        policy.learn(itself)
    return policy


def make_masker(config, **settings):
    return Masker(make(config), weighting=MASKINGS[type(config)](config).weighting, **settings)


def make_units(rows, length):
    """Return words of one to three positions, with all that policies may read; the second row is empty."""
    generator = torch.Generator().manual_seed(rows)
    eligible = torch.rand(rows, length, generator=generator) < 0.8
    eligible[0] = True
    if rows > 1:
        eligible[1] = False
    shape = (rows, length)
    features = {
        "classes": torch.randint(-1, len(CLASSES), shape, generator=generator),
        "salient": torch.randint(-2, 2, shape, generator=generator).clamp_min(-1),
        "attention": torch.randn(shape, generator=generator),
        "gain": torch.randn(shape, generator=generator),
    }
    # a policy that is new may read something else
    named = {name for each in MASKINGS.values() for recipe in each.policies.values() for name in recipe.features}
    features |= {name: torch.randn(shape, generator=generator) for name in sorted(named - features.keys())}
    types = torch.randint(-1, len(COUNTS), shape, generator=generator)
    sizes = torch.randint(1, 4, (length,), generator=generator)
    ids = torch.repeat_interleave(torch.arange(length), sizes).expand(rows, -1)
    return Units(ids, eligible, torch.arange(rows), types, features)


def change(units, ids, turn):
    """Return the units with every tensor of the unit axis put through `turn`."""
    features = {name: turn(value) for name, value in units.features.items()}
    return Units(ids, turn(units.eligible), units.sample_ids, turn(units.types), features)


def itself(value):
    return value


def finite_and_of_the_units_shape(config, shape):
    units = make_units(*shape)
    scores = make(config).score(units)
    assert scores.shape == units.eligible.shape
    assert scores.is_floating_point()
    assert scores.device == units.eligible.device
    assert scores[units.eligible].isfinite().all()


def equivariant(config, shape):
    units = make_units(*shape)
    order = torch.randperm(shape[1], generator=torch.Generator().manual_seed(1))
    turned = change(units, order.argsort()[units.unit_ids], lambda value: value[:, order])
    assert torch.allclose(make(config).score(units)[:, order], make(config).score(turned), atol=1e-6)


def blind_to_padding(config, shape):
    units = make_units(*shape)
    ids = torch.nn.functional.pad(units.unit_ids, (0, 3), value=-1)
    wide = change(units, ids, lambda value: torch.nn.functional.pad(value, (0, 5), value=0))
    eligible = units.eligible
    assert torch.allclose(
        make(config).score(wide)[:, : shape[1]][eligible], make(config).score(units)[eligible], atol=1e-6
    )
    assert torch.equal(make_masker(config)(wide, 0, 1)[:, : shape[1]], make_masker(config)(units, 0, 1))


def blind_to_other_rows(config, shape):
    units = make_units(*shape)
    one = Units(
        units.unit_ids[:1], units.eligible[:1], units.sample_ids[:1], units.types[:1],
        {name: value[:1] for name, value in units.features.items()},
    )  # fmt: skip
    assert torch.allclose(make(config).score(one), make(config).score(units)[:1], atol=1e-6)


def the_same_twice(config, shape):
    policy, units = make(config), make_units(*shape)
    before = {name: value.clone() for name, value in policy.state_dict().items()}
    assert torch.equal(policy.score(units), policy.score(units))
    assert all(torch.equal(value, before[name]) for name, value in policy.state_dict().items())


def honest_on_an_empty_row(config, shape):
    units = make_units(*shape)
    masked = make_masker(config)(units, 0, 1)
    assert torch.equal(masked.any(1), units.eligible.any(1))
    assert not (masked & ~units.eligible).any()


def exact_in_ratio(config, shape):
    units = make_units(400, 60)
    masker = make_masker(config, ratio=Constant(0.15))
    found = [float((masker(units, step, 8) * units.lengths).sum()) for step in range(8)]
    assert abs(sum(found) / 8 / float(units.lengths.sum()) - 0.15) < 2e-3


def pooled_over_spans(config, shape):
    words = make_units(40, 30)
    words = Units(words.unit_ids, torch.ones_like(words.eligible), words.sample_ids, words.types, words.features)
    spans = _join_words(words, torch.rand(40, 30, generator=torch.Generator().manual_seed(2)) < 0.4)
    scores, pooled = make(config).score(words), spans.pool(make(config).score(words))
    for row in range(3):
        for span in range(int(spans.eligible[row].sum())):
            inside = spans.part_units[row] == span
            expected = (scores[row][inside] * words.lengths[row][inside]).sum() / words.lengths[row][inside].sum()
            assert torch.allclose(pooled[row, span], expected, atol=1e-5)
    masked = make_masker(config)(spans, 0, 1)
    assert torch.equal(spans.to_positions(masked), words.to_positions(spans.to_smallest(masked)))


def state_comes_back(config, shape):
    policy, units = make(config), make_units(6, 30)
    other = make(config, trained=False)
    if policy.state_dict():
        assert not torch.equal(policy.score(units), other.score(units))
    other.load_state_dict(policy.state_dict())
    assert torch.equal(policy.score(units), other.score(units))


def the_same_in_micro_batches(config, shape):
    whole, parts, units = make(config), make(config), make_units(6, 30)
    loss = torch.rand(units.eligible.shape, generator=torch.Generator().manual_seed(4)) * units.eligible
    whole.observe(units, units.eligible, loss)
    for rows in (slice(0, 2), slice(2, 6)):
        features = {name: value[rows] for name, value in units.features.items()}
        part = Units(units.unit_ids[rows], units.eligible[rows], units.sample_ids[rows], units.types[rows], features)
        parts.observe(part, part.eligible, loss[rows])
    for policy in (whole, parts):
        policy.learn(itself)
    assert torch.allclose(whole.score(units), parts.score(units), atol=1e-6)


def the_same_on_several_ranks(config, shape):
    """What two ranks saw counts as if one had seen it twice."""
    alone, rank, units = make(config), make(config), make_units(6, 30)
    loss = torch.rand(units.eligible.shape, generator=torch.Generator().manual_seed(4)) * units.eligible
    for policy, times in ((alone, 2), (rank, 1)):
        for _ in range(times):
            policy.observe(units, units.eligible, loss)
    alone.learn(itself)
    totals = []
    rank.learn(lambda value: totals.append(value) or 2 * value)
    assert torch.allclose(alone.score(units), rank.score(units), atol=1e-6)
    assert bool(totals) == bool(rank.state_dict())


def followed_by_the_masks(config, shape):
    """What scores higher in its row is masked more often; random masking prefers nothing."""
    policy, units = make(config), make_units(60, 40)
    masker = make_masker(config, ratio=Constant(0.15))
    masked = sum(masker(units, step, 20).double() for step in range(20))
    scores = policy.score(units).masked_fill(~units.eligible, torch.nan)
    above = scores > scores.nanmedian(1, keepdim=True).values
    below = units.eligible & (scores < scores.nanmedian(1, keepdim=True).values)
    if policies_of(config)[config.policy].is_random:
        assert not above.any() and not below.any()
    elif below.any() and above.any():
        assert masked[above].mean() > 1.2 * masked[below].mean()
    else:
        assert masked[above].mean() > 1.2 * masked[units.eligible & ~above].mean()


PROPERTIES = (
    finite_and_of_the_units_shape,
    equivariant,
    blind_to_padding,
    blind_to_other_rows,
    the_same_twice,
    honest_on_an_empty_row,
    exact_in_ratio,
    pooled_over_spans,
    state_comes_back,
    the_same_in_micro_batches,
    the_same_on_several_ranks,
    followed_by_the_masks,
)
SHAPES = ((1, 1), (3, 7))


def main():
    """Print which policy keeps which promise."""
    from rich.console import Console
    from rich.table import Table

    table = Table()
    table.add_column("policy", no_wrap=True)
    for promise in PROPERTIES:
        table.add_column(promise.__name__.replace("_", " "))
    for name, config in configs().items():
        kept = []
        for promise in PROPERTIES:
            try:
                for shape in SHAPES:
                    promise(config, shape)
                kept.append("yes")
            except AssertionError:
                kept.append("NO")
        table.add_row(name, *kept)
    Console(width=200).print(table)


if __name__ == "__main__":
    main()
