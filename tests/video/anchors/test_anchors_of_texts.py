"""The fifth show of the issue: a model of open_clip that saw captions and pictures finds patches by words."""

import pytest
from sklearn.metrics import roc_auc_score
from support.tiny_clip import caption, digit_scenes, save_clip, tiny_clip, tiny_config, train_on_digits

from diffmask.demo.rendered_clips import encode
from diffmask.video.anchors.find import VisualAnchorSettings, build_visual_anchors
from diffmask.video.index.index import read_clips, write_index


def aucs(folder, num_steps, num_digits, batch_size=64):
    """Return, for each digit, how well the score by its caption tells its patches from clutter."""
    config = tiny_config(pool_type="avg")
    model = train_on_digits(tiny_clip(config), num_steps, num_digits=num_digits, batch_size=batch_size)
    weights = save_clip(model, config, folder / "clip")
    (folder / "clips").mkdir()
    for number in range(6):
        frames = digit_scenes(10, number, train=False, num_digits=num_digits)[0]
        encode(frames.numpy(), folder / "clips" / f"{number}.mp4")
    write_index(folder / "clips.parquet", read_clips(folder / "clips"))
    options = {"clips": [str(folder / "clips.parquet")], "embedder": f"clip:{weights}", "num_words": 32}
    frames, digits, inside = digit_scenes(30 * num_digits, 10**8, train=False, num_digits=num_digits)
    found = []
    for digit in range(num_digits):
        anchors, _ = build_visual_anchors(VisualAnchorSettings(texts=[caption(digit)], **options))
        scores = anchors.scorer("cpu").score(frames[digits == digit])
        found.append(roc_auc_score(inside[digits == digit].flatten(), scores.flatten()))
    return found


def test_a_text_finds_the_patches_of_its_digit(tmp_path):
    # 60 steps are not enough on every machine, where sums differ in the last bit
    assert min(aucs(tmp_path, 120, 2, batch_size=32)) > 0.9


@pytest.mark.slow
def test_each_of_ten_texts_finds_the_patches_of_its_digit(tmp_path):
    assert min(aucs(tmp_path, 300, 10)) > 0.9
