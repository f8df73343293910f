"""Answers to choose from: a frozen model reads each with its question and clip, and a linear scorer chooses.

Every answer is scored in the same way wherever it stands, and alone: the choice is a softmax over the answers of a
question, so that what all of them have in common does not count.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor
from torch.nn.functional import one_hot
from tqdm import tqdm

from diffmask.config.evaluation import (
    FULL,
    QUESTION_ANSWERS,
    SINGLE_LABEL,
    TEXT_ONLY,
    VIDEO_ONLY,
    ProbeSettings,
)
from diffmask.evaluate.methods.frozen import Folds, Prober, make_folds
from diffmask.evaluate.methods.pair_encoder import PairEncoder, Texts
from diffmask.evaluate.modality import Predict, Predicted
from diffmask.tasks.question_task import Asked, QuestionTask
from diffmask.video.read.dataset import Span

WITH_CLIP = (FULL, VIDEO_ONLY)
"""What is shown of a question that has the clip in it."""
_WITH_QUESTION = (FULL, QUESTION_ANSWERS, TEXT_ONLY)
_WITH_SUBTITLES = (FULL, TEXT_ONLY)
_NOTHING = 1e-9
"""Deviation of a feature below which it says nothing."""


def compose(asked: Asked, answer: str, inputs: str) -> tuple[str, tuple[int, int]]:
    """Return the text of an answer as the model reads it, and where the answer stands in it.

    Subtitles stand last, so that they are what is cut off of a text that is too long.

    >>> compose(Asked("who?", (), "", None), "a cat", "full"), compose(Asked("who?", (), "", None), "a cat", "video")
    (('who? a cat', (5, 10)), ('a cat', (0, 5)))
    """
    before = f"{asked.question} " if inputs in _WITH_QUESTION else ""
    behind = f" {asked.said}" if asked.said and inputs in _WITH_SUBTITLES else ""
    return before + answer + behind, (len(before), len(before) + len(answer))


def compose_all(questions: Sequence[Asked], inputs: str) -> tuple[list[str], list[tuple[int, int]]]:
    """Return the texts of all answers of questions, question by question, and where the answers stand in them.

    An open question is one text.
    """
    composed = [compose(asked, answer, inputs) for asked in questions for answer in asked.answers or ("",)]
    return [text for text, _ in composed], [part for _, part in composed]


class Read(NamedTuple):
    """What a model makes of all answers of a task's questions, on the CPU.

    Attributes:
        features: For each split, float32 (N, A, F).
        matching: For each split, the logit that clip and text belong together, (N, A).
        num_cut: Texts that were cut off.
    """

    features: dict[str, Tensor]
    matching: dict[str, Tensor]
    num_cut: int


class _Reader:
    """Reads the answers of questions, clip by clip."""

    def __init__(self, encoder: PairEncoder, task: QuestionTask):
        self.encoder, self.task = encoder, task
        self.inputs = encoder.settings.video_text.inputs
        self.num_texts = max(1, task.num_answers)
        self.questions = [asked for part in task.asked.values() for asked in part]
        self.texts: Texts = encoder.tokenise(*compose_all(self.questions, self.inputs))
        model: Any = encoder.loaded.model
        self.width = 2 * int(model.text.config.hidden_size) + 2

    def by_clip(self) -> dict[tuple[str, Span | None], list[int]]:
        """Return the places of the questions about each clip, or about each part of one."""
        found: dict[tuple[str, Span | None], list[int]] = {}
        for place, asked in enumerate(self.questions):
            found.setdefault((asked.content, asked.span), []).append(place)
        return found

    def read(self, *, progress: bool) -> Read:
        """Return features of all answers; a clip is read once for all questions about it."""
        found = torch.empty(len(self.questions), self.num_texts, self.width)
        if self.inputs in WITH_CLIP:
            self._with_clips(found, progress=progress)
        else:
            self._without_clips(found, progress=progress)
        ends = np.cumsum([len(asked) for asked in self.task.asked.values()])[:-1].tolist()
        parts = dict(zip(self.task.asked, found.tensor_split(ends), strict=True))
        return Read(parts, {split: each[..., -2] for split, each in parts.items()}, self.texts.num_cut)

    def _with_clips(self, found: Tensor, *, progress: bool) -> None:
        groups = self.by_clip()
        shown = [(self.task.clips[content], span) for content, span in groups]
        places = iter(groups.values())
        for states in self.encoder.encode_clips(shown, progress=progress):
            # which clip of the batch, and which question, one for each question
            pairs = [(row, place) for row in range(len(states)) for place in next(places)]
            for part in _chunks(pairs, self._size()):
                rows = torch.tensor([row for row, _ in part], device=states.device)
                found[[place for _, place in part]] = self._features([place for _, place in part], states[rows])

    def _without_clips(self, found: Tensor, *, progress: bool) -> None:
        width = self.encoder.loaded.model.video.config.hidden_size
        firsts = self.texts.rows[:: self.num_texts]
        order = sorted(range(len(firsts)), key=lambda place: len(firsts[place]))
        with tqdm(total=len(order), desc="questions", unit="question", disable=not progress) as bar:
            for places in _chunks(order, self._size()):
                # one patch that says nothing, so that the same layers read the text
                nothing = torch.zeros(len(places), 1, width, device=self.encoder.device)
                found[places] = self._features(places, nothing)
                bar.update(len(places))

    def _size(self) -> int:
        """Return how many questions are read at a time."""
        return max(1, self.encoder.settings.eval_batch_size // self.num_texts)

    @torch.inference_mode()
    def _features(self, places: Sequence[int], clips: Tensor) -> Tensor:
        """Return features of the answers of some questions, (N, A, F), given states of their clips (N, V, D)."""
        model: Any = self.encoder.loaded.model
        num_answers = self.num_texts
        rows = [place * num_answers + answer for place in places for answer in range(num_answers)]
        ids, mask, parts = self.encoder.text_batch(self.texts, rows)
        with self.encoder.autocast():
            states = model.encode_text(ids, mask)
            videos = clips.repeat_interleave(num_answers, 0)
            fused = model.fuse(states, mask, videos).text
            similar = (model.embed_text(states, mask) * model.embed_video(videos)).sum(-1)
            matching = model.match(fused, mask)
        if self.inputs not in WITH_CLIP:
            similar, matching = torch.zeros_like(similar), torch.zeros_like(matching)
        made = torch.cat([pooled(fused.float(), mask, parts), matching.float()[:, None], similar.float()[:, None]], 1)
        return made.unflatten(0, (len(places), num_answers)).cpu()


def pooled(states: Tensor, attention_mask: Tensor, parts: Tensor) -> Tensor:
    """Return what is read of fused states (B, L, D): their mean, and the mean over the answer's tokens, (B, 2 D)."""
    means = []
    for counted in (attention_mask, parts):
        weights = counted[..., None].to(states.dtype)
        means.append((states * weights).sum(1) / weights.sum(1).clamp_min(1.0))
    return torch.cat(means, 1)


def _chunks(items: Sequence[Any], size: int) -> list[Sequence[Any]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def match_answers(encoder: PairEncoder, task: QuestionTask, *, progress: bool) -> Predicted:
    """Choose the answer that, with its question, belongs best to the clip; nothing is trained."""
    read = _Reader(encoder, task).read(progress=progress)
    return Predicted([], read.matching["test"].argmax(1).tolist(), {"texts_cut_off": read.num_cut})


def probe_answers(encoder: PairEncoder, task: QuestionTask, *, progress: bool) -> Predict:
    """Return what fits a linear scorer of answers, or of the labels of open questions, to features computed here."""
    read = _Reader(encoder, task).read(progress=progress)
    settings, groups = encoder.settings, task.train.texts
    cut = {"texts_cut_off": read.num_cut}
    if not task.num_answers:
        features = {split: list(each.numpy()) for split, each in read.features.items()}
        prober = Prober(features, groups, task, settings)

        def label(train: Sequence[int], seed: int) -> Predicted:
            found = prober.predict(train, seed)
            return replace(found, chosen=found.chosen | cut)

        return label

    def choose(train: Sequence[int], seed: int) -> Predicted:
        targets = np.array([task.train.labels[row] for row in train])
        numbers = {content: number for number, content in enumerate(dict.fromkeys(groups))}
        places = np.array([numbers[groups[row]] for row in train])
        # questions about one clip fall into one fold
        folds = make_folds(targets, places, settings.probe.folds, seed, SINGLE_LABEL)
        features = read.features["train"][list(train)].to(encoder.device)
        scorer, chosen = choose_scorer(features, torch.from_numpy(targets), folds, settings.probe)
        dev, test = (scorer.choose(read.features[split].to(encoder.device)) for split in ("dev", "test"))
        return Predicted(dev, test, chosen | cut)

    return choose


class AnswerScorer(NamedTuple):
    """A linear scorer of answers, in float64.

    Attributes:
        mean: Mean of the features, (F,).
        scale: What they are divided by, (F,).
        weights: Weights, (F,).
    """

    mean: Tensor
    scale: Tensor
    weights: Tensor

    @classmethod
    def fit(cls, features: Tensor, targets: Tensor, regularisation: float, max_iterations: int) -> "AnswerScorer":
        """Fit the weights: cross-entropy of the softmax over the answers, with an L2 penalty as in scikit-learn.

        Args:
            features: Of each answer of each question, (N, A, F).
            targets: Which answer is right, int64 (N,).
            regularisation: C, the weight of the loss against the penalty.
            max_iterations: Iterations of L-BFGS, at most.
        """
        shape, targets = features.shape, targets.to(features.device)
        flat = features.double().flatten(0, 1)
        mean, scale = flat.mean(0), flat.std(0, correction=0)
        scale[scale < _NOTHING] = 1.0
        flat = (flat - mean) / scale
        right = one_hot(targets, shape[1])

        def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
            shares = (flat @ torch.from_numpy(weights).to(flat)).view(shape[:2]).log_softmax(1)
            slope = (shares.exp() - right).flatten() @ flat
            value = -float(shares[right.bool()].sum())
            return (
                regularisation * value + 0.5 * float(weights @ weights),
                regularisation * slope.cpu().numpy() + weights,
            )

        start, options = np.zeros(shape[2]), {"maxiter": max_iterations}
        found = minimize(loss, start, jac=True, method="L-BFGS-B", options=options)
        return cls(mean, scale, torch.from_numpy(found.x).to(flat))

    def choose(self, features: Tensor) -> list[int]:
        """Return the answer with the highest score of each question."""
        return (((features.double() - self.mean) / self.scale) @ self.weights).argmax(1).tolist()


def choose_scorer(
    features: Tensor, targets: Tensor, folds: Folds | None, probe: ProbeSettings
) -> tuple[AnswerScorer, dict[str, Any]]:
    """Fit a scorer with the C that cross-validation finds best, or the middle one where there are no folds.

    Args:
        features: Of each answer of each question, (N, A, F).
        targets: Which answer is right, (N,).
        folds: What `make_folds` returns.
        probe: The values of C to try.
    """
    values = sorted(probe.regularisations)
    best, score = values[len(values) // 2], None
    if folds is not None:
        scores = {value: _cross_validate(features, targets, folds, value, probe.max_iterations) for value in values}
        best = max(values, key=lambda value: scores[value])  # the strongest penalty of equals
        score = scores[best]
    scorer = AnswerScorer.fit(features, targets, best, probe.max_iterations)
    return scorer, {"C": best, "cross_validated": score}


def _cross_validate(features: Tensor, targets: Tensor, folds: Folds, value: float, max_iterations: int) -> float:
    """Return the mean over the folds of the share of right choices."""
    shares = []
    for fit, measured in folds:
        scorer = AnswerScorer.fit(features[fit], targets[fit], value, max_iterations)
        chosen = torch.tensor(scorer.choose(features[measured]))
        shares.append(float((chosen == targets[measured]).float().mean()))
    return float(np.mean(shares))
