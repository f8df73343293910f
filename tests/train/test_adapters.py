"""Adapters of peft: trained like any model, saved and resumed as peft does, without a path of this machine."""

import json

import pytest
import torch
from peft import LoraConfig, PeftModel, PromptTuningConfig, get_peft_model
from support.tiny import save_encoder, tiny_rows, tiny_tokenizer
from support.training import make_trainer, steps
from transformers import AutoModelForMaskedLM

from diffmask.core.errors import InputError
from diffmask.core.masker import Masker
from diffmask.policies.uniform import Uniform
from diffmask.text.adapter import text_adapter

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")


def adapted(folder):
    torch.manual_seed(0)
    base = AutoModelForMaskedLM.from_pretrained(folder)
    return get_peft_model(base, LoraConfig(r=4, target_modules=["query", "value"]))


@pytest.fixture
def folder(tmp_path):
    return save_encoder(tmp_path / "base")


def test_the_losses_are_those_of_the_model_inside(folder):
    adapter, model = text_adapter(tiny_tokenizer()), adapted(folder).eval()
    batch = adapter.pad(tiny_rows())
    units = adapter.units(batch, 0)
    inputs = adapter.corrupt(batch, units, Masker(Uniform())(units, 0, 1), 0)
    plain = AutoModelForMaskedLM.from_pretrained(folder).eval()
    # an adapter that was not trained yet adds nothing
    torch.testing.assert_close(adapter.losses(model, inputs), adapter.losses(plain, inputs))
    adapter.losses(model, inputs).sum().backward()
    trained = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert trained and all("lora_" in name for name in trained)


def test_adapters_that_add_tokens_are_refused(folder):
    base = AutoModelForMaskedLM.from_pretrained(folder)
    model = get_peft_model(base, PromptTuningConfig(task_type="FEATURE_EXTRACTION", num_virtual_tokens=2))
    adapter = text_adapter(tiny_tokenizer())
    batch = adapter.pad(tiny_rows())
    units = adapter.units(batch, 0)
    inputs = adapter.corrupt(batch, units, Masker(Uniform())(units, 0, 1), 0)
    with pytest.raises(InputError, match="adapters of the kind PROMPT_TUNING put tokens of their own before each row"):
        adapter.losses(model, inputs)


def test_adapters_alone_are_saved_and_a_resumed_run_is_an_uninterrupted_one(folder, tmp_path):
    settings = {"save_strategy": "steps", "save_steps": 2, "max_steps": 4}
    whole = make_trainer(tmp_path / "run", model=adapted(folder), **settings)
    whole.train()
    checkpoint = tmp_path / "run" / "checkpoint-2"
    assert (checkpoint / "adapter_model.safetensors").is_file()
    assert not (checkpoint / "model.safetensors").exists()
    resumed = make_trainer(tmp_path / "run", model=adapted(folder), **settings)
    resumed.train(resume_from_checkpoint=str(checkpoint))
    assert steps(resumed, "loss")[-1] == steps(whole, "loss")[-1]
    for name, value in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value), name
    loaded = PeftModel.from_pretrained(AutoModelForMaskedLM.from_pretrained(folder), tmp_path / "run" / "checkpoint-4")
    own = {name: value for name, value in whole.model.state_dict().items() if "lora_" in name}
    assert own
    for name, value in own.items():
        assert torch.equal(loaded.state_dict()[name], value), name


@pytest.mark.filterwarnings("ignore:Could not find a config file in bert-base-uncased")
def test_no_folder_of_this_machine_is_saved(folder, tmp_path):
    trainer = make_trainer(tmp_path / "run", model=adapted(folder), save_strategy="steps", save_steps=1, max_steps=1)
    trainer.train()
    checkpoint = tmp_path / "run" / "checkpoint-1"
    assert json.loads((checkpoint / "adapter_config.json").read_text())["base_model_name_or_path"] is None
    for path in (*checkpoint.glob("*.json"), *checkpoint.glob("*.md")):
        assert str(tmp_path) not in path.read_text(), path

    trainer.model.peft_config["default"].base_model_name_or_path = "bert-base-uncased"
    trainer.save_model(str(tmp_path / "named"))
    settings = json.loads((tmp_path / "named" / "adapter_config.json").read_text())
    assert settings["base_model_name_or_path"] == "bert-base-uncased"
