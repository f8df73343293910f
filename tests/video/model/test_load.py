import json

import pytest
import torch
import transformers
from support.tiny import tiny_model
from support.tiny_video import tiny_frames, tiny_grid, tiny_masks, tiny_videomae, tiny_vit_mae
from transformers import AutoImageProcessor

from diffmask.core.errors import InputError
from diffmask.video.model.autoencoders import _sinusoids
from diffmask.video.model.forward import masked_losses
from diffmask.video.model.load import load_video_model
from diffmask.video.units.grid import Grid

BUILDERS = [tiny_videomae, tiny_vit_mae]


@pytest.fixture(autouse=True)
def quiet():
    """transformers reports what a checkpoint lacks; here the test does."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


def saved(model, folder):
    model.save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("build", BUILDERS)
def test_a_checkpoint_comes_back_whole(build, tmp_path):
    model = build()
    loaded = load_video_model(saved(model, tmp_path))
    assert loaded.missing == ()
    assert not loaded.model.training
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], value), name
    assert loaded.grid == tiny_grid(model)
    assert (loaded.num_frames, loaded.tubelet) == ((8, 2) if build is tiny_videomae else (1, 1))
    assert (loaded.image_size, loaded.patch_size) == (32, 8)
    assert loaded.model.config._attn_implementation == "sdpa"
    assert load_video_model(str(tmp_path), attention="eager").model.config._attn_implementation == "eager"


@pytest.mark.parametrize("build", BUILDERS)
def test_what_is_saved_loads_with_the_classes_of_transformers(build, tmp_path):
    loaded = load_video_model(saved(build(), tmp_path / "first"), image_size=48)
    frames, (masked, _) = tiny_frames(loaded.model), tiny_masks(loaded.grid)
    folder = saved(loaded.model, tmp_path / "second")
    name = type(loaded.model).__name__
    assert json.loads((tmp_path / "second" / "config.json").read_text())["architectures"] == [name]
    stock, report = getattr(transformers, name).from_pretrained(folder, output_loading_info=True)
    assert not any(report.values())
    encoder_class = transformers.VideoMAEModel if build is tiny_videomae else transformers.ViTMAEModel
    encoder, report = encoder_class.from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"]
    if build is tiny_videomae:
        targets = loaded.targets(frames)
        ours = masked_losses(loaded.model, frames, masked, masked, targets).mean()
        assert ours.item() == pytest.approx(stock(frames, bool_masked_pos=masked).loss.item(), abs=1e-5)
        assert torch.equal(encoder(frames)[0], loaded.model.videomae(frames)[0])
    else:
        noise = torch.rand(3, 36)
        assert torch.equal(stock(frames[:, 0], noise).logits, loaded.model(frames[:, 0], noise).logits)


@pytest.mark.parametrize("build", BUILDERS)
def test_an_encoder_alone_gets_a_fresh_decoder(build, tmp_path):
    model = build()
    encoder = model.base_model
    loaded = load_video_model(saved(encoder, tmp_path))
    for name, value in encoder.state_dict().items():
        assert torch.equal(loaded.model.base_model.state_dict()[name], value), name
    decoder = {name for name in model.state_dict() if not name.startswith(model.base_model_prefix + ".")}
    assert set(loaded.missing) == decoder - {"decoder.decoder_pos_embed"}
    frames, (masked, _) = tiny_frames(model), tiny_masks(loaded.grid)
    places = masked.nonzero().view(3, -1, 2)[..., 1]
    rest = (~masked).nonzero().view(3, -1, 2)[..., 1]
    predictions = loaded.model(frames, visible=rest, predicted=places).logits
    assert predictions.std(1).min() > 1e-5  # a decoder that does not know where a patch is says the same of all
    fresh = {name: parameter for name, parameter in loaded.model.named_parameters() if name in loaded.missing}
    # what is left as the memory was may be anything, and is often zero
    assert all(
        parameter.abs().max() < 10 * model.config.initializer_range
        or name.endswith("norm.weight")
        or "layernorm" in name
        for name, parameter in fresh.items()
    )
    tokens = [parameter for name, parameter in fresh.items() if name.endswith("mask_token")]
    assert [token.std().item() for token in tokens] == pytest.approx([model.config.initializer_range], rel=0.6)
    trained = {name for name, parameter in loaded.model.named_parameters() if parameter.requires_grad}
    assert trained == {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_a_classifier_is_an_encoder_too(tmp_path):
    model = tiny_videomae()
    classifier = transformers.VideoMAEForVideoClassification(model.config)
    loaded = load_video_model(saved(classifier, tmp_path))
    weights = loaded.model.videomae.state_dict()
    assert all(torch.equal(weights[name], value) for name, value in classifier.videomae.state_dict().items())


def test_positions_of_a_videomae_are_made_again_for_another_size(tmp_path):
    loaded = load_video_model(saved(tiny_videomae(), tmp_path), num_frames=4, image_size=48)
    assert loaded.grid == Grid(2, 6, 6, 2, 8)
    fresh = tiny_videomae(num_frames=4, image_size=48)
    assert torch.equal(loaded.model.position_embeddings, fresh.position_embeddings)
    assert torch.equal(
        loaded.model.videomae.embeddings.position_embeddings, fresh.videomae.embeddings.position_embeddings
    )
    frames, (masked, _) = tiny_frames(loaded.model), tiny_masks(loaded.grid)
    assert masked_losses(loaded.model, frames, masked, masked, loaded.targets(frames)).isfinite().all()


def test_fixed_positions_of_a_vit_mae_are_made_again_and_learned_ones_interpolated(tmp_path):
    model = tiny_vit_mae()
    with torch.no_grad():
        ramp = torch.arange(4.0).repeat_interleave(4)  # the row of each patch
        model.decoder.decoder_pos_embed[0, 1:] = ramp[:, None]
        model.decoder.decoder_pos_embed[0, 0] = 7.0
    loaded = load_video_model(saved(model, tmp_path), image_size=64)
    fixed, learned = loaded.model.vit.embeddings.position_embeddings, loaded.model.decoder.decoder_pos_embed
    assert torch.allclose(fixed, _sinusoids(torch.empty(1, 65, 32)))
    assert learned.shape == (1, 65, 16) and (learned[0, 0] == 7.0).all()
    rows = learned[0, 1:, 0].view(8, 8)
    assert torch.allclose(rows[2:6, 0], torch.tensor([0.75, 1.25, 1.75, 2.25]), atol=0.1)
    assert torch.allclose(rows, rows[:, :1].expand(8, 8), atol=1e-5)
    assert not fixed.requires_grad and not learned.requires_grad
    assert loaded.missing == ()
    frames, (masked, _) = tiny_frames(loaded.model), tiny_masks(loaded.grid)
    assert masked_losses(loaded.model, frames, masked, masked, loaded.targets(frames)).isfinite().all()


def test_the_fixed_positions_of_a_vit_mae_tell_rows_from_columns():
    table = _sinusoids(torch.empty(1, 17, 32))[0]
    assert (table[0] == 0).all()
    places = table[1:].view(4, 4, 32)
    # columns in the first half, rows in the second, as in the released weights
    assert torch.equal(places[0, :, :16], places[3, :, :16]) and torch.equal(places[:, 0, 16:], places[:, 3, 16:])
    assert places.flatten(0, 1).unique(dim=0).shape[0] == 16


@pytest.mark.parametrize("build", BUILDERS)
def test_a_head_for_features_is_added_saved_and_found_again(build, tmp_path):
    first = load_video_model(saved(build(), tmp_path / "first"), feature_dim=12)
    assert first.missing == ("feature_head.bias", "feature_head.weight")
    frames, (masked, predicted) = tiny_frames(first.model), tiny_masks(first.grid, num_predicted=5)
    masked_losses(first.model, frames, masked, predicted, torch.randn(3, 5, 12)).mean().backward()
    assert first.model.feature_head.weight.grad.abs().sum() > 0
    assert not first.model.pixel_head.weight.requires_grad and first.model.pixel_head.weight.grad is None
    folder = saved(first.model, tmp_path / "second")
    again = load_video_model(folder, feature_dim=12)
    assert again.missing == ()
    assert torch.equal(again.model.feature_head.weight, first.model.feature_head.weight)
    wider = load_video_model(folder, feature_dim=20)
    assert wider.missing == ("feature_head.bias", "feature_head.weight")
    assert wider.model.feature_head.weight.isfinite().all() and wider.model.feature_head.bias.isfinite().all()
    pixels = load_video_model(folder)
    assert pixels.model.feature_head is None and pixels.missing == ()
    assert pixels.model.pixel_head.weight.requires_grad
    assert "feature_dim" not in pixels.model.config.to_dict()
    encoder_class = transformers.VideoMAEModel if build is tiny_videomae else transformers.ViTMAEModel
    _, report = encoder_class.from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"]


@pytest.mark.parametrize(
    ("file", "settings"),
    [
        ("preprocessor_config.json", {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.25]}),
        ("video_preprocessor_config.json", {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.25]}),
        ("processor_config.json", {"image_processor": {"image_mean": [0.5] * 3, "image_std": [0.5, 0.5, 0.25]}}),
    ],
)
def test_colours_are_normalised_as_the_processor_does(file, settings, tmp_path):
    folder = saved(tiny_videomae(), tmp_path)
    assert load_video_model(folder).mean == (0.485, 0.456, 0.406)  # ImageNet's, as the stock class supposes
    (tmp_path / file).write_text(json.dumps(settings))
    loaded = load_video_model(folder)
    assert loaded.mean == (0.5, 0.5, 0.5) and loaded.std == (0.5, 0.5, 0.25)
    assert (loaded.targets.mean, loaded.targets.std) == (loaded.mean, loaded.std)


@pytest.mark.parametrize("build", BUILDERS)
def test_a_processor_to_save_beside_the_model(build, tmp_path):
    loaded = load_video_model(saved(build(), tmp_path))
    image = torch.randint(0, 256, (3, 40, 60), dtype=torch.uint8)
    loaded.processor().save_pretrained(tmp_path)
    again = load_video_model(str(tmp_path))
    assert again.mean == pytest.approx(loaded.mean) and again.std == pytest.approx(loaded.std)
    processor = AutoImageProcessor.from_pretrained(tmp_path)
    clip = [image] * 8 if build is tiny_videomae else image
    assert processor(clip, return_tensors="pt").pixel_values.shape[-2:] == (32, 32)


def test_what_cannot_be_loaded(tmp_path):
    with pytest.raises(InputError, match=r"no model in '.*nowhere' \(.*\); give a folder that save_pretrained wrote"):
        load_video_model(str(tmp_path / "nowhere"))
    bert = saved(tiny_model(), tmp_path / "bert")
    with pytest.raises(InputError, match="is a bert model, not a masked autoencoder .*: videomae, vit_mae"):
        load_video_model(bert)
    grey = saved(tiny_videomae(num_channels=1), tmp_path / "grey")
    with pytest.raises(InputError, match="reads 1 channels; use a model of 3"):
        load_video_model(grey)
    wide = saved(tiny_videomae(image_size=[32, 48]), tmp_path / "wide")
    with pytest.raises(InputError, match=r"has image_size \[32, 48\], which is not square"):
        load_video_model(wide)
    images = saved(tiny_vit_mae(), tmp_path / "images")
    with pytest.raises(InputError, match="is an image model, which takes clips of 1 frame, not of 8"):
        load_video_model(images, num_frames=8)
    video = saved(tiny_videomae(), tmp_path / "video")
    with pytest.raises(InputError, match="7 frames cannot be cut into patches of 2 frames"):
        load_video_model(video, num_frames=7)
    with pytest.raises(InputError, match="0 frames cannot be cut"):
        load_video_model(video, num_frames=0)
    with pytest.raises(InputError, match="30 pixels cannot be cut into patches of 8"):
        load_video_model(video, image_size=30)


def test_sizes_of_both_kinds_are_understood(tmp_path):
    loaded = load_video_model(saved(tiny_videomae(image_size=[32, 32]), tmp_path))
    assert loaded.image_size == 32 and loaded.grid == Grid(4, 4, 4, 2, 8)


def test_weights_that_are_no_safetensors(tmp_path):
    model = tiny_videomae()
    folder = saved(model, tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"no model in .*; give a folder that save_pretrained wrote \(with model.safe"):
        load_video_model(folder)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(
        InputError, match=r"are a pickle \(pytorch_model.bin\), which may run code when it is read; read"
    ):
        load_video_model(folder)
    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(InputError, match="no model in"):
        load_video_model(folder)


def test_weights_of_another_model(tmp_path):
    folder = saved(tiny_videomae(), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"intermediate_size": 40}))
    with pytest.raises(InputError, match="have another size than its config says .* of another model"):
        load_video_model(folder)
    (tmp_path / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(
        InputError, match=r"lack videomae.encoder.layer.2.* of the encoder; the checkpoint is of another"
    ):
        load_video_model(folder)


def test_damaged_configs_and_pickled_files_are_one_sentence(tmp_path, capfd):
    folder = saved(tiny_videomae(), tmp_path / "m")
    capfd.readouterr()
    load_video_model(folder)
    assert capfd.readouterr() == ("", "")
    path = tmp_path / "m" / "config.json"
    config = json.loads(path.read_text())
    for damaged, sentence in (
        (config | {"num_hidden_layers": 10**9}, "says num_hidden_layers=1000000000, and no model has more than 1,000"),
        (config | {"hidden_act": "gelly"}, "no model in"),
        (config | {"hidden_size": "large"}, "no model in"),
        ([], "no model in"),
    ):
        path.write_text(json.dumps(damaged))
        with pytest.raises(InputError, match=sentence):
            load_video_model(folder)
    torch.save({}, tmp_path / "best.pth")
    with pytest.raises(InputError, match=r"are a pickle \(best.pth\).* beside a config.json in a folder"):
        load_video_model(str(tmp_path / "best.pth"))
