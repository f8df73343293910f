"""Tiny models and texts, built in code: no network, no weights on disk."""

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertModel,
    DebertaV2Config,
    DebertaV2ForMaskedLM,
    DistilBertConfig,
    DistilBertForMaskedLM,
    ElectraConfig,
    ElectraForMaskedLM,
    ModernBertConfig,
    ModernBertForMaskedLM,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForMaskedLM,
)

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["the", "of", "a", "in", "kinase", "protein", "cell", "binds", "inhibits", "rat", "dose", "blood", "was"]
WORDS += ["found", "to", "we"]
PIECES = ["kin", "##ase", "##s", "phos", "##pho", "##ryl", "##ation", ",", "."]
SIZE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}

MODELS = {
    "bert": (BertForMaskedLM, BertConfig, SIZE),
    "roberta": (RobertaForMaskedLM, RobertaConfig, SIZE | {"max_position_embeddings": 80}),
    "distilbert": (DistilBertForMaskedLM, DistilBertConfig, {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 48}),
    "deberta-v2": (
        DebertaV2ForMaskedLM,
        DebertaV2Config,
        SIZE | {"relative_attention": True, "pos_att_type": "c2p|p2c"},
    ),
    "electra": (ElectraForMaskedLM, ElectraConfig, SIZE | {"embedding_size": 16}),
    "modernbert": (ModernBertForMaskedLM, ModernBertConfig, SIZE | {"pad_token_id": 0, "local_attention": 16}),
}

CORPUS = """\
The kinase binds the protein.
We found kinases in a cell, in the blood of a rat.
Phosphorylation of the protein inhibits the kinase.
The dose was in the blood; we found the kinase.
"""
"""Text for an encoder, which the tokenizer knows."""


def tiny_model(family="bert", seed=0, vocab_size=30, **changes):
    """Return a masked language model of 2 layers and 32 dimensions, without dropout."""
    torch.manual_seed(seed)
    model_class, config_class, size = MODELS[family]
    quiet = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    if family == "distilbert":
        quiet = {"dropout": 0.0, "attention_dropout": 0.0}
    elif family == "modernbert":
        quiet = {}
    return model_class(config_class(vocab_size=vocab_size, **(size | quiet | changes)))


def tiny_tokenizer():
    """Return a WordPiece tokenizer of 30 tokens."""
    vocabulary = {token: index for index, token in enumerate(SPECIAL + WORDS + PIECES)}
    backend = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=64,
    )


def tiny_rows(num_rows=24, seed=0, num_types=6):
    """Return tokenised rows of 6 to 20 tokens, in words of one to three, as the data set holds them."""
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for sample_id in range(num_rows):
        length = int(torch.randint(4, 19, (1,), generator=generator))
        starts = torch.rand(length, generator=generator) < 0.7
        starts[0] = True
        words = (starts.cumsum(0) - 1).tolist()
        tokens = torch.randint(5, 30, (length,), generator=generator).tolist()
        num_units = words[-1] + 1
        types = torch.randint(-1, num_types, (num_units,), generator=generator).tolist()
        rows.append(
            {"input_ids": [2, *tokens, 3], "unit_ids": [-1, *words, -1], "types": types, "sample_id": sample_id}
        )
    return rows


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
