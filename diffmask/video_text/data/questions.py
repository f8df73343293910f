"""Questions about clips, with answers to choose from or an open answer, as the data sets' own files hold them.

    questions = read_questions(["tvqa_train.jsonl", "tvqa_val.jsonl"])
    print("; ".join(questions.said))

TVQA, TVQA+, Social-IQ 2.0, MSRVTT-QA and tables of one's own are told apart by their columns. Which clip a question is
about is told by `match_questions`.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import count, takewhile
from pathlib import Path
from typing import Any, NamedTuple

from diffmask.core.errors import InputError
from diffmask.files.blocks import listed
from diffmask.files.records import Row, read_records
from diffmask.files.splits import SPLIT_NAMES, splits_named
from diffmask.files.streams import split_suffix
from diffmask.video.clip.clip import labels_of
from diffmask.video.clip.find import Sources
from diffmask.video.clip.join_tables import CLIP_COLUMNS, END_COLUMNS, START_COLUMNS, plain
from diffmask.video.read.dataset import Span
from diffmask.video_text.data.faults import Faults
from diffmask.video_text.data.times import span_of

CHOICE, OPEN = "multiple-choice", "open-ended"
_SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
_CLIPS = ("vidname", *(name for name in CLIP_COLUMNS if name not in ("id", "key", "name")), "name")
_INDEX = "answeridx"
_ANSWERS = ("answers", "options", "choices", "candidates")
_SPLITS = "subsets"
"""The key of Social-IQ's file of splits, `original_split.json`."""

_NO_FIELD = "questions without a question or a video are left out"
_NO_ANSWERS = "questions with an answer that is empty are left out"
_OTHER_NUMBER = "questions with another number of answers are left out"
_NO_INDEX = "questions whose right answer is none of theirs (it counts as unknown)"
_SAME_ANSWERS = "questions with the same answer twice"
_SAME_ID = "questions whose id stands there twice"
_BAD_SECONDS = "questions whose seconds cannot be read (they are about the whole clip)"
_OTHER_SPLIT = "questions about a video that the file of splits puts elsewhere too"


@dataclass(frozen=True)
class Question:
    """A question about a clip.

    Attributes:
        qid: Its id.
        video: What its file calls the clip.
        question: The question.
        answers: Answers to choose from; of an open question the right one, if it is known.
        answer: Which of the answers is right; None if nobody says.
        start: Second of the clip at which what it asks about begins; None if its file does not say.
        end: Second at which that ends.
        split: train, dev or test, as its file says.
        show: The series that the clip is of.
    """

    qid: str
    video: str
    question: str
    answers: tuple[str, ...] = ()
    answer: int | None = None
    start: float | None = None
    end: float | None = None
    split: str | None = None
    show: str | None = None

    @property
    def span(self) -> Span | None:
        """The seconds that it asks about; None for all of the clip."""
        return None if self.start is None or self.end is None else (self.start, self.end)


@dataclass(frozen=True)
class Questions:
    """The questions of some files.

    Attributes:
        questions: The questions, in order.
        kind: multiple-choice or open-ended.
        num_answers: Answers of each question; 0 of open ones.
        faults: What was left out or is odd.
        said: One sentence for each file: its format, and how many questions say what.
    """

    questions: tuple[Question, ...]
    kind: str
    num_answers: int
    faults: Faults
    said: tuple[str, ...]


class _Format(NamedTuple):
    """How a file of questions calls things; names of columns are plain, as `plain` makes them."""

    name: str
    question: str
    video: str
    answer: str | None
    qid: str | None = None
    answers: str | None = None
    """Column of a list of answers; None if they stand in a0, a1, ..., or there are none."""


def format_of(row: Row) -> _Format | None:
    """Return the format of a file by its first row; None if it holds no questions."""
    names = {plain(name) for name in row}
    if {"q", "vidname", "a0"} <= names:
        last = "TVQA" if "showname" in names else "TVQA+" if "a4" in names else "Social-IQ 2.0"
        return _Format(last, "q", "vidname", _INDEX, "qid")
    question, video = (_first(known, names) for known in (("question", "q"), _CLIPS))
    answers = _first(_ANSWERS, names)
    answer = _first((_INDEX, "answer", "correct", "a"), names)
    if question is None or video is None or not (answers or answer or "a0" in names):
        return None
    is_open = answers is None and "a0" not in names
    name = "MSRVTT-QA" if is_open and {"videoid", "id", "answer"} <= names else "a table of questions"
    return _Format(name, question, video, answer, _first(("qid", "questionid", "id"), names - {video}), answers)


def _first(known: Sequence[str], names: Collection[str]) -> str | None:
    return next((name for name in known if name in names), None)


def is_questions(path: Path) -> bool:
    """Tell whether a file holds questions, by the columns of its first row."""
    if not path.is_file() or split_suffix(path)[0] not in _SUFFIXES:
        return False
    first = first_row(path)
    return first is not None and format_of(first) is not None


def first_row(path: Path) -> Row | None:
    """Return the first row of a file; None if it has none, or not one that can be read as it is."""
    with suppress(InputError):  # whoever reads the whole file says what is wrong
        return next((row for _, row in read_records(path)), None)
    return None


def read_questions(sources: Sources, split: str | None = None) -> Questions:
    """Return the questions of files.

    Args:
        sources: Files of questions; Social-IQ's `original_split.json` among them says which videos are of which split.
        split: The split of all of them; by default that of a column, of the file's name, or of the file of splits.

    Raises:
        InputError: If a file cannot be read or is in no known format, or there are questions of both kinds, or none.
    """
    paths = [Path(sources)] if isinstance(sources, str | Path) else list(map(Path, sources))
    faults = Faults()
    of_video = _Splits(set)
    for path in paths:
        for video, name in _named_splits(path):
            of_video[video].add(name)
    files = [_read_file(path, split, of_video, faults) for path in paths if next(_named_splits(path), None) is None]
    where = ", ".join(map(str, paths))
    kinds = {file.kind for file in files}
    if len(kinds) > 1:
        raise InputError(f"{where} hold questions of both kinds, {CHOICE} and {OPEN}; read them one after the other")
    questions = [question for file in files for question in file.questions]
    if CHOICE in kinds:
        questions = _of_one_number(questions, faults)
    if not questions:
        raise InputError(f"{where}: no question can be used ({str(faults) or 'there are none'})")
    _note_repeats(questions, faults)
    num_answers = len(questions[0].answers) if CHOICE in kinds else 0
    return Questions(tuple(questions), kinds.pop(), num_answers, faults, tuple(file.said for file in files))


_Splits = defaultdict[str, set[str]]
"""The splits that a file of splits names for a video; Social-IQ's names two for some."""


def _named_splits(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the videos and their splits that a file of splits names; nothing of any other file."""
    if path.suffix != ".json" or not path.is_file():
        return
    first = first_row(path)
    subsets = None if first is None else first.get(_SPLITS)
    for each in subsets.values() if isinstance(subsets, Mapping) else ():
        for split, videos in each.items():
            yield from ((video, SPLIT_NAMES.get(split, str(split))) for video in videos)


class _File(NamedTuple):
    """The questions of one file."""

    kind: str
    questions: list[Question]
    said: str


def _read_file(path: Path, split: str | None, of_video: _Splits, faults: Faults) -> _File:
    """Return the questions of a file.

    Raises:
        InputError: If it is in no known format.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist; check the path")
    rows = list(read_records(path))
    known = format_of(rows[0][1]) if rows else None
    if known is None:
        held = f"its columns: {listed(rows[0][1])}" if rows else "it is empty"
        raise InputError(
            f"{path} is no file of questions ({held}); give one of TVQA, TVQA+, Social-IQ 2.0 or MSRVTT-QA, or a table "
            "with the columns clip, question, answers (or a0, a1, ...) and answer"
        )
    named = splits_named(path)
    file_split = split or (named[0] if len(set(named)) == 1 else None)
    is_open = known.answers is None and not any(plain(name) == "a0" for name in rows[0][1])
    questions = []
    for number, row in rows:
        question = _Reading(known, f"{path}: row {number}", is_open, faults).question(row)
        if question is not None:
            questions.append(_with_split(question, file_split, of_video, faults))
    return _File(OPEN if is_open else CHOICE, questions, _describe(path, known.name, questions))


def _with_split(question: Question, split: str | None, of_video: _Splits, faults: Faults) -> Question:
    """Return a question with its split, and note if its video is of another."""
    named = of_video.get(question.video, set())
    split = question.split or split or (next(iter(named)) if len(named) == 1 else None)
    if others := named - {split}:
        faults.add(_OTHER_SPLIT, f"{question.video}: {split}, and {' and '.join(sorted(others))}")
    return replace(question, split=split)


def _describe(path: Path, name: str, questions: Sequence[Question]) -> str:
    num_answers = ", ".join(map(str, sorted({len(question.answers) for question in questions})))
    splits = Counter(question.split or "none" for question in questions)
    return (
        f"{path}: {name}, {len(questions):,} questions about {len({each.video for each in questions}):,} videos, with "
        f"{num_answers} answers; the right one of {sum(each.answer is not None for each in questions):,} is known; "
        f"{sum(each.span is not None for each in questions):,} say at which seconds (localised), "
        f"{sum(bool(each.start) for each in questions):,} of them after the clip's start; splits: "
        + ", ".join(f"{split} {number:,}" for split, number in splits.items())
    )


class _Reading(NamedTuple):
    """How the row of a question is read."""

    known: _Format
    where: str
    is_open: bool
    faults: Faults

    def question(self, row: Row) -> Question | None:
        """Return the question of a row; None if it lacks what no question can lack."""
        values = {plain(name): value for name, value in row.items()}
        question, video = (_text(values.get(name)) for name in (self.known.question, self.known.video))
        if not question or not video:
            self.faults.add(_NO_FIELD, self.where)
            return None
        found = self._open(values) if self.is_open else self._choice(values)
        if found is None:
            self.faults.add(_NO_ANSWERS, self.where)
            return None
        start, end = self._span(values) or (None, None)
        split = _text(values.get("split")).lower()
        qid = _text(values.get(self.known.qid)) if self.known.qid else ""
        return Question(
            qid or self.where, video, question, *found, start, end, SPLIT_NAMES.get(split, split) or None,
            _text(values.get("showname")) or None,
        )  # fmt: skip

    def _open(self, values: Row) -> tuple[tuple[str, ...], int | None]:
        answer = _text(values.get(self.known.answer or ""))
        return ((answer,), 0) if answer else ((), None)

    def _choice(self, values: Row) -> tuple[tuple[str, ...], int | None] | None:
        """Return the answers and which is right; None if one of them is empty."""
        if self.known.answers is not None:
            given = values.get(self.known.answers)
            answers = tuple(map(_text, labels_of(given) or ()))
        else:
            numbered = takewhile(values.__contains__, (f"a{number}" for number in count()))
            answers = tuple(_text(values[name]) for name in numbered)
            while answers and not answers[-1]:  # a table has empty cells where a question has fewer answers
                answers = answers[:-1]
        if len(answers) < 2 or not all(answers):
            return None
        if len(set(answers)) < len(answers):
            self.faults.add(_SAME_ANSWERS, self.where)
        right = _text(values.get(self.known.answer or ""))
        index = _index(right, answers, by_number=self.known.answer == _INDEX)
        if right and index is None:
            self.faults.add(_NO_INDEX, self.where)
        return answers, index

    def _span(self, values: Row) -> Span | None:
        start, end = (_first(known, values) for known in (START_COLUMNS, END_COLUMNS))
        if "ts" not in values and start and end:
            given: Any = [values[start], values[end]]
            given = None if given == [None, None] or given == ["", ""] else given
        else:
            given = values.get("ts")
        span = span_of(given)
        if span is None and _text(given):
            self.faults.add(_BAD_SECONDS, self.where)
        return span


def _index(right: str, answers: Sequence[str], *, by_number: bool) -> int | None:
    """Return which answer is right, said by its number from 0 or, unless `by_number`, by its text."""
    if right.isdecimal() and (by_number or right not in answers):
        return int(right) if int(right) < len(answers) else None
    return answers.index(right) if right in answers and not by_number else None


def _text(value: Any) -> str:
    # tables write numbers that may lack as floats
    if isinstance(value, float):
        value = int(value) if value.is_integer() else None if value != value else value
    # half a character, which no tokenizer reads, becomes a question mark
    return "" if value is None else " ".join(str(value).split()).encode("utf-8", "replace").decode("utf-8")


def _of_one_number(questions: Sequence[Question], faults: Faults) -> list[Question]:
    """Return the questions with the most usual number of answers."""
    counts = Counter(len(question.answers) for question in questions)
    usual = counts.most_common(1)[0][0] if counts else 0
    for question in questions:
        if len(question.answers) != usual:
            faults.add(_OTHER_NUMBER, f"{question.qid}: {len(question.answers)}, not {usual}")
    return [question for question in questions if len(question.answers) == usual]


def _note_repeats(questions: Sequence[Question], faults: Faults) -> None:
    seen: set[str] = set()
    for question in questions:
        if question.qid in seen:
            faults.add(_SAME_ID, question.qid)
        seen.add(question.qid)
