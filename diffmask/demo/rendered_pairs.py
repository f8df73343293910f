"""Clips with captions and questions that are drawn in code: two handwritten digits, each of which moves its own way.

    render_pairs("clips") -> clips/general, clips/domain, clips/general.csv, clips/train.csv, clips/test.csv,
                             clips/questions.jsonl, clips/boxes.csv

A caption says which digit moves where ("a two moves left, a seven moves up"), and others of the same clip name one of
the two; those of test clips name both, so that each is true of few clips. A question asks for one of the two. No digit
and no direction comes more often than another, and none goes with another, so neither an answer nor a question gives
anything away: who sees no clip is right by chance. The general clips are alike but show shapes in place of digits, and
their captions name those: digits are all that makes the domain different, in the clips and in the words.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from diffmask.core.errors import InputError
from diffmask.demo import draw_clips
from diffmask.demo.draw_clips import (
    CLUTTER,
    NUM_FRAMES,
    SIZE,
    check_encoder,
    draw_clutter,
    draw_colour,
    draw_digit,
    draw_shape,
    encode,
    split_handwriting,
)
from diffmask.files.folders import check_folder, draft, write_text
from diffmask.files.made_folder import write_table

GENERAL, TRAIN, TEST = "general.csv", "train.csv", "test.csv"
QUESTIONS, BOXES = "questions.jsonl", "boxes.csv"
DIGITS = ("zero", "two", "six", "seven")
"""Few enough to be learned in minutes, and about the easiest to tell apart; in words, for no number is an anchor."""
SHAPES = ("disc", "square", "triangle", "cross")
DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
"""Across and down, in an image."""
NUM_ANSWERS = 4
_PER_CLIP = 4
"""Questions about a clip: two about each of its objects."""
_OBJECT_SIZE, _STEP, _FRAMES_A_STEP = 24, 8, 4
"""Points of a digit or a shape, points that it jumps, and frames that it stands in between.

An object always stands on multiples of a jump, so that patches of this size show the same parts of it wherever it is:
what it is can then be learned in minutes, from hundreds of clips in place of millions.
"""
_NUM_TRIES = 32
"""How many starts are drawn for the objects of a clip; the one with the least overlap is taken."""


@dataclass(frozen=True)
class _RenderedPairs:
    """Paths of the clips and their tables, in which a clip is named by its path from the folder.

    Attributes:
        folder: Folder of all of them.
        general: Table of clip and caption: clips without digits, for pretraining and as the reference of the domain.
        train: The same of clips with digits, to train on.
        test: The same of clips with digits, to test on.
        questions: One question a line: clip, question, answers, answer (which of them is right, from 0), split.
        boxes: Table of clip, frame, x1, y1, x2, y2, label: where each digit is.
    """

    folder: Path
    general: Path
    train: Path
    test: Path
    questions: Path
    boxes: Path


class _Mover(NamedTuple):
    """An object, its way, and how it was written if it is a digit."""

    name: str
    direction: str
    image: np.ndarray | None = None


@dataclass(frozen=True)
class _Scene:
    """What one clip will show."""

    name: str
    movers: tuple[_Mover, _Mover]
    clutter: str
    seed: tuple[int, ...]

    @property
    def captions(self) -> list[str]:
        """The clip in words: all of it, then each object, as people leave things out."""
        parts = [f"a {mover.name} moves {mover.direction}" for mover in self.movers]
        return [", ".join(parts), *parts]


def render_pairs(
    folder: str | Path,
    *,
    num_general: int = 432,
    num_train: int = 576,
    num_test: int = 144,
    seed: int = 0,
    progress: bool = False,
) -> _RenderedPairs:
    """Draw and encode the clips: H.264, 64 x 64 points, 24 frames at 12 a second; equal seeds give equal clips.

    Every two digits go every two ways equally often where a number of clips is a multiple of 72. The splits share no
    image of a digit: a test clip shows digits as written by nobody in the training clips.

    Args:
        folder: The folder to write, which does not exist yet or is empty.
        num_general: Number of clips without digits.
        num_train: Number of clips with digits, to train on.
        num_test: Number of clips with digits, to test on.
        seed: Seed of everything that is drawn.
        progress: Show a progress bar.

    Raises:
        InputError: If a number is below 0, the folder holds files, or H.264 cannot be encoded here.
    """
    folder = check_folder(folder, "clips", (), overwrite=False)
    for name, number in (("num_general", num_general), ("num_train", num_train), ("num_test", num_test)):
        if number < 0:
            raise InputError(f"{name}={number} is not a number of clips; give 0 or more")
    check_encoder()
    parts = {GENERAL: [*_general(num_general, seed)]}
    parts |= {TRAIN: [*_domain("train", num_train, seed)], TEST: [*_domain("test", num_test, seed)]}
    boxes, bar = [], tqdm(desc="rendering", unit="clip", disable=not progress, total=sum(map(len, parts.values())))
    with draft(folder) as new, bar:
        new.mkdir()
        for table, scenes in parts.items():
            for scene in scenes:
                (new / scene.name).parent.mkdir(parents=True, exist_ok=True)
                frames, places = _draw(scene)
                encode(frames, new / scene.name)
                if table != GENERAL:
                    boxes += _box_rows(scene, places)
                bar.update()
            most = 1 if table == TEST else None
            rows = [(scene.name, caption) for scene in scenes for caption in scene.captions[:most]]
            write_table(new / table, ("clip", "caption"), rows)
        write_table(new / BOXES, ("clip", "frame", "x1", "y1", "x2", "y2", "label"), boxes)
        questions = [
            {**question, "split": split}
            for split, table in (("train", TRAIN), ("test", TEST))
            for question in _questions(parts[table], seed)
        ]
        write_text(new / QUESTIONS, "".join(json.dumps(question) + "\n" for question in questions))
    return _RenderedPairs(folder, *(folder / name for name in (GENERAL, TRAIN, TEST, QUESTIONS, BOXES)))


def _general(number: int, seed: int) -> Iterator[_Scene]:
    for place, (names, ways) in enumerate(_events(SHAPES, number, np.random.default_rng([seed, 0]))):
        movers = (_Mover(names[0], ways[0]), _Mover(names[1], ways[1]))
        yield _scene("general/shapes", place, movers, (seed, 0, place))


def _domain(split: str, number: int, seed: int) -> Iterator[_Scene]:
    """Return what the clips of a split show; images of a digit come in turn."""
    part = ("train", "test").index(split)
    images = split_handwriting(np.random.default_rng([seed, 1]))[split]
    used = dict.fromkeys(DIGITS, 0)
    for place, (digits, ways) in enumerate(_events(DIGITS, number, np.random.default_rng([seed, 2 + part]))):
        movers = []
        for digit, way in zip(digits, ways, strict=True):
            own = images[draw_clips.DIGITS.index(digit)]
            movers.append(_Mover(digit, way, own[used[digit] % len(own)]))
            used[digit] += 1
        first, second = movers
        yield _scene(f"domain/{split}", place, (first, second), (seed, 2 + part, place))


def _events(names: Sequence, number: int, random: np.random.Generator) -> Iterator[tuple[tuple, tuple[str, str]]]:
    """Return which two objects go which two ways; all come once, in a random order, before any comes again."""
    events = [(two, ways) for two in combinations(names, 2) for ways in permutations(DIRECTIONS, 2)]
    for start in range(0, number, len(events)):
        for place in random.permutation(len(events))[: number - start]:
            yield events[place]


def _scene(name: str, place: int, movers: tuple[_Mover, _Mover], seed: tuple[int, ...]) -> _Scene:
    return _Scene(f"{name}-{place:04}.mp4", movers, CLUTTER[place % len(CLUTTER)], seed)


def _questions(scenes: Sequence[_Scene], seed: int) -> Iterator[dict[str, object]]:
    """Ask for each object of each clip which way it moves, and for each way which object goes it.

    Among the answers is always the other object of the clip, so that it does not help to know which objects it shows.
    """
    random = np.random.default_rng([seed, 4])
    # the right answer stands in each place equally often, whichever object it is about
    places = iter(random.permutation(np.arange(_PER_CLIP * len(scenes)) % NUM_ANSWERS).tolist())
    for scene in scenes:
        shown = [mover.name for mover in scene.movers]
        others = [digit for digit in DIGITS if digit not in shown]
        for mover in scene.movers:
            more = random.choice(others, NUM_ANSWERS - len(shown), replace=False).tolist()
            asked = {
                f"which digit moves {mover.direction}?": (mover.name, [*shown, *more]),
                f"where does the {mover.name} move?": (mover.direction, [*DIRECTIONS]),
            }
            for question, (right, answers) in asked.items():
                wrong = random.permutation([answer for answer in answers if answer != right]).tolist()
                place = next(places)
                answers = [*wrong[:place], right, *wrong[place:]]
                yield {"clip": scene.name, "question": question, "answers": answers, "answer": place}


def _draw(scene: _Scene) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the frames of a clip, uint8 (T, H, W, 3), and the boxes of its objects, each (T, 4)."""
    random = np.random.default_rng(scene.seed)
    pattern = draw_clutter(scene.clutter, NUM_FRAMES, SIZE, random)[..., None]
    dark, light = draw_colour(random, 0.0, 0.12), draw_colour(random, 0.1, 0.3)
    frames = dark + (light - dark) * pattern
    tries = [[_way(mover.direction, random) for mover in scene.movers] for _ in range(_NUM_TRIES)]
    boxes = min(tries, key=lambda each: _overlap(*each))
    for place in random.permutation(len(boxes)):  # the second is drawn over the first
        mover = scene.movers[place]
        if mover.image is None:
            opacity = draw_shape(mover.name, _OBJECT_SIZE, random)[..., None]
        else:
            opacity = draw_digit(mover.image, _OBJECT_SIZE)[..., None]
        colour = draw_colour(random, 0.75, 1.0)
        for frame, (left, top, right, bottom) in zip(frames, boxes[place], strict=True):
            under = frame[top:bottom, left:right]
            under += (colour - under) * opacity
    return (frames * 255.0).round().astype(np.uint8), boxes


def _way(direction: str, random: np.random.Generator) -> np.ndarray:
    """Return the box of an object in each frame, int (T, 4): from one edge to the other, in jumps."""
    room, heading = SIZE - _OBJECT_SIZE, np.array(DIRECTIONS[direction])
    beside = int(random.integers(room // _STEP + 1)) * _STEP
    start = np.where(heading == 0, beside, np.where(heading < 0, room, 0))
    way = np.arange(NUM_FRAMES) // _FRAMES_A_STEP * _STEP
    corners = start + way[:, None] * heading
    return np.concatenate([corners, corners + _OBJECT_SIZE], axis=1)


def _overlap(first: np.ndarray, second: np.ndarray) -> int:
    """Return how many points two boxes share, over all frames."""
    sides = np.minimum(first[:, 2:], second[:, 2:]) - np.maximum(first[:, :2], second[:, :2])
    return int(sides.clip(0).prod(axis=1).sum())


def _box_rows(scene: _Scene, places: Sequence[np.ndarray]) -> list[tuple]:
    return [
        (scene.name, frame, *(int(side) for side in box), mover.name)
        for mover, boxes in zip(scene.movers, places, strict=True)
        for frame, box in enumerate(boxes)
    ]
