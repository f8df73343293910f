import pytest
import torch
import torch.nn.functional as F
from support.tiny_clip import stripes

from diffmask.demo.rendered_clips import encode
from diffmask.video.anchors.visual_words import Patches, VisualWords, _choose_patches, _evenly
from diffmask.video.index.index import read_clips


def patches_of(embeddings, clips):
    places = F.pad(torch.tensor(clips)[:, None], (0, 3))
    return Patches(embeddings, places, (), ())


def test_words_are_counted_in_both_groups():
    generator = torch.Generator().manual_seed(0)
    centres = torch.eye(3) * 10
    own = centres[[0] * 40 + [1] * 40] + torch.randn(80, 3, generator=generator) / 10
    other = centres[[1] * 30 + [2] * 10] + torch.randn(40, 3, generator=generator) / 10
    words = VisualWords.find(patches_of(own, [0] * 30 + [1] * 50), patches_of(other, [0] * 40), 3)
    order = words.centroids.argmax(1).argsort()
    assert words.counts[order].tolist() == [40, 40, 0]
    assert words.reference_counts[order].tolist() == [0, 30, 10]
    assert words.num_clips[order].tolist() == [2, 1, 0]
    assert words.eligible(2)[order].tolist() == [True, False, False]
    assert words.eligible(1)[order].tolist() == [True, True, False]
    # what the reference lacks counts as one patch of it
    assert words.tf_icf()[order].tolist() == pytest.approx([0.5 / (1 / 40), 0.5 / (31 / 40), 0.0])


def test_of_many_clips_some_are_taken_evenly():
    assert _evenly(list(range(10)), 5) == [0, 2, 4, 6, 8]
    assert _evenly(list(range(3)), 5) == [0, 1, 2] and _evenly([], 5) == []


@pytest.mark.parametrize("most", [1568 // 14, 1568 // 2, 400])
def test_patches_are_taken_from_all_rows_and_columns(most):
    coordinates = torch.cartesian_prod(torch.arange(0, 80, 10), torch.arange(14), torch.arange(14))
    taken = _choose_patches("a.mp4", coordinates, most)
    assert len(taken) == most == len(taken.unique()) and torch.equal(taken, taken.sort().values)
    assert torch.equal(taken, _choose_patches("a.mp4", coordinates, most))
    assert not torch.equal(taken, _choose_patches("b.mp4", coordinates, most))
    for axis in range(3):
        counts = coordinates[taken, axis].unique(return_counts=True)[1]
        assert len(counts) == len(coordinates[:, axis].unique())
        # 14 values, or 8, of which each is as likely
        expected = most / len(counts)
        assert ((counts - expected).abs() < 4.5 * expected**0.5).all(), counts
    assert _choose_patches("a.mp4", coordinates, 1568).tolist() == list(range(1568))


class Places:
    """Embeds each patch as its row and column of 8 x 8."""

    def embed(self, frames):
        grid = torch.cartesian_prod(torch.arange(8.0), torch.arange(8.0)).view(8, 8, 2)
        return grid.expand(len(frames), -1, -1, -1)


def test_patches_that_are_not_taken_are_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("diffmask.video.anchors.visual_words.MAX_PATCHES", 64)
    for number in range(2):
        encode(stripes(number)[0].numpy(), tmp_path / f"{number}.mp4")
    clips = read_clips(tmp_path)
    joined, cat = [], torch.cat

    def record(tensors, *args, **options):
        joined.append(list(tensors))
        return cat(tensors, *args, **options)

    monkeypatch.setattr("torch.cat", record)
    found = Patches.sample(clips, Places(), num_frames=4)
    monkeypatch.undo()
    assert len(found.embeddings) == len(found.places) == 64
    assert torch.equal(found.embeddings, found.places[:, 2:].float())
    assert found.places[:, 3].unique().tolist() == list(range(8))
    kept = [each for tensors in joined for each in tensors if len(tensors) == 2]
    assert len(kept) == 4
    assert [each.untyped_storage().nbytes() for each in kept] == [each.nbytes for each in kept]
