"""A third modality, as small as one can be: numbers in a row, of which some are hidden and guessed from the others."""

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import torch
from markupsafe import escape
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from diffmask.assemble.masking import ResolvedMasking
from diffmask.assemble.modality import Modality, Words
from diffmask.assemble.recipe import Ingredients, Recipe, uniform
from diffmask.config import TextConfig, TextMaskingConfig
from diffmask.config.evaluation import PROBE
from diffmask.core.units import Units
from diffmask.evaluate.methods.frozen import Prober
from diffmask.evaluate.modality import ModalityMethods
from diffmask.policies.feature import Feature
from diffmask.pretrain.subject import Rows, Subject
from diffmask.report.html import page
from diffmask.report.preview import hold
from diffmask.tasks.task import read_task
from diffmask.train.buckets import RowOrder
from diffmask.train.masking import Masking

LENGTH = 8


class NumbersModelConfig(PreTrainedConfig):
    model_type = "numbers"


class NumbersModel(PreTrainedModel):
    config_class = NumbersModelConfig

    def __init__(self, config):
        super().__init__(config)
        self.guess = nn.Sequential(nn.Linear(LENGTH, 32), nn.Tanh(), nn.Linear(32, LENGTH))
        self.post_init()


@dataclass(frozen=True)
class NumbersMaskingConfig(TextMaskingConfig):
    policy: str = "large"


@dataclass(frozen=True)
class NumbersConfig(TextConfig):
    modality: str = "numbers"
    masking: NumbersMaskingConfig = field(default_factory=NumbersMaskingConfig)


class NumbersMasking(ResolvedMasking):
    policies = {
        "random": Recipe(uniform, "numbers at random", "-", units="number"),
        "large": Recipe(lambda given: Feature("size"), "large numbers", "-", units="number", features=("size",)),
    }


class NumbersAdapter:
    positions = "numbers"

    def pad(self, rows):
        return {name: torch.tensor([row[name] for row in rows]) for name in ("values", "sample_id")}

    def units(self, batch, step, ratio=1.0):
        values = batch["values"]
        return Units(None, torch.ones_like(values).bool(), batch["sample_id"], None, {"size": values.abs()})

    def corrupt(self, batch, units, masked, step):
        return {"values": batch["values"].masked_fill(masked, 0.0), "labels": batch["values"], "masked": masked}

    def predicted(self, inputs):
        return inputs["masked"]

    def losses(self, model, inputs):
        return (model.guess(inputs["values"]) - inputs["labels"]).square()[inputs["masked"]]


def read_numbers(files):
    lines = [line for file in files for line in Path(file).read_text().splitlines()]
    return [{"values": [float(word) for word in line.split()], "sample_id": at} for at, line in enumerate(lines)]


class NumbersSubject(Subject):
    def __init__(self, config, masking):
        self._data, self.name, self.fresh = config.data, config.model, ()
        self.model = NumbersModel.from_pretrained(config.model)
        random = masking.evaluation_masker()
        self.masking = Masking(NumbersAdapter(), masking.masker(Ingredients(config.masking)), random)

    def read(self, *, progress):
        training, held_out = read_numbers(self._data.train), read_numbers(self._data.eval)
        return Rows(training, held_out, RowOrder([LENGTH] * len(training)), {"rows": len(training)})


@dataclass
class NumbersPreview:
    hidden: dict

    def print(self, console, num_samples=None):
        console.print("; ".join(f"{name} hides {share:.2f}" for name, share in self.hidden.items()))

    def write(self, path, made_from, notes=()):
        page.write_page(page.page("Numbers", [escape(self.hidden)]), path)


class NumbersSource:
    count, remedy, notes, facts = 4, "give files of numbers", [], {}
    check_output, baseline = staticmethod(page.check_output), staticmethod(lambda masking: "random")

    def __init__(self, asked):
        self._rows = read_numbers(asked.data)[: asked.count]

    def look(self, masking, progress):
        return SimpleNamespace(masker=hold(masking.masker(Ingredients(masking.config)), progress))

    def preview(self, looks):
        units = NumbersAdapter().units(NumbersAdapter().pad(self._rows), 0)
        return NumbersPreview({name: look.masker(units, 0, 1).float().mean().item() for name, look in looks.items()})


class NumbersMethods(ModalityMethods):
    name, methods, read_by, unread = "numbers", (PROBE,), {}, {"finetune.": "", "video.": ""}

    def read_task(self, settings, *, progress):
        return read_task(settings.task)

    def predictor(self, folder, task, settings, *, output, progress):
        seen = NumbersModel.from_pretrained(folder).guess[:2]
        read = {name: [[list(map(float, text.split()))] for text in each.texts] for name, each in task.splits.items()}
        features = {name: [seen(torch.tensor(row)).detach().numpy() for row in rows] for name, rows in read.items()}
        return Prober(features, task.train.texts, task, settings).predict


class Numbers(Modality):
    name, config, data = "numbers", NumbersConfig, "numbers"
    words = Words("numbers", "numbers", "numbers", "Exact.", "None.")
    options, model_types = {"anchors": (), "preview": ()}, ("numbers",)
    masking, source, evaluation = NumbersMasking, NumbersSource, NumbersMethods()

    def holds(self, sources, expected):
        return all(source.endswith(".num") for source in sources)

    def subject(self, config, masking):
        return NumbersSubject(config, masking)
