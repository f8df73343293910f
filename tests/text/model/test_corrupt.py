import pytest
import torch
from scipy import stats
from support.tiny import tiny_tokenizer
from transformers import PreTrainedTokenizerFast

from diffmask.core.errors import InputError
from diffmask.core.noise import CORRUPT, keys, uniforms
from diffmask.text.model.masked_lm import Corruption

MASK, VOCABULARY = 4, 30


def example(rows=600, length=64):
    tokens = torch.randint(5, VOCABULARY, (rows, length), generator=torch.Generator().manual_seed(0))
    masked = torch.rand(rows, length, generator=torch.Generator().manual_seed(1)) < 0.3
    return tokens, masked, torch.arange(rows)


@pytest.mark.parametrize(("mask_share", "random_share"), [(0.8, 0.1), (1.0, 0.0), (0.0, 1.0), (0.5, 0.25), (0.0, 0.0)])
def test_shares(mask_share, random_share):
    tokens, masked, samples = example()
    corruption = Corruption.of(tiny_tokenizer(), mask_share=mask_share, random_share=random_share)
    corrupted, labels = corruption(tokens, masked, samples, 3)
    changed = corrupted[masked]
    assert (changed == MASK).double().mean() == pytest.approx(mask_share, abs=0.012)
    replaced = (changed != MASK) & (changed != tokens[masked])
    assert replaced.double().mean() == pytest.approx(random_share * 24 / 25, abs=0.012)
    assert torch.equal(corrupted[~masked], tokens[~masked])
    assert torch.equal(labels, tokens.where(masked, -100))


def test_replacements_are_ordinary_and_even():
    tokens, masked, samples = example()
    corrupted, _ = Corruption.of(tiny_tokenizer(), mask_share=0.0, random_share=1.0)(tokens, masked, samples, 0)
    counts = torch.bincount(corrupted[masked], minlength=VOCABULARY)
    assert not counts[:5].any()
    assert stats.chisquare(counts[5:].numpy()).pvalue > 0.01


def test_special_tokens_added_by_the_user_are_never_drawn():
    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["[ENT]"]})
    tokenizer.add_tokens(["angiotensin"])
    ordinary = Corruption.of(tokenizer).ordinary_ids.tolist()
    assert tokenizer.convert_tokens_to_ids("[ENT]") not in ordinary
    assert tokenizer.convert_tokens_to_ids("angiotensin") in ordinary
    assert not set(tokenizer.all_special_ids) & set(ordinary)


def test_equals_a_slow_reference():
    tokens, masked, samples = example(20, 16)
    corruption = Corruption(MASK, torch.tensor([7, 9, 11]), mask_share=0.4, random_share=0.3, seed=2)
    corrupted, _ = corruption(tokens, masked, samples, 5)
    for row in range(20):
        for position in range(16):
            draw = float(uniforms(keys(2, 5, samples[row], stream=CORRUPT), torch.tensor(position)))
            expected = int(tokens[row, position])
            if masked[row, position] and draw < 0.4:
                expected = MASK
            elif masked[row, position] and draw < 0.7:
                expected = [7, 9, 11][int((draw - 0.4) / 0.3 * 3)]
            assert corrupted[row, position] == expected


@pytest.mark.parametrize(("mask_share", "random_share"), [(0.9, 0.2), (-0.1, 0.1), (0.5, -0.1)])
def test_shares_that_are_none_are_refused(mask_share, random_share):
    with pytest.raises(InputError, match=f"mask_share={mask_share} and random_share={random_share} are not shares"):
        Corruption.of(tiny_tokenizer(), mask_share=mask_share, random_share=random_share)


def test_a_tokenizer_without_mask_token_is_refused():
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=tiny_tokenizer().backend_tokenizer, name_or_path="gpt")
    with pytest.raises(InputError, match="the tokenizer 'gpt' has no mask token; use the tokenizer of a masked"):
        Corruption.of(tokenizer)
