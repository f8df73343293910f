import pytest
import torch
from support.tiny import MODELS, tiny_model, tiny_rows, tiny_tokenizer

from diffmask.core.masker import Masker
from diffmask.policies.uniform import Uniform
from diffmask.text.adapter import text_adapter
from diffmask.text.model.masked_lm import _encoder_of, masked_losses


@pytest.fixture
def inputs():
    adapter = text_adapter(tiny_tokenizer())
    batch = adapter.pad(tiny_rows())
    units = adapter.units(batch, 0)
    return adapter.corrupt(batch, units, Masker(Uniform())(units, 0, 1), 0)


@pytest.mark.parametrize("family", MODELS)
def test_loss_and_gradients_are_those_of_the_full_head(family, inputs):
    full, ours = tiny_model(family).eval(), tiny_model(family).eval()
    expected = full(**inputs).loss
    expected.backward()
    labels = inputs.pop("labels")
    got = masked_losses(ours, inputs, labels).mean()
    got.backward()
    assert got.item() == pytest.approx(expected.item(), abs=1e-5)
    for (name, parameter), other in zip(full.named_parameters(), ours.parameters(), strict=True):
        assert torch.allclose(parameter.grad, other.grad, atol=1e-6), name


def test_losses_come_row_by_row(inputs):
    model = tiny_model().eval()
    labels = inputs.pop("labels")
    logits = model(**inputs).logits.log_softmax(-1)
    slow = [-logits[r, p, labels[r, p]].item() for r, p in (labels != -100).nonzero().tolist()]
    assert masked_losses(model, inputs, labels).tolist() == pytest.approx(slow, abs=1e-5)


def test_a_batch_without_masks_has_no_loss_and_still_a_gradient(inputs):
    model = tiny_model()
    inputs.pop("labels")
    losses = masked_losses(model, inputs, torch.full_like(inputs["input_ids"], -100))
    assert losses.shape == (0,)
    losses.sum().backward()


def test_the_full_output_is_back_afterwards(inputs):
    model = tiny_model().eval()
    before = model(**inputs).logits
    masked_losses(model, {"input_ids": inputs["input_ids"]}, inputs["labels"])
    assert torch.equal(model(**inputs).logits, before)


def test_the_encoder_is_found_inside_wrappers():
    model = tiny_model()
    assert _encoder_of(model) is model.bert
    assert _encoder_of(torch.compile(model, backend="eager")) is model.bert
