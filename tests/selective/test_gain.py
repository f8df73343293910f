"""Task gain: the published rule, for all texts at once, against one text and one word at a time."""

import pytest
import torch
from support.families import tokenizer_of
from support.tiny import WORDS, tiny_tokenizer
from transformers import BertConfig, BertForSequenceClassification

from diffmask.selective.gain import classifier, encode_texts, task_gain
from diffmask.text.segment.segmenter import segmenter_for

CLS, SEP = 2, 3


def tiny_classifier(num_labels=3, seed=0):
    torch.manual_seed(seed)
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
    # wide weights, so that the label depends on the words
    config = BertConfig(vocab_size=30, num_labels=num_labels, initializer_range=0.4, **size)
    model = BertForSequenceClassification(config).eval()
    with torch.no_grad():
        model.classifier.weight.mul_(5)
        model.bert.embeddings.word_embeddings.weight.mul_(5)
    return model


def random_texts(number=30, seed=0):
    generator = torch.Generator().manual_seed(seed)
    words = [*WORDS, "kinases", "phosphorylation", ",", "xyz"]
    lengths = torch.randint(1, 12, (number,), generator=generator).tolist()
    return [" ".join(words[i] for i in torch.randint(len(words), (n,), generator=generator)) for n in lengths]


def slow_gain(model, text, label, delta, units="word"):
    """Return S of each unit and whether it is important, one call per word; None where the classifier is wrong."""
    segments = segmenter_for(tiny_tokenizer(), units)([text])

    def probabilities(tokens):
        with torch.inference_mode():
            return model(torch.tensor([[CLS, *tokens, SEP]])).logits.softmax(1)[0]

    whole = probabilities(segments.input_ids.tolist())
    if int(whole.argmax()) != label:
        return None
    lacking, important, buffer = [], [], []
    for unit in range(len(segments.words)):
        word = [token for token, of in zip(segments.input_ids, segments.units, strict=True) if of == unit]
        lacks = float(whole[label] - probabilities(buffer + word)[label])
        lacking.append(lacks)
        important.append(lacks < delta)
        if not important[-1]:
            buffer = buffer + word
    return lacking, important


@pytest.mark.parametrize("units", ["word", "token"])
@pytest.mark.parametrize("delta", [0.05, 0.3])
def test_all_texts_at_once_are_as_one_by_one(units, delta):
    model, texts = tiny_classifier(), random_texts()
    labels = torch.randint(0, 3, (len(texts),), generator=torch.Generator().manual_seed(1))
    encoded = encode_texts(texts, tiny_tokenizer(), 64, units)
    found = task_gain(encoded, labels, classifier(model, tiny_tokenizer()), delta)
    expected = [slow_gain(model, text, label, delta, units) for text, label in zip(texts, labels.tolist(), strict=True)]
    assert 5 < sum(pair is not None for pair in expected) < len(texts)
    assert found.correct.tolist() == [pair is not None for pair in expected]
    for row, pair in enumerate(expected):
        lacking, important = pair or ([], [])
        assert found.lacking[row, : len(lacking)].tolist() == pytest.approx(lacking, abs=1e-4)
        assert found.important[row, : len(lacking)].tolist() == important
        assert found.lacking[row, len(lacking) :].isnan().all()
        assert not found.important[row, len(lacking) :].any()
    assert 0 < found.important.sum() < found.lacking.isfinite().sum()


def test_an_important_word_does_not_stay_in_the_buffer():
    """With a classifier that looks for one word, a second one must be found too, and nothing else."""
    encoded = encode_texts(["the kinase of a kinase cell", "the cell"], tiny_tokenizer(), 64)
    kinase = tiny_tokenizer().convert_tokens_to_ids("kinase")
    read = []

    def confidence(input_ids, kept):
        read.append((input_ids * kept).tolist())
        sees = ((input_ids == kinase) & kept).any(1).float()
        return torch.stack([0.1 + 0.8 * sees, 0.9 - 0.8 * sees], dim=1)

    found = task_gain(encoded, torch.tensor([0, 1]), confidence, 0.05)
    assert found.important[0].tolist() == [False, True, False, False, True, False]
    # nothing lacks where every word is as good as the whole text
    assert found.important[1].tolist() == [True, True, False, False, False, False]
    ids = encoded.input_ids[0].tolist()
    assert read[-1] == [[ids[0], 0, ids[2], ids[3], 0, ids[5]]]
    assert len(read) == 7  # the whole texts, then a word per call


def test_long_texts_are_cut_between_words():
    texts = ["the phosphorylation of a cell"]  # 1 + 4 + 1 + 1 + 1 tokens
    types = {length: encode_texts(texts, tiny_tokenizer(), length).types[0] for length in (3, 4, 6, 7, 8, 10, 64)}
    assert types == {
        3: ["the"],
        4: ["the"],
        6: ["the"],
        7: ["the", "phosphorylation"],
        8: ["the", "phosphorylation", "of"],
        10: ["the", "phosphorylation", "of", "a", "cell"],
        64: ["the", "phosphorylation", "of", "a", "cell"],
    }
    assert encode_texts(["phosphorylation"], tiny_tokenizer(), 4).unit_ids.tolist() == [[0, 0]]


def test_texts_are_numbered_on_their_own():
    encoded = encode_texts(["the cell", "", "a kinase, xyz rat"], tiny_tokenizer(), 64)
    assert encoded.types == [["the", "cell"], [], ["a", "kinase", ",", "rat"]]
    assert encoded.unit_ids.tolist() == [[0, 1, -1, -1, -1], [-1] * 5, [0, 1, 2, -1, 3]]
    assert encoded.valid.sum(1).tolist() == [2, 0, 5]


@pytest.mark.parametrize("family", ["RoBERTa", "XLM-R", "ModernBERT"])
def test_the_buffer_is_read_as_the_family_writes_a_text(family):
    """What the classifier is given for the whole text is what its tokenizer makes of it."""
    tokenizer = tokenizer_of(family)
    texts = ["the kinase of a cell", "protein"]
    given = []

    class Model:
        device = torch.device("cpu")
        config = type("Config", (), {"num_labels": 2})

        def __call__(self, input_ids, attention_mask):
            given.extend(row[valid.bool()].tolist() for row, valid in zip(input_ids, attention_mask, strict=True))
            assert (input_ids[attention_mask == 0] == tokenizer.pad_token_id).all()
            return type("Output", (), {"logits": torch.zeros(len(input_ids), 2)})

    encoded = encode_texts(texts, tokenizer, 64)
    classifier(Model(), tokenizer)(encoded.input_ids, encoded.valid)
    assert sorted(given) == sorted(tokenizer(texts).input_ids)
