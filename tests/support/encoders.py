"""Tiny encoders saved to a folder, and a corpus that their tokenizer knows."""

import torch
from transformers import BertConfig, BertModel

from support.tiny import tiny_model, tiny_tokenizer

CORPUS = """\
The kinase binds the protein.
We found kinases in a cell, in the blood of a rat.
Phosphorylation of the protein inhibits the kinase.
The dose was in the blood; we found the kinase.
"""


def save_encoder(folder, family="bert", seed=0, **changes):
    """Save a tiny masked language model, whose encoder has no pooler, and return the folder's name."""
    tiny_model(family, seed, **changes).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return str(folder)


def save_pooled(folder, seed=0):
    """Save a tiny BERT with a pooler."""
    torch.manual_seed(seed)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
    # wide weights, so that words differ clearly
    BertModel(BertConfig(vocab_size=30, initializer_range=0.5, **sizes)).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return str(folder)


def write_corpus(folder, text=CORPUS, name="corpus.txt"):
    """Write a corpus and return its path."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)
