import pytest
import torch
import torch.nn.functional as F

from diffmask.video.words import Patches, find_words, spread


def patches_of(embeddings, clips):
    places = F.pad(torch.tensor(clips)[:, None], (0, 3))
    return Patches(embeddings, places, (), ())


def test_words_are_counted_in_both_groups():
    generator = torch.Generator().manual_seed(0)
    centres = torch.eye(3) * 10
    own = centres[[0] * 40 + [1] * 40] + torch.randn(80, 3, generator=generator) / 10
    other = centres[[1] * 30 + [2] * 10] + torch.randn(40, 3, generator=generator) / 10
    words = find_words(patches_of(own, [0] * 30 + [1] * 50), patches_of(other, [0] * 40), 3)
    order = words.centroids.argmax(1).argsort()
    assert words.counts[order].tolist() == [40, 40, 0]
    assert words.reference_counts[order].tolist() == [0, 30, 10]
    assert words.num_clips[order].tolist() == [2, 1, 0]
    assert words.eligible(2)[order].tolist() == [True, False, False]
    assert words.eligible(1)[order].tolist() == [True, True, False]
    # what the reference lacks counts as one patch of it
    assert words.tf_icf()[order].tolist() == pytest.approx([0.5 / (1 / 40), 0.5 / (31 / 40), 0.0])


def test_of_many_clips_some_are_taken_evenly():
    assert spread(list(range(10)), 5) == [0, 2, 4, 6, 8]
    assert spread(list(range(3)), 5) == [0, 1, 2] and spread([], 5) == []
