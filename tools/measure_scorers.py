"""Measure scorers of word types by what people marked; `docs/scorers.md` is made with it.

    python tools/measure_scorers.py --model minilm ChemProt=chemprot/train.jsonl SciIE=sciie/train.jsonl Docs=docstrings

A text marks its entities as << >> and [[ ]]. `docstrings` stands for the documentation strings of scikit-learn, SciPy
and PyTorch (`docstrings:pandas,transformers` for those of other packages), where the entities are what their authors
set in backticks. Markers are removed before anything is counted.
A number is the mean over sentences of the area under the ROC curve of entity words against the others (0.5 is chance),
and the lift: how much denser entity words are among the 15 % best-scored words of a sentence than in all of it.
"""

import argparse
import ast
import json
import re
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from scipy.stats import rankdata

from diffmask.core.similarity import ANCHOR_SHARE, anchor_similarity, contrast, likeness, standardise
from diffmask.demo.docstrings import find_package
from diffmask.text.anchors.encoder import Encoder
from diffmask.text.anchors.vocabulary import Vocabulary
from diffmask.text.corpus.counts import count_corpus
from diffmask.text.corpus.reference import read_reference

MARKED = re.compile(r"<<\s*(.*?)\s*>>|\[\[\s*(.*?)\s*\]\]|`+([^`]+)`+")
WORD = re.compile(r"[a-z]+")
LEAST_WORDS = 8
NUM_DOCSTRINGS = 12_000
PACKAGES = "sklearn,scipy,torch"

Sentences = dict[str, set[str]]
Scores = dict[str, torch.Tensor]


def read_marked(lines: Iterable[str]) -> Sentences:
    """Return each sentence without its markers, and the words that are marked in any copy of it."""
    sentences: Sentences = defaultdict(set)
    for line in lines:
        marked = [" ".join(filter(None, found.groups())) for found in MARKED.finditer(line)]
        plain = MARKED.sub(lambda found: "".join(filter(None, found.groups())), line)
        sentences[" ".join(plain.split())].update(word for text in marked for word in WORD.findall(text.lower()))
    return dict(sentences)


def docstring_sentences(packages: Iterable[str]) -> Iterator[str]:
    """Yield the sentences of documentation strings, without examples and with backticks."""
    for package in packages:
        folder = find_package(package)
        for path in sorted(folder.rglob("*.py")) if folder else []:
            if "test" in str(path.relative_to(folder)):
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
                    yield from _sentences(ast.get_docstring(node) or "")


def _sentences(docstring: str) -> Iterator[str]:
    for paragraph in re.split(r"\n\s*\n", docstring):
        if ">>>" not in paragraph:
            yield from re.split(r"(?<=[.!?]) (?=[A-Z])", re.sub(r":[a-z:]+:(?=`)", "", " ".join(paragraph.split())))


def read_sentences(source: str) -> Sentences:
    """Return the marked sentences of a file, or of documentation strings."""
    kind, _, packages = source.partition(":")
    if kind != "docstrings":
        lines = Path(source).read_text(encoding="utf-8").splitlines()
        return read_marked(json.loads(line)["text"] for line in lines)
    found = sorted(read_marked(docstring_sentences((packages or PACKAGES).split(","))).items())
    step = max(1, len(found) // NUM_DOCSTRINGS)
    return dict(found[::step])


def measure(sentences: Sentences, score: dict[str, float]) -> tuple[float, float]:
    """Return the mean area under the curve, and the lift of the best 15 %."""
    least = min(score.values())
    areas, shares, bases = [], [], []
    for text, entities in sentences.items():
        words = WORD.findall(text.lower())
        hits = torch.tensor([word in entities for word in words])
        num_hits = int(hits.sum())
        if len(words) < LEAST_WORDS or num_hits in (0, len(words)):
            continue
        values = torch.tensor([score.get(word, least) for word in words], dtype=torch.float64)
        # the rank sum of Mann and Whitney is the area
        ranks = torch.from_numpy(rankdata(values.numpy()))
        areas.append((ranks[hits].sum() - num_hits * (num_hits + 1) / 2) / (num_hits * (len(words) - num_hits)))
        best = torch.sort(values, descending=True, stable=True).indices[: max(1, round(0.15 * len(words)))]
        shares.append(hits[best].double().mean())
        bases.append(hits.double().mean())
    return float(torch.stack(areas).mean()), float(torch.stack(shares).mean() / torch.stack(bases).mean())


def rank_blend(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Return the mean of two scores' ranks."""
    return torch.from_numpy((rankdata(first.numpy()) + rankdata(second.numpy())) / 2)


def candidates(vocabulary: Vocabulary, corpus: str, model: str) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield a name and the scores of the words, one candidate after the other."""
    words, num_words = vocabulary.words, len(vocabulary.words)
    tf_icf, rarity = vocabulary.tf_icf[:num_words], -(vocabulary.frequencies[:num_words] + 1e-6).log()
    voters, common = vocabulary.voters(), vocabulary.common()
    row_of = {word: row for row, word in enumerate(words)}
    rows = {num: [row_of[word] for word in vocabulary.choose(num, 10)] for num in (10, 20, 50)}
    yield "no anchors: rarity", rarity
    yield "no anchors: TF-ICF", tf_icf
    yield "no anchors: rarity + log TF-ICF", standardise(rarity) + standardise(tf_icf.log())
    yield "no anchors: rarity + TF-ICF, ranks", rank_blend(rarity, tf_icf)

    pooled = Encoder.load(model, "cpu", pooler=True).pool_words(words)
    yield "published: pooler, isolated word, max", anchor_similarity(pooled, pooled[rows[20]], "max")
    centred = pooled - pooled.mean(0)
    yield "the same, centred", anchor_similarity(centred, centred[rows[20]], "max")

    encoder = Encoder.load(model, "cpu")
    everyone = torch.ones(num_words, dtype=torch.bool)
    for kind, embeddings in (
        ("isolated word", encoder.embed_words(words)),
        ("in context", encoder.embed_in_context(corpus, words)),
    ):
        every_vote = likeness(embeddings, tf_icf.log(), everyone)
        likely = standardise(likeness(embeddings, tf_icf.log(), voters))
        near = {num: embeddings[chosen] for num, chosen in rows.items()}
        yield f"{kind}: 3 nearest anchors", anchor_similarity(embeddings, near[20], "nearest")
        for reduce in ("max", "nearest", "mean"):
            scores = standardise(contrast(embeddings, near[20], embeddings[common], reduce))
            yield f"{kind}: contrast, {reduce}", scores
            yield f"{kind}: likeness + {ANCHOR_SHARE:g} contrast, {reduce}", torch.lerp(likely, scores, ANCHOR_SHARE)
        yield f"{kind}: likeness alone, every type votes", every_vote
        for num, share in ((20, 0.0), (20, 0.1), (20, ANCHOR_SHARE), (20, 0.3), (20, 0.5), (10, 0.2), (50, 0.2)):
            default = kind == "in context" and (num, share) == (20, ANCHOR_SHARE)
            scores = standardise(contrast(embeddings, near[num], embeddings[common], "mean"))
            name = f"likeness + {share:g} contrast, mean of {num}" if share else "likeness alone"
            yield f"{kind}: {name}{' **(default)**' if default else ''}", torch.lerp(likely, scores, share)
        scores = torch.lerp(likely, standardise(rarity).float(), 0.3)
        yield f"{kind}: likeness + 0.3 rarity", scores


def measure_domain(source: str, model: str) -> dict[str, tuple[float, float]]:
    """Return area and lift of every candidate on one domain."""
    sentences = read_sentences(source)
    reference = read_reference("wordfreq:en")
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "plain.txt"
        corpus.write_text("\n".join(sentences) + "\n", encoding="utf-8")
        vocabulary = Vocabulary.compare(count_corpus(corpus), reference)
        found = {}
        for name, scores in candidates(vocabulary, str(corpus), model):
            spread = vocabulary.with_parts(scores).tolist()
            found[name] = measure(sentences, dict(zip(vocabulary.types, spread, strict=True)))
    return found


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("domains", nargs="+", metavar="NAME=FILE", help="marked text, or NAME=docstrings")
    parser.add_argument("--model", default="minilm")
    args = parser.parse_args()
    sources = dict(domain.split("=", 1) for domain in args.domains)
    results = {name: measure_domain(source, args.model) for name, source in sources.items()}
    print(f"| score | {' | '.join(results)} |")
    print(f"|---|{'---|' * len(results)}")
    for candidate in next(iter(results.values())):
        cells = [f"{area:.3f} / {lift:.2f}" for area, lift in (result[candidate] for result in results.values())]
        print(f"| {candidate} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
