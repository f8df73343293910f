"""Embeddings in context, against a loop over sentences with the whole model."""

from pathlib import Path

import pytest
import torch
from support.tiny import MODELS, save_encoder, write_corpus
from transformers import AutoModel, AutoTokenizer

from diffmask.files.records import read_blocks
from diffmask.text.anchors import encoder as contexts
from diffmask.text.anchors.encoder import Encoder

SENTENCES = [
    "The kinase binds the protein.",
    "We found kinases in a cell, in the blood of a rat.",
    "Phosphorylation of the protein inhibits the kinase.",
]
TYPES = ["the", "kinase", "kinases", "phosphorylation", "of", "blood", "rat"]


@torch.no_grad()
def slow_types(folder, sentences, types, layer):
    """Every token of every occurrence, sentence by sentence; `word_ids` are right for these plain sentences."""
    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    states = {word: [] for word in types}
    for sentence in sentences:
        encoding = tokenizer(sentence, return_tensors="pt")
        hidden = model(input_ids=encoding.input_ids, output_hidden_states=True).hidden_states[layer][0]
        if model.config.model_type == "modernbert":
            hidden = model.final_norm(hidden)  # the norm at the top comes after the layer that is last now
        for place, word in enumerate(encoding.word_ids()):
            if word is None:
                continue
            span = encoding.word_to_chars(word)
            surface = sentence[span.start : span.end].lower()
            if surface in states:
                states[surface].append(hidden[place])
    return torch.stack([torch.stack(states[word]).mean(0) for word in types])


@pytest.mark.parametrize("family", MODELS)
def test_a_type_is_the_mean_of_its_tokens_in_context(family, tmp_path):
    folder = save_encoder(tmp_path / "model", family)
    corpus = write_corpus(tmp_path, "\n".join(SENTENCES))
    embeddings = Encoder.load(folder, "cpu").embed_in_context(corpus, TYPES)
    assert torch.allclose(embeddings, slow_types(folder, SENTENCES, TYPES, 1), atol=1e-4)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return Encoder.load(save_encoder(tmp_path_factory.mktemp("model")), "cpu")


def test_batches_do_not_change_embeddings(encoder, tmp_path, monkeypatch):
    corpus = write_corpus(
        tmp_path,
        "\n".join(f"{sentence} {rest}" for sentence in SENTENCES for rest in ("", "the rat", "a cell of blood")),
    )
    at_once = encoder.embed_in_context(corpus, TYPES)
    monkeypatch.setattr(contexts, "_BATCH_TOKENS", 40)
    monkeypatch.setattr(contexts, "_SORTED_ROWS", 4)
    assert torch.allclose(encoder.embed_in_context(corpus, TYPES), at_once, atol=1e-5)


def test_the_same_work_gives_the_same_bits(encoder, tmp_path):
    corpus = write_corpus(
        tmp_path,
        "\n".join(f"{sentence} {rest}" for sentence in SENTENCES for rest in ("", "the rat", "a cell of blood")),
    )
    assert torch.equal(encoder.embed_in_context(corpus, TYPES), encoder.embed_in_context(corpus, TYPES))


def test_words_that_do_not_occur_are_embedded_alone_and_moved(encoder, tmp_path):
    corpus = write_corpus(tmp_path, "\n".join(SENTENCES))
    words = [*TYPES, "dose", "tyrosine kinase"]
    embeddings = encoder.embed_in_context(corpus, words)
    alone = encoder.embed_words(words)
    shift = (embeddings[: len(TYPES)] - alone[: len(TYPES)]).mean(0)
    assert torch.allclose(embeddings[len(TYPES) :], alone[len(TYPES) :] + shift, atol=1e-5)


def test_of_a_long_corpus_every_nth_block_is_read(encoder, tmp_path):
    # a block is 64 KiB, and the same words are read once
    halves = ("the kinase binds a ", "a rat found the ")
    corpus = write_corpus(
        tmp_path, "".join(f"{half}{'kinase ' * (n % 9)}{n}\n" * 900 for half in halves for n in range(9))
    )
    whole = list(read_blocks(Path(corpus), None, contexts._BLOCK_BYTES))
    assert len(whole) > 3
    only = write_corpus(tmp_path, b"".join(block.data for block in whole[::4]).decode(), "only.txt")
    types = ["the", "kinase"]
    read = encoder.embed_in_context(corpus, types, stride=4)
    assert torch.allclose(read, encoder.embed_in_context(only, types), atol=1e-5)
    assert not torch.allclose(read, encoder.embed_in_context(corpus, types), atol=1e-5)


def test_a_sentence_that_comes_again_with_other_marks_is_read_once(encoder, tmp_path):
    once = write_corpus(tmp_path, "The kinase binds.\nA rat.\n", "once.txt")
    twice = write_corpus(tmp_path, "The kinase binds.\nA rat.\nThe [[ kinase ]] binds!\n", "twice.txt")
    types = ["the", "kinase", "binds", "a", "rat"]
    assert torch.equal(encoder.embed_in_context(once, types), encoder.embed_in_context(twice, types))


def test_a_corpus_with_no_known_word_leaves_words_alone(encoder, tmp_path):
    corpus = write_corpus(tmp_path, "rat rat")
    assert torch.equal(encoder.embed_in_context(corpus, ["dose"]), encoder.embed_words(["dose"]))


def test_long_documents_are_read_in_windows(encoder, tmp_path):
    corpus = write_corpus(tmp_path, "the kinase " * 300 + "blood")
    embeddings = encoder.embed_in_context(corpus, ["the", "kinase", "blood"])
    assert embeddings.isfinite().all()
    assert (embeddings.abs().sum(1) > 0).all()
