"""A small domain, known in every number: its anchors, and texts that a tiny tokenizer knows."""

import torch

from diffmask.core.difference import tf_icf
from diffmask.text.anchor_set import AnchorSet
from diffmask.text.corpus import Document

GENERAL = {
    "the": 0.05, "of": 0.03, "a": 0.02, "in": 0.02, "was": 5e-3, "we": 2e-3, "to": 2e-2, "found": 3e-4,
    "rat": 2e-5, "blood": 2e-4, "cell": 4e-5, "dose": 5e-6, "protein": 8e-6, "binds": 6e-7, "inhibits": 2e-7,
    "kinase": 0.0, "7": 1e-3,
}  # fmt: skip
COUNTS = {
    "the": 60, "of": 30, "a": 30, "in": 30, "was": 10, "we": 10, "to": 10, "found": 10,
    "rat": 5, "blood": 5, "cell": 20, "dose": 5, "protein": 40, "binds": 10, "inhibits": 10, "kinase": 60, "7": 5,
}  # fmt: skip

SENTENCES = [
    "The kinase inhibits the protein in a cell of the rat, and we found the dose in the blood of a rat.",
    "We found a protein in the cell, the kinase binds to the protein, and the kinase inhibits the protein in the rat.",
    "In the blood of the rat we found a dose of the protein, to the kinase in the cell it was a dose of a protein.",
]


def domain_anchors(scores=None):
    """Return the anchors of the domain; by default a word scores the logarithm of its TF-ICF."""
    words = list(COUNTS)
    counts = torch.tensor(list(COUNTS.values()))
    num_words = int(counts.sum())
    difference = tf_icf(counts / num_words, torch.tensor(list(GENERAL.values()), dtype=torch.float64))
    return AnchorSet(
        anchors=["kinase", "protein"],
        types=words,
        counts=counts,
        tf_icf=difference,
        scores=(difference.log() if scores is None else torch.tensor(scores)).float(),
        embeddings=torch.zeros(2, 4),
        metadata={"num_words": num_words, "model": {"name": "tiny"}, "reference": {"name": "a list"}},
    )


def documents(texts=None):
    """Return texts as the documents of one file."""
    return [Document(text, "papers.txt", number, 0) for number, text in enumerate(texts or SENTENCES, 1)]
