"""The Trainer's own settings: defaults work, and what would have no effect is refused."""

import datasets
import pytest
from support.tiny import tiny_model, tiny_rows, tiny_tokenizer
from support.training import make_trainer
from transformers import AutoModelForMaskedLM, AutoTokenizer, TrainingArguments

from diffmask.core.errors import InputError
from diffmask.core.masker import Masker
from diffmask.policies.uniform import Uniform
from diffmask.text.adapter import text_adapter
from diffmask.train.masking import Masking
from diffmask.train.trainer import MaskedTrainer


@pytest.mark.parametrize("kind", [list, datasets.Dataset.from_list])
def test_defaults_train_and_evaluate(tmp_path, kind):
    masking = Masking(text_adapter(tiny_tokenizer()), Masker(Uniform()), Masker(Uniform()))
    arguments = TrainingArguments(str(tmp_path), max_steps=2, use_cpu=True)
    trainer = MaskedTrainer(tiny_model(), arguments, masking, kind(tiny_rows()), kind(tiny_rows(8)))
    trainer.train()
    assert trainer.evaluate()["eval_masked"] > 0


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"label_smoothing_factor": 0.1}, r"label_smoothing_factor=0\.1\) has no effect here: the loss at masked"),
        ({"auto_find_batch_size": True}, r"auto_find_batch_size=True\) has no effect here: the order of the rows"),
        ({"include_for_metrics": ["loss"]}, r"include_for_metrics=\['loss'\]\) has no effect here: an evaluation is"),
        ({"batch_eval_metrics": True}, r"batch_eval_metrics=True\) has no effect here: an evaluation is"),
        ({"train_sampling_strategy": "group_by_length"}, "has no effect with an order of the rows; leave one of them"),
        ({"fp16": True}, "fp16 needs a GPU, and the device is the CPU, where the model would train in fp32; use bf16"),
    ],
)
def test_what_would_have_no_effect_is_refused(tmp_path, settings, sentence):
    with pytest.raises(InputError, match=sentence):
        make_trainer(tmp_path, **settings)


def test_the_trainer_may_group_rows_by_length_itself(tmp_path):
    make_trainer(tmp_path, bucketed=False, train_sampling_strategy="group_by_length", max_steps=1).train()


def test_a_checkpoint_is_a_model_with_its_tokenizer(tmp_path):
    masking = Masking(text_adapter(tiny_tokenizer()), Masker(Uniform()), Masker(Uniform()))
    arguments = TrainingArguments(str(tmp_path), max_steps=1, save_steps=1, use_cpu=True)
    trainer = MaskedTrainer(tiny_model(), arguments, masking, tiny_rows(), processing_class=tiny_tokenizer())
    trainer.train()
    checkpoint = tmp_path / "checkpoint-1"
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    assert tokenizer.get_vocab() == tiny_tokenizer().get_vocab()
    AutoModelForMaskedLM.from_pretrained(checkpoint)
