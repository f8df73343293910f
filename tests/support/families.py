"""Tokenizers of every family, with the classes of transformers and vocabularies learnt from a few lines: no network."""

import base64
import functools
import json
import zlib

from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AlbertTokenizer,
    BertTokenizer,
    BigBirdTokenizer,
    DebertaV2Tokenizer,
    GPTNeoXTokenizer,
    PreTrainedTokenizerFast,
    RobertaTokenizer,
    T5Tokenizer,
    XLMRobertaTokenizer,
)

from diffmask.text.segment.segmenter import segmenter_for

LINES = [
    "the protein kinase in the cell of a protein, and the cells",
    "state of the art cells and kinase inhibitors: phosphorylate, phosphorylation",
    "mutated genes do not express proteins in vitro and does nothing else",
    "two spaces and new lines cost 3,000 dollars at 37.5 degrees",
    "naïve café étude final works well with great end",
    "البروتين في الخلية نعم",
]
ALPHABET = "".join(map(chr, [*range(33, 127), *range(0xA1, 0x180), *range(0x300, 0x304), *range(0x620, 0x653)])) + "،"
ALPHABET += "细胞激酶抑制剂ภาษาひらがな한국어हिन्दीﬁ™²Ⅳ½…₂αβ😀👍🏽❤\ufe0f👨\u200d👩👧🇩🇪"
# what SentencePiece compiles from the rules: ™ TM, ﬁ fi, ½ 1⁄2, … ..., ² 2, Ⅳ IV, full-width A, and wide spaces
CHARSMAP = zlib.decompress(
    base64.b85decode(
        "c-kG)d63U#90%~vd{uwZG}Dx`scAZCezisvrM7#qO15=Wj*ew3rF*+~v&&*pY$S_4SkjiesEt~ys8Dn`I(NHIx<z>XJTtF(f1cx?=ZYg"
        "DqGgL{C`+R9$Vj)smK;T`ej*Dilc;VLajd%LxQOD4BudJYI3_(;ki@cnimZqt>yKAf$)jcKINXo6w4puiIDrnF$m{tL&Gkt%%}b)LF^Q"
        "9noysYk&S{*<8FZo}zm+C&mOPsj8Jt6Xha@`7bLm1ix^h0}(Sz<>$OT+PPcpffOSy#0xr{5h0$Yo#=uI!O>BH6Z#rESG`g1MUk;4FT8N"
        "@)YXD~N%149|YaE5U+H*qVsFoHZBQH<nvZetX8a2I!SH>0_id$^zbc#sEphyotrVIJdAp5Sqc(wEK{o}`3g#xa)hlroVCOrne_Oy+5xV"
        "j5F<hH_>wotZq#ES_UF70hK0Ra8<#HS?Lr0&01lg}lHbUZjr2yu?zLu$*PAWCgGAGOJm|YrL9%bLqFjTGsF;Z?KLA*3-z_yv0T~@GkGL"
        "iTBvTW<KD3wy~9u_>fQdm>q0q7d!ckPx*q+`HC-TripL(n(z3QANZc1_>o`uIsFg#l|Ag{4}Rw_{^TG2W-tG;kN^0e{T$=~Cq*iiij1b"
        "B;?Dk0W@P0?PIlzw$0139n+N"
    )
)
BERT_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ROBERTA_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
NUM_TOKENS = 420


def _learn(backend, trainer):
    """Return the vocabulary model that a backend's own pipeline learns from the lines."""
    learner = Tokenizer.from_str(backend.to_str())
    learner.train_from_iterator(LINES * 3, trainer)
    return json.loads(learner.to_str())["model"]


def _alphabet(backend):
    normalized = backend.normalizer.normalize_str(ALPHABET) if backend.normalizer else ALPHABET
    return sorted(set(normalized) - {" "})


def _word_piece(**options):
    backend = BertTokenizer(**options).backend_tokenizer
    trainer = trainers.WordPieceTrainer(
        vocab_size=900, special_tokens=BERT_SPECIAL, initial_alphabet=_alphabet(backend), show_progress=False
    )
    vocab = _learn(backend, trainer)["vocab"]
    for char in _alphabet(backend):
        vocab.setdefault(f"##{char}", len(vocab))
    return BertTokenizer(vocab=vocab, model_max_length=512, **options)


def _bytes(tokenizer_class, special, **options):
    trainer = trainers.BpeTrainer(
        vocab_size=NUM_TOKENS,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    learnt = _learn(tokenizer_class(**options).backend_tokenizer, trainer)
    merges = [tuple(merge) for merge in learnt["merges"]]
    return tokenizer_class(vocab=learnt["vocab"], merges=merges, model_max_length=512, **options)


def _modernbert():
    """ModernBERT has no class of its own: GPT-NeoX bytes, tokens of several spaces, and BERT's special tokens."""
    learnt = _bytes(GPTNeoXTokenizer, BERT_SPECIAL).backend_tokenizer
    backend = Tokenizer.from_str(learnt.to_str())
    backend.add_tokens([AddedToken(" " * width, normalized=True) for width in (4, 3, 2)])
    ends = [(token, backend.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=ends
    )
    names = dict(zip(("pad", "unk", "cls", "sep", "mask"), BERT_SPECIAL, strict=True))
    tokens = {f"{name}_token": token for name, token in names.items()}
    return PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=8192, **tokens)


def _sentence_piece(tokenizer_class, special, unknown, **options):
    backend = tokenizer_class(**options).backend_tokenizer
    trainer = trainers.UnigramTrainer(
        vocab_size=NUM_TOKENS,
        special_tokens=special,
        unk_token=unknown,
        initial_alphabet=[*_alphabet(backend), "▁"],
        show_progress=False,
    )
    vocab = [tuple(entry) for entry in _learn(backend, trainer)["vocab"]]
    return tokenizer_class(vocab=vocab, model_max_length=512, **options)


FAMILIES = {
    "BERT": _word_piece,
    "BERT, cased": lambda: _word_piece(do_lower_case=False),
    "RoBERTa": lambda: _bytes(RobertaTokenizer, ROBERTA_SPECIAL),
    "RoBERTa, prefix space": lambda: _bytes(RobertaTokenizer, ROBERTA_SPECIAL, add_prefix_space=True),
    "GPT-NeoX": lambda: _bytes(GPTNeoXTokenizer, ["<|endoftext|>", "<|padding|>"]),
    "ModernBERT": _modernbert,
    "XLM-R": lambda: _sentence_piece(XLMRobertaTokenizer, ROBERTA_SPECIAL, "<unk>", _spm_precompiled_charsmap=CHARSMAP),
    "ALBERT": lambda: _sentence_piece(
        AlbertTokenizer,
        ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"],
        "<unk>",
        _spm_precompiled_charsmap=CHARSMAP,
    ),
    "T5": lambda: _sentence_piece(T5Tokenizer, ["<pad>", "</s>", "<unk>"], "<unk>", _spm_precompiled_charsmap=CHARSMAP),
    "DeBERTa-v2": lambda: _sentence_piece(DebertaV2Tokenizer, BERT_SPECIAL, "[UNK]"),
    "BigBird": lambda: _sentence_piece(
        BigBirdTokenizer, ["<pad>", "</s>", "<s>", "<unk>", "[CLS]", "[SEP]", "[MASK]"], "<unk>"
    ),
}
"""Names and makers; GPT-NeoX and T5 have no mask token."""


@functools.cache
def tokenizer_of(family):
    """Return the tokenizer of a family; the same object every time, so that it must not be changed."""
    return FAMILIES[family]()


def units_of(family, text, units="word"):
    """Return (tokens, surface) of each unit of one text, and the tokens in no unit."""
    tokenizer = tokenizer_of(family)
    segments = segmenter_for(tokenizer, units)([text])
    tokens = tokenizer.convert_ids_to_tokens(segments.input_ids.tolist())
    members = [[] for _ in segments.surfaces]
    outside = []
    for token, unit in zip(tokens, segments.units.tolist(), strict=True):
        (members[unit] if unit >= 0 else outside).append(token)
    return list(zip(members, segments.surfaces, strict=True)), outside


def broken_tokenizer():
    """Return a tokenizer whose normalizer loses where characters came from: every token seems to span the text."""
    vocabulary = {token: index for index, token in enumerate([*BERT_SPECIAL, "a", "b", "c", "d"])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    backend.normalizer = normalizers.Replace(Regex(r"(?m).+"), "a b c d a b c d")
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    names = dict(zip(("pad", "unk", "cls", "sep", "mask"), BERT_SPECIAL, strict=True))
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, **{f"{name}_token": token for name, token in names.items()}
    )


# written down by hand: what `split_words` must say, and every tokenizer with it
SAMPLES = {
    "The p53 kinase doesn't phosphorylate BRCA1-mutated cells (in vitro).": (
        "the p53 kinase doesn t phosphorylate brca1 mutated cells in vitro"
    ),
    "  Two  spaces,\ttabs\nand    newlines  ": "two spaces tabs and newlines",
    "IL-2 at 37.5 °C costs $3,000... e.g. U.S. state-of-the-art!": (
        "il 2 at 37 5 c costs 3 000 e g u s state of the art"
    ),
    "The 细胞 protein激酶抑制剂 works": "the 细 胞 protein 激 酶 抑 制 剂 works",
    "البروتين kinase في الخلية، نعم": "البروتين kinase في الخلية نعم",
    "great 😀👍🏽 well❤️ 👨‍👩‍👧 🇩🇪🇩🇪 end": "great well end",
    "naïve café e\u0301tude ﬁnal™ x² ½ Ⅳ cafe\u0301": "naïve café étude final x2 ½ iv café",
    "ภาษา ひらがな 한국어 हिन्दी": "ภ า ษ า ひ ら が な 한국어 हिन्दी",
}
