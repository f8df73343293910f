import math
from types import SimpleNamespace

import pytest
import torch
from support.domain import domain_anchors
from support.tiny import tiny_rows, tiny_tokenizer

from diffmask.assemble.recipe import Ingredients
from diffmask.assemble.schedules import build_schedule
from diffmask.assemble.text import TEXT_POLICIES, TextMasking, build_text_masking, class_names
from diffmask.assemble.training import check_training
from diffmask.config import ScheduleConfig, TextConfig, TextDataConfig, TextMaskingConfig, TrainingConfig
from diffmask.config.limits import check_limits
from diffmask.core.errors import InputError
from diffmask.core.policy import rank_weights
from diffmask.core.units import Units
from diffmask.policies.difference import Difference
from diffmask.policies.uniform import Uniform
from diffmask.report.text.look import TextLook

ANCHORS = SimpleNamespace(
    scores=torch.tensor([0.0, 1.0, 2.0]), tf_icf=torch.tensor([1.0, 9.9, 10.0]), unknown_score=0.0
)


def config(**changes):
    return TextConfig("m", "out", TextDataConfig(("a.txt",)), **changes)


def build_masker(masking, anchors):
    resolved = TextMasking.resolve(masking)
    return resolved.masker(Ingredients(masking, anchors, class_names(resolved.annotators(anchors))))


def build_masking(config, tokenizer, anchors):
    check_limits(config)
    resolved = TextMasking.resolve(config.masking)
    return build_text_masking(config, resolved, resolved.annotators(anchors), tokenizer, anchors)


def build_adapter(masking, tokenizer):
    return TextMasking.resolve(masking).adapter(tokenizer)


def test_a_number_is_a_constant_and_a_decay_has_a_floor():
    assert build_schedule(ScheduleConfig(start=0.2), "masking.ratio", 0.02)(0.7) == 0.2
    decay = build_schedule(ScheduleConfig("linear", 0.3, 0.0), "masking.ratio", 0.02)
    assert (decay(0.0), decay(0.5), decay(1.0)) == pytest.approx((0.3, 0.15, 0.02))
    assert build_schedule(ScheduleConfig("cosine", 0.3, 0.0, 0.0), "masking.ratio", 0.02)(1.0) == pytest.approx(0.0)


def test_names_become_objects():
    masker = build_masker(TextMaskingConfig(weighting="rank", seed=4, ratio=ScheduleConfig(start=0.3)), ANCHORS)
    assert isinstance(masker.policy, Difference)
    assert masker.weighting is rank_weights
    assert (masker.seed, masker.ratio(0.5)) == (4, 0.3)
    assert isinstance(build_masker(TextMaskingConfig(policy="whole-word"), None).policy, Uniform)


def test_temperature_flattens_the_softmax():
    scores, eligible = torch.tensor([[0.0, 1.0]]), torch.ones(1, 2, dtype=torch.bool)
    weights = build_masker(TextMaskingConfig(temperature=2.0), ANCHORS).weighting(scores, eligible)
    assert (weights[0, 1] / weights[0, 0]).item() == pytest.approx(torch.tensor(0.5).exp().item())


def test_domain_words_are_told_by_tf_icf_and_evaluation_is_at_random():
    masking = build_masking(config(), tiny_tokenizer(), ANCHORS)
    types = torch.tensor([[0, 1, 2, -1]])
    units = Units(None, torch.ones(1, 4, dtype=torch.bool), torch.arange(1), types)
    assert masking.domain(units).tolist() == [[False, False, True, False]]
    assert isinstance(masking.evaluation.policy, Uniform)
    other = build_masking(config(masking=TextMaskingConfig(seed=9, policy="whole-word")), tiny_tokenizer(), None)
    assert other.evaluation.seed == masking.evaluation.seed
    assert other.domain is None


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (ScheduleConfig(start=1.5), r"masking.ratio.start=1.5 is outside \[0, 1\]; 0.15 means 15 %"),
        (ScheduleConfig("linear", 0.3, -0.1), r"masking.ratio.end=-0.1 is outside \[0, 1\]"),
        (
            ScheduleConfig("linier", 0.3, 0.1),
            "unknown schedule in `masking.ratio` 'linier'; choose from: constant, cosine",
        ),
        (ScheduleConfig("linear", 0.3), "`masking.ratio` is linear and has no end; add masking.ratio.end="),
        (ScheduleConfig("constant", 0.3, 0.1), r"`masking.ratio` is constant and has an end \(0.1\)"),
        (ScheduleConfig(start=0.01), "`masking.ratio` never rises over its floor of 0.02"),
    ],
)
def test_a_schedule_that_cannot_be_followed_is_refused(schedule, message):
    with pytest.raises(InputError, match=message):
        build_schedule(schedule, "masking.ratio", 0.02)


@pytest.mark.parametrize(
    ("masking", "message"),
    [
        (
            TextMaskingConfig(policy="diference"),
            "unknown policy 'diference'; choose from: attention, difference, domain-frequency",
        ),
        (TextMaskingConfig(weighting="max"), "unknown masking.weighting 'max'; choose from: softmax, rank, linear"),
        (TextMaskingConfig(temperature=0.0), "masking.temperature=0 must be above 0; 1 follows the scores as they are"),
        (TextMaskingConfig(), "the policy `difference` needs anchors; make them with `diffmask anchors"),
    ],
)
def test_masking_that_cannot_be_built_is_refused(masking, message):
    with pytest.raises(InputError, match=message):
        build_masker(masking, None if masking == TextMaskingConfig() else ANCHORS)


@pytest.mark.parametrize(
    ("masking", "message"),
    [
        (TextMaskingConfig(policy="pmi"), "the units `pmi` need n-grams; make them with `diffmask pmi DATA"),
        (
            TextMaskingConfig(policy="whole-word", units="token"),
            r"masks units of its own \(word\).*or choose random-token",
        ),
        (
            TextMaskingConfig(policy="difference", units="line"),
            "unknown masking.units 'line'; choose from: word, token, span",
        ),
        (
            TextMaskingConfig(policy="whole-word", classes="shape"),
            "masking.classes is given, and the policy whole-word does",
        ),
        (TextMaskingConfig(spans="rule"), "masking.spans is given, .* use masking.policy=salient-span"),
        (TextMaskingConfig(policy="whole-word", hint_share=0.1), "go by scores, and whole-word scores all units alike"),
        (
            TextMaskingConfig(policy="random-span", direction="show"),
            "go by scores, and random-span scores all units alike",
        ),
        (TextMaskingConfig(direction="up"), "unknown masking.direction 'up'; choose from: hide, show"),
        (TextMaskingConfig(hint_share=1.0), r"masking.hint_share=1 is outside \[0, 1\)"),
        (TextMaskingConfig(policy="salient-span", direction="show"), "which linear weights clip; use softmax or rank"),
        (
            TextMaskingConfig(weighting="rank", temperature=0.5),
            "is that of softmax, by which difference does not weigh",
        ),
        (
            TextMaskingConfig(policy="loss-weighted", base="whole-word", units="token"),
            "masking.base names whole-word, which masks units of its own .*choose random-token in masking.base",
        ),
        (
            TextMaskingConfig(policy="mixture", mixture=("pmi", "salient-span")),
            r"masking.mixture names pmi, which masks units of its own \(pmi\), and salient-span, which masks others",
        ),
        (TextMaskingConfig(policy="mixture", mixture=("difference", "pmi")), "the units `pmi` need n-grams"),
        (
            TextMaskingConfig(policy="mixture", mixture=("whole-word", "whole-word")),
            "which both mask at random; name one",
        ),
        (
            TextMaskingConfig(policy="loss-weighted", base="salient-span", temperature=0.3),
            "is that of softmax, by which loss-weighted does not weigh",
        ),
        (
            TextMaskingConfig(policy="loss-weighted", momentum=1.5),
            r"masking.momentum=1.5 is outside \[0, 1\); 0.999 is that of the paper",
        ),
        (
            TextMaskingConfig(policy="whole-word", momentum=0.0),
            "masking.momentum is given, and the policy whole-word does",
        ),
        (
            TextMaskingConfig(policy="loss-weighted", base="mixture"),
            "`masking.base` names mixture, which is made of other",
        ),
        (
            TextMaskingConfig(policy="loss-weighted", base="diff"),
            "unknown policy in `masking.base` 'diff'; choose from",
        ),
        (
            TextMaskingConfig(policy="loss-weighted", classes="size"),
            "unknown classes 'size'; choose from: file, frequency",
        ),
        (TextMaskingConfig(policy="mixture"), "masking.mixture names none; name two policies"),
        (TextMaskingConfig(policy="mixture", mixture=("a", "b", "c")), "masking.mixture names a, b, c; name two"),
        (
            TextMaskingConfig(policy="mixture", mixture=("difference", "whole-word"), mixture_share=1.0),
            r"masking.mixture_share=1 is outside \(0, 1\)",
        ),
        (
            TextMaskingConfig(policy="attention"),
            "the policy `attention` needs a teacher; name one with masking.teacher",
        ),
        (TextMaskingConfig(policy="selective"), "needs a scorer"),
        (TextMaskingConfig(policy="domain-frequency"), "the policy `domain-frequency` needs anchors; make them with"),
        (TextMaskingConfig(policy="loss-weighted", classes="tf-icf"), "the classes `tf-icf` need anchors"),
    ],
)
def test_masking_that_cannot_be_is_one_sentence(masking, message):
    anchors = None if "anchors" in message else domain_anchors()
    with pytest.raises(InputError, match=message):
        TextLook.of(TextMasking.resolve(masking), tiny_tokenizer(), anchors)


def test_units_follow_from_the_policy_and_can_be_others():
    adapters = {
        name: build_adapter(TextMaskingConfig(policy=name), tiny_tokenizer())
        for name in TEXT_POLICIES
        if name != "mixture"
    }
    found = {name: adapter.granularity for name, adapter in adapters.items()}
    special = {"random-token": "token", "random-span": "span", "pmi": "group", "salient-span": "group"}
    assert found == {name: special.get(name, "word") for name in found}
    spans = TextMaskingConfig(policy="loss-weighted", base="random-span")
    assert build_adapter(spans, tiny_tokenizer()).granularity == "span"
    for components in (("salient-span", "attention"), ("attention", "salient-span")):
        mixed = TextMaskingConfig(policy="mixture", mixture=components, teacher="t")
        assert build_adapter(mixed, tiny_tokenizer()).granularity == "group"
        assert set(build_adapter(mixed, tiny_tokenizer()).features) == {"salient", "attention"}
    classes = TextMaskingConfig(policy="loss-weighted", units="token")
    assert build_adapter(classes, tiny_tokenizer()).granularity == "token"


def test_an_annotator_gives_only_the_columns_that_are_read():
    def columns(**settings):
        return [
            annotator.columns
            for annotator in TextMasking.resolve(TextMaskingConfig(**settings)).annotators(domain_anchors())
        ]

    assert columns(policy="salient-span") == [("starts", "salient")]
    assert columns(policy="difference", units="salient") == [("starts",)]
    assert columns(policy="mixture", mixture=("difference", "salient-span")) == [("starts", "salient")]
    assert columns(policy="loss-weighted", classes="shape") == [("classes",)]
    assert columns() == []


def test_a_temperature_is_for_those_that_have_one():
    mixed = TextMaskingConfig(policy="mixture", mixture=("difference", "salient-span"), temperature=2.0)
    assert build_masker(mixed, domain_anchors()).weighting.keywords == {"temperature": 1.0}
    with pytest.raises(InputError, match="is that of softmax, by which salient-span does not weigh"):
        build_masker(TextMaskingConfig(policy="salient-span", temperature=2.0), None)


def test_evaluation_is_the_same_whatever_the_masking():
    first = build_masking(config(), tiny_tokenizer(), ANCHORS)
    masking = TextMaskingConfig(seed=9, mask_share=1.0, random_share=0.0, policy="random-span")
    other = build_masking(config(masking=masking), tiny_tokenizer(), ANCHORS)
    batch = first.evaluation_adapter.pad(tiny_rows())
    inputs = []
    for each in (first, other):
        units = each.evaluation_adapter.units(batch, 0)
        inputs.append(each.evaluation_adapter.corrupt(batch, units, each.evaluation(units, 0, 1), 0))
    assert all(torch.equal(inputs[0][name], inputs[1][name]) for name in ("input_ids", "labels"))


def test_what_a_policy_does_not_read_is_left_out():
    assert TextMasking.for_policy(
        TextMaskingConfig(hint_share=0.1, direction="show"), "whole-word"
    ) == TextMaskingConfig(policy="whole-word")
    assert TextMasking.for_policy(TextMaskingConfig(temperature=2.0), "salient-span") == TextMaskingConfig(
        policy="salient-span"
    )
    config = TextMaskingConfig(ngrams="pmi/", spans="rule", temperature=2.0)
    assert TextMasking.for_policy(config, "pmi") == TextMaskingConfig(policy="pmi", ngrams="pmi/", temperature=2.0)
    assert TextMasking.for_policy(config, "difference") == TextMaskingConfig(temperature=2.0)


@pytest.mark.parametrize(
    ("training", "message"),
    [
        (TrainingConfig(), "give training.steps or training.epochs, one of the two"),
        (TrainingConfig(steps=1, epochs=1.0), "give training.steps or training.epochs, one of the two"),
        (TrainingConfig(steps=-1), "training.steps=-1 must be at least 0; 0 trains the head that a model lacks"),
        (TrainingConfig(steps=1, batch_size=0), "training.batch_size=0 must be at least 1"),
        (
            TrainingConfig(steps=1, precision="fp16", device="cpu"),
            "training.precision=fp16 needs a GPU, and the device is the CPU; give fp32 or bf16",
        ),
        (TrainingConfig(steps=1, precision="fp64"), "unknown training.precision 'fp64'; choose from: fp32, bf16, fp16"),
        (TrainingConfig(steps=1, adam_betas=(0.9,)), r"training.adam_betas=\[0.9\] must be two numbers in \[0"),
        (TrainingConfig(steps=1, adam_betas=(0.9, 1.0)), r"training.adam_betas=\[0.9, 1.0\] must be two numbers"),
        (TrainingConfig(steps=1, adam_epsilon=-1.0), "training.adam_epsilon=-1 must be at least 0"),
        (TrainingConfig(steps=1, log_every=0), "training.log_every=0 must be at least 1"),
        (TrainingConfig(steps=1, learning_rate=-1.0), "training.learning_rate=-1 must be at least 0"),
        (TrainingConfig(steps=1, learning_rate=math.inf), "training.learning_rate=inf must be at least 0 and finite"),
        (TrainingConfig(steps=1, max_grad_norm=math.nan), "training.max_grad_norm=nan must be at least 0"),
        (TrainingConfig(steps=1, device="gpu"), "training.device='gpu' cannot be used here; choose cpu"),
        (TrainingConfig(steps=1, lr_schedule="wavy"), "unknown training.lr_schedule 'wavy'; choose from: .*cosine"),
        (TrainingConfig(steps=1, warmup_ratio=1.5), r"training.warmup_ratio=1.5 is outside \[0, 1\)"),
    ],
)
def test_training_that_cannot_be_done_is_refused(training, message):
    with pytest.raises(InputError, match=message):
        check_limits(training, "training.")
        check_training(training)


def test_infinity_is_allowed_where_it_means_something():
    check_limits(TrainingConfig(steps=1, max_grad_norm=math.inf), "training.")
    check_limits(TextMaskingConfig(temperature=math.inf), "masking.")


def test_a_layer_decay_outside_its_range_is_refused():
    with pytest.raises(InputError, match=r"training.layer_decay=0 is outside \(0, 1\]"):
        build_masking(config(training=TrainingConfig(layer_decay=0.0)), tiny_tokenizer(), ANCHORS)
