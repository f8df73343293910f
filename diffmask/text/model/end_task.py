"""The task itself, learned in the same steps as masked words: a classifier that shares the encoder of a masked model.

End-task-aware training (Dery et al. 2022) in its plain form: the losses are added with a fixed weight.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from transformers import AutoModelForSequenceClassification, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

from diffmask.core.errors import InputError
from diffmask.text.model.load import LoadedModel, load_weights
from diffmask.text.segment.pad import PadLabelled, Row

HEAD = "task_head"
"""Name under which the classifier's own parameters are a part of the masked language model while it is trained."""
_DROPOUTS = ("classifier_dropout", "seq_classif_dropout", "cls_dropout")
"""What architectures call the dropout before their classifier."""


class EndTask:
    """A classification task that is learned beside masked words.

    Args:
        classifier: From `shared_classifier`.
        pad_id: Token that fills short rows.
        rows: Training rows: input_ids, token_type_ids where the model has them, and labels, which are the number of a
            label, or a float for each label where a text may have several.
        held_out: Rows that the task is measured on.
        batch_size: Number of rows that go with each micro-batch.
        weight: Factor of the task's loss.
    """

    def __init__(
        self,
        classifier: PreTrainedModel,
        pad_id: int,
        rows: Sequence[Row],
        held_out: Sequence[Row] = (),
        *,
        batch_size: int,
        weight: float = 1.0,
    ):
        self.classifier, self.pad = classifier, PadLabelled(pad_id, of_words=False)
        self.rows, self.held_out = rows, held_out
        self.batch_size, self.weight = batch_size, weight

    def outcome(self, batch: dict[str, Tensor], *, training: bool) -> Tensor:
        """Return the loss of each row and whether all of its labels were right, float32 (N, 2)."""
        inputs = {name: value for name, value in batch.items() if name != "labels"}
        # the shared weights are on the device already; buffers, such as position ids, are the classifier's own
        classifier: Any = self.classifier
        logits = classifier.to(batch["labels"].device).train(training)(**inputs).logits.float()
        labels = batch["labels"]
        if labels.ndim == 2:
            losses = binary_cross_entropy_with_logits(logits, labels, reduction="none").mean(1)
            right = ((logits > 0) == (labels > 0.5)).all(1)
        else:
            losses = cross_entropy(logits, labels, reduction="none")
            right = logits.argmax(1) == labels
        return torch.stack([losses, right.to(losses)], dim=1)


def shared_classifier(
    loaded: LoadedModel, names: Sequence[str], *, several: bool = False, dropout: float
) -> PreTrainedModel:
    """Return a classifier whose encoder's weights are those of a masked language model.

    The classifier's own parameters, the pooler and the head, become a part of that model, so that all are trained,
    saved and resumed together, until `detach`.

    Args:
        loaded: The masked language model.
        names: Names of the labels.
        several: Whether a text may have several labels.
        dropout: Dropout before the classifier.

    Raises:
        InputError: If transformers has no classifier of this architecture.
    """
    if type(loaded.model.config) not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING:
        kind = loaded.model.config.model_type
        raise InputError(f"{loaded.name!r} is a {kind} model, for which transformers has no classifier; leave task out")
    named = dict(enumerate(names))
    settings = {key: dropout for key in _DROPOUTS if hasattr(loaded.model.config, key)}
    classifier, _ = load_weights(
        AutoModelForSequenceClassification,
        loaded.name,
        id2label=named,
        label2id={name: row for row, name in named.items()},
        problem_type="multi_label_classification" if several else "single_label_classification",
        attn_implementation=loaded.model.config._attn_implementation,
        **settings,
    )
    for module in _outside(classifier):
        if isinstance(module, torch.nn.Dropout):
            module.p = dropout
    if loaded.model.config.model_type in ("deberta", "deberta-v2"):
        # these models read it, and their configs do not declare it
        classifier.config.cls_dropout = dropout
    _share(classifier, loaded.model)
    return classifier


def detach(model: torch.nn.Module) -> None:
    """Take the classifier's own parameters out of the masked language model."""
    delattr(model, HEAD)


def _outside(classifier: PreTrainedModel) -> list[torch.nn.Module]:
    """Return the modules that are not of the encoder."""
    inside = set(classifier.base_model.modules())
    return [module for module in classifier.modules() if module not in inside]


def _share(classifier: PreTrainedModel, model: PreTrainedModel) -> None:
    """Let a classifier use a masked language model's encoder, and keep its own other parameters in that model."""
    encoder = dict(model.base_model.named_parameters(prefix=classifier.base_model_prefix))
    own = torch.nn.Module()
    for name, parameter in list(classifier.named_parameters()):
        if name in encoder:
            _place(classifier, name, encoder[name])
        else:
            _place(own, name, parameter)
    model.add_module(HEAD, own)


def _place(root: torch.nn.Module, name: str, parameter: torch.nn.Parameter) -> None:
    """Register a parameter under a dotted name, making the modules on the way that do not exist yet."""
    *path, last = name.split(".")
    for part in path:
        if not hasattr(root, part):
            root.add_module(part, torch.nn.Module())
        root = getattr(root, part)
    root.register_parameter(last, parameter)
