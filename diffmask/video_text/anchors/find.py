"""Anchors of clips with texts: words by TF-ICF, which score the words of the texts and the patches of the clips.

    anchors, patches = build_pair_anchors(PairAnchorSettings(["pairs.jsonl"], "clip:ViT-B-16:w.pt"), texts, clips)
    anchors.save("anchors/", draw_sheet(anchors.video, patches))

With a CLIP model there is one space: its text tower embeds the anchors and every word of the domain, and its image
tower the patches. Otherwise each side has anchors of its own, as texts alone and clips alone have them.
"""

import importlib.metadata
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from diffmask.config.limits import LENGTH, AtMost, OneOf, at_least, check_limits
from diffmask.core.errors import InputError
from diffmask.core.similarity import REDUCTIONS
from diffmask.text.anchors.anchor_set import AnchorSet, read_anchors
from diffmask.text.anchors.find import AnchorSettings, build_anchors, describe_given, least_count
from diffmask.text.anchors.vocabulary import Vocabulary
from diffmask.text.corpus.counts import count_corpus
from diffmask.text.corpus.reference import WORDFREQ, language_of, read_reference
from diffmask.text.model.load import load_config
from diffmask.version import __version__
from diffmask.video.anchors.anchor_set import VisualAnchors
from diffmask.video.anchors.find import VisualAnchorSettings, find_in_clips
from diffmask.video.anchors.visual_words import Patches
from diffmask.video.clip.clip import Clip
from diffmask.video.clip.find import are_clips
from diffmask.video.index.index import read_clips
from diffmask.video.score.embedders import OpenClipEmbedder, build_embedder
from diffmask.video_text.anchors.pair_anchors import PairAnchors
from diffmask.video_text.model.config import VideoTextModelConfig
from diffmask.video_text.model.load import load_video_text

_ENGLISH = f"{WORDFREQ}en"
_NUM_ANCHORS = AnchorSettings.num_anchors
_BLANK, _TEMPLATE = "{}", "a video of {}"
_PACKAGES = ("torch", "open_clip_torch")


@dataclass(frozen=True)
class PairAnchorSettings:
    """How the anchors of clips with texts are found.

    Attributes:
        data: What the user named, for the record.
        embedder: What embeds patches: `clip:MODEL:WEIGHTS` or `clip:FOLDER`, which embed words too; `student:FOLDER` or
            `pixels`.
        template: Text in which a CLIP reads a word, which takes the place of `{}`; None is "a video of {}".
        model: Model that embeds the words where each side has anchors of its own: the one that is continued, or the
            language model that is to be its part.
        reference: `wordfreq:LANGUAGE`, corpora or counts files for the words; other clips for the patches.
        exemplars: Pictures of what belongs to the domain: the anchors of the patches.
        num_anchors: How many to choose; None is 20 (Wilf et al. 2023).
        min_count: A rarer word is no anchor; None is ten times, and once in 5,000 words.
        reduce: Over the anchors of the words: max, mean, min or nearest.
        anchors: File of words that people chose or edited; None chooses them.
        layer: Layer of the embedder that is read; None is its own choice.
        size: Pixels of a frame's short side; None is what the embedder was trained with.
        num_words: Number of visual words that patches are clustered into.
        num_frames: Frames of each clip whose patches are clustered.
        device: auto, cpu, cuda, ...
    """

    data: Sequence[str]
    embedder: str = "pixels"
    template: str | None = None
    model: str | None = None
    reference: Sequence[str] = ()
    exemplars: Sequence[str] = ()
    num_anchors: Annotated[int | None, at_least(1, "the published method takes 20"), LENGTH] = None
    min_count: Annotated[int | None, at_least(1, "1 lets every word be an anchor")] = None
    reduce: Annotated[str, OneOf(tuple(REDUCTIONS))] = "mean"
    anchors: str | Path | None = None
    layer: int | str | None = None
    size: Annotated[int | None, at_least(16, "a patch has 16 pixels"), AtMost(4096)] = None
    num_words: Annotated[int, at_least(2, "one word leaves nothing to compare; ask for some dozens"), LENGTH] = 128
    num_frames: Annotated[int, at_least(1), AtMost(4096)] = 8
    device: str = "auto"

    def __post_init__(self) -> None:
        """Check what can be checked without the data."""
        check_limits(self)
        if self.is_joint:
            if (num_places := self.said_template.count(_BLANK)) != 1:
                raise InputError(
                    f"template={self.template!r} has {num_places} places for a word; write {_BLANK} once, as in "
                    f"{_TEMPLATE!r}"
                )
            return
        if self.template is not None:
            raise InputError(
                f"template={self.template!r} has no effect where each side has anchors of its own; leave it out, or "
                "give --embedder clip:MODEL:WEIGHTS without --exemplar and without clips in --reference"
            )
        if self.model is None:
            raise InputError(
                "--model is missing; give the model that is continued, or an embedder that reads words and patches: "
                "--embedder clip:MODEL:WEIGHTS"
            )
        if not self.exemplars and not self.clips_of_reference:
            raise InputError(
                f"there is nothing that patches embedded by {self.embedder} could be compared with; give "
                "--reference OTHER_CLIPS, --exemplar, or --embedder clip:MODEL:WEIGHTS, which words lead to patches"
            )

    @cached_property
    def clips_of_reference(self) -> tuple[str, ...]:
        """What the reference names that are clips."""
        files = [each for each in self.reference if not each.startswith(WORDFREQ)]
        return tuple(each for each in files if are_clips([each]))

    @property
    def words_of_reference(self) -> tuple[str, ...]:
        """The rest of it, which words are compared with."""
        named = tuple(each for each in self.reference if each not in self.clips_of_reference)
        return named or (_ENGLISH,)

    @property
    def is_joint(self) -> bool:
        """Whether the same words score both sides: with a CLIP, unless other anchors are asked for on the clips."""
        return self.embedder.startswith("clip:") and not self.exemplars and not self.clips_of_reference

    @property
    def said_template(self) -> str:
        """The template, or the usual one."""
        return _TEMPLATE if self.template is None else self.template

    def prompts(self, words: Sequence[str]) -> list[str]:
        """Return what a CLIP reads for each word."""
        return [self.said_template.replace(_BLANK, word) for word in words]


def build_pair_anchors(
    settings: PairAnchorSettings,
    texts: Sequence[str],
    clips: Sequence[Clip],
    command: str = "",
    *,
    progress: bool = False,
) -> tuple[PairAnchors, Patches]:
    """Find the anchors of a domain; return them with the patches of its clips, which a contact sheet shows.

    Args:
        settings: How.
        texts: Captions, subtitles and questions of the domain.
        clips: Its clips, each once.
        command: What the user typed, for the record.
        progress: Show progress bars.

    Raises:
        InputError: If texts, clips, a reference, a model or a setting cannot be used.
    """
    with _file_of(texts) as corpus:
        find = _find_joint if settings.is_joint else _find_each
        text, video, patches = find(settings, corpus, clips, command, progress)
    data = ", ".join(map(str, settings.data))
    text = replace(text, metadata=text.metadata | {"sources": [{**text.metadata["sources"][0], "path": data}]})
    record = {
        "version": __version__,
        "joint": settings.is_joint,
        "data": [str(each) for each in settings.data],
        "num_texts": len(texts),
        "num_clips": len(clips),
        "reference": text.metadata["reference"],
        "command": command,
    }
    return PairAnchors(text, video, record), patches


@contextmanager
def _file_of(texts: Sequence[str]) -> Iterator[Path]:
    """Yield a corpus of texts, one a line, which are counted and read in context as any other."""
    with tempfile.TemporaryDirectory(prefix="diffmask-") as folder:
        path = Path(folder) / "texts.txt"
        with path.open("w", encoding="utf-8") as file:
            file.writelines(" ".join(text.split()) + "\n" for text in texts)
        yield path


_Found = tuple[AnchorSet, VisualAnchors, Patches]


def _find_joint(
    settings: PairAnchorSettings, corpus: Path, clips: Sequence[Clip], command: str, progress: bool
) -> _Found:
    """Return words as the anchors of both sides."""
    # what may be refused comes before what takes long
    language = language_of(settings.words_of_reference)
    anchors = None if settings.anchors is None else read_anchors(settings.anchors, language)
    embedder = build_embedder(settings.embedder, layer=settings.layer, size=settings.size, device=settings.device)
    assert isinstance(embedder, OpenClipEmbedder)
    counted = count_corpus(corpus, language=language)
    reference = read_reference(settings.words_of_reference)
    vocabulary = Vocabulary.compare(counted, reference)
    min_count = settings.min_count or least_count(counted.num_words)
    anchors = anchors or vocabulary.choose(settings.num_anchors or _NUM_ANCHORS, min_count)
    prompts = settings.prompts(anchors)
    embedder.refuse_cut(prompts)

    own = embedder.embed_text(prompts).cpu()
    scores = vocabulary.score(embedder.embed_text(settings.prompts(vocabulary.words)).cpu(), own, settings.reduce)
    record = _describe(settings, embedder) | {
        "sources": counted.sources,
        "num_documents": counted.num_documents,
        "num_words": counted.num_words,
        "reference": reference.describe(),
        "min_count": min_count,
        "command": command,
    }
    text = AnchorSet(
        anchors=anchors,
        types=vocabulary.types,
        counts=vocabulary.counts,
        tf_icf=vocabulary.tf_icf,
        scores=vocabulary.with_parts(scores),
        embeddings=own,
        metadata=record,
    )
    asked = _settings(VisualAnchorSettings, settings, clips=settings.data, texts=prompts, num_anchors=None)
    video, patches = find_in_clips(asked, embedder, clips, [], command, progress=progress)
    # people know an anchor by its word, on both sides
    rows = [(word, *row[1:]) for word, row in zip(anchors, video.rows, strict=True)]
    return text, replace(video, names=anchors, rows=rows), patches


def _describe(settings: PairAnchorSettings, embedder: OpenClipEmbedder) -> dict[str, Any]:
    """Return how words got their embeddings, for the record."""
    return {
        "version": __version__,
        "preset": "default",
        "reduce": settings.reduce,
        "num_anchors": settings.num_anchors or _NUM_ANCHORS,
        "anchors_file": describe_given(settings.anchors),
        "embedder": {"spec": settings.embedder, "key": embedder.key, "template": settings.said_template},
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
    }


def _find_each(
    settings: PairAnchorSettings, corpus: Path, clips: Sequence[Clip], command: str, progress: bool
) -> _Found:
    """Return anchors of each side's own."""
    others, words = settings.clips_of_reference, settings.words_of_reference
    asked = _settings(VisualAnchorSettings, settings, clips=settings.data, reference=others)
    own = {"embedder": None, "num_anchors": settings.num_anchors or _NUM_ANCHORS}
    assert settings.model is not None  # checked where the settings were made
    model = _text_model(settings.model, corpus.parent)
    of_words = _settings(AnchorSettings, settings, data=[str(corpus)], reference=words, model=model, **own)
    embedder = build_embedder(settings.embedder, layer=settings.layer, size=settings.size, device=settings.device)
    read = read_clips(others, progress=progress) if others else []
    text = build_anchors(of_words, command)
    named = {part: text.metadata[part] | {"name": settings.model} for part in ("model", "embedder")}
    text = replace(text, metadata=text.metadata | named)
    video, patches = find_in_clips(asked, embedder, clips, read, command, progress=progress)
    return text, video, patches


def _text_model(name: str, folder: Path) -> str:
    """Return the language model that a name stands for; that within a model of video and text is written to a folder.

    Raises:
        InputError: If there is no such model.
    """
    if load_config(name).model_type != VideoTextModelConfig.model_type:
        return name
    load_video_text(name).save_parts(folder)
    return str(folder / "text")


def _settings(kind: Any, settings: PairAnchorSettings, **own: Any) -> Any:
    """Return the settings of one side: those of the same name, and its own."""
    shared = {each.name for each in fields(kind)} & {each.name for each in fields(settings)}
    return kind(**{name: getattr(settings, name) for name in shared} | own)
