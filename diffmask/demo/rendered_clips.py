"""A small labelled set of clips that is drawn in code: handwritten digits that move over moving clutter.

    render_digits("clips") -> clips/general, clips/domain, clips/labels.csv, clips/boxes.csv

Only the shape tells a digit: the background moves too, and so do other shapes of the same sizes, colours and speeds.
The general clips are alike but have no digit, so digits are all that makes the domain different.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from diffmask.core.errors import InputError
from diffmask.demo.draw_clips import (
    CLUTTER,
    DIGITS,
    NUM_FRAMES,
    SHAPES,
    SIZE,
    check_encoder,
    draw_clutter,
    draw_colour,
    draw_digit,
    draw_shape,
    encode,
    split_handwriting,
)
from diffmask.files.folders import check_folder, draft
from diffmask.files.made_folder import write_table

LABELS, BOXES = "labels.csv", "boxes.csv"
_OBJECT_SIZES = (44, 53)
_OTHER_SIZES = (12, 22)
"""Least size of a digit or shape, and the size below which it stays."""


@dataclass(frozen=True)
class _RenderedClips:
    """Paths of the clips and their tables.

    Attributes:
        folder: Folder of all of them.
        general: Folder of clips without digits: for pretraining, and as the reference of the domain.
        domain: Folder of clips with a digit, of the splits train and test.
        labels: Table of clip, label, caption and split for `diffmask index --join`; general clips have no split.
        boxes: Table of clip, frame, x1, y1, x2, y2: where the digit is.
    """

    folder: Path
    general: Path
    domain: Path
    labels: Path
    boxes: Path


@dataclass(frozen=True)
class _Scene:
    """What one clip will show."""

    name: str
    folder: str
    label: str
    clutter: str
    split: str
    seed: tuple[int, ...]
    image: np.ndarray | None = None

    @property
    def caption(self) -> str:
        """The clip in words."""
        if self.label in ("strokes", "arcs"):
            return f"{self.label} move over moving {self.clutter}"
        return f"{'an' if self.label == 'eight' else 'a'} {self.label} moves over moving {self.clutter}"


def render_digits(
    folder: str | Path,
    *,
    num_general: int = 300,
    num_domain: int = 300,
    num_test: int = 150,
    seed: int = 0,
    progress: bool = False,
) -> _RenderedClips:
    """Draw and encode the clips: H.264, 64 x 64 points, 24 frames at 12 a second; equal seeds give equal clips.

    The splits share no image of a digit: a test clip shows a digit as written by nobody in the training clips.

    Args:
        folder: The folder to write, which does not exist yet or is empty.
        num_general: Number of clips without digits.
        num_domain: Number of clips with a digit, to train on.
        num_test: Number of clips with a digit, to test on.
        seed: Seed of everything that is drawn.
        progress: Show a progress bar.

    Raises:
        InputError: If a number is below 0, the folder holds files, or H.264 cannot be encoded here.
    """
    folder = check_folder(folder, "clips", (), overwrite=False)
    for name, number in (("num_general", num_general), ("num_domain", num_domain), ("num_test", num_test)):
        if number < 0:
            raise InputError(f"{name}={number} is not a number of clips; give 0 or more")
    check_encoder()
    scenes = [*_general(num_general, seed), *_domain(num_domain, num_test, seed)]
    with draft(folder) as new:
        for part in ("general", "domain"):
            (new / part).mkdir(parents=True)
        boxes = []
        for scene in tqdm(scenes, desc="rendering", unit="clip", disable=not progress):
            frames, places = _draw(scene)
            encode(frames, new / scene.folder / f"{scene.name}.mp4")
            boxes += [(scene.name, frame, *place) for frame, place in enumerate(places)]
        write_table(new / BOXES, ("clip", "frame", "x1", "y1", "x2", "y2"), boxes)
        rows = [(scene.name, scene.label, scene.caption, scene.split) for scene in scenes]
        write_table(new / LABELS, ("clip", "label", "caption", "split"), rows)
    return _RenderedClips(folder, folder / "general", folder / "domain", folder / LABELS, folder / BOXES)


def _general(number: int, seed: int) -> Iterator[_Scene]:
    for place in range(number):
        label, clutter = SHAPES[place % len(SHAPES)], CLUTTER[place // len(SHAPES) % len(CLUTTER)]
        yield _Scene(f"shape-{place:04}", "general", label, clutter, "", (seed, 0, place))


def _domain(num_train: int, num_test: int, seed: int) -> Iterator[_Scene]:
    images = split_handwriting(np.random.default_rng([seed, 1]))
    for part, (split, number) in enumerate((("train", num_train), ("test", num_test))):
        for place in range(number):
            digit, turn = place % len(DIGITS), place // len(DIGITS)
            own, clutter = images[split][digit], CLUTTER[turn % len(CLUTTER)]
            image = own[turn % len(own)]
            yield _Scene(f"{split}-{place:04}", "domain", DIGITS[digit], clutter, split, (seed, 2 + part, place), image)


def _draw(scene: _Scene) -> tuple[np.ndarray, list[tuple[int, int, int, int]]]:
    """Return the frames of a clip, uint8 (T, H, W, 3), and the box of its digit in each."""
    random = np.random.default_rng(scene.seed)
    pattern = draw_clutter(scene.clutter, NUM_FRAMES, SIZE, random)[..., None]
    dark, light = draw_colour(random, 0.0, 0.12), draw_colour(random, 0.1, 0.3)
    frames = dark + (light - dark) * pattern
    other = partial(draw_shape, SHAPES[random.integers(len(SHAPES))], random=random)
    main = partial(draw_shape, scene.label, random=random) if scene.image is None else partial(draw_digit, scene.image)
    boxes: list[tuple[int, int, int, int]] = []
    for draw, sizes in ((other, _OTHER_SIZES), (main, _OBJECT_SIZES)):  # the second is drawn over the first
        size = int(random.integers(*sizes))
        opacity, colour = draw(size=size)[..., None], draw_colour(random, 0.75, 1.0)
        boxes = []
        for frame, (left, top) in enumerate(_way(size, random)):
            under = frames[frame, top : top + size, left : left + size]
            under += (colour - under) * opacity
            boxes.append((left, top, left + size, top + size))
    return (frames * 255.0).round().astype(np.uint8), boxes if scene.image is not None else []


def _way(size: int, random: np.random.Generator) -> list[tuple[int, int]]:
    """Return the upper left corner of an object in each frame; it bounces off the edges."""
    room = SIZE - size
    start = random.uniform(0.0, room, 2)
    heading, speed = random.uniform(0.0, 2.0 * np.pi), random.uniform(0.3, 1.2)
    straight = start + np.arange(NUM_FRAMES)[:, None] * (speed * np.array([np.cos(heading), np.sin(heading)]))
    bounced = room - np.abs(straight % (2 * room) - room)
    return [(int(left), int(top)) for left, top in bounced.round()]
