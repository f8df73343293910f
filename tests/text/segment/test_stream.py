"""Streaming: the same rows for any number of workers and ranks, each with an identity of its own."""

import numpy as np
import pytest
from datasets.distributed import split_dataset_by_node
from support.families import broken_tokenizer, tokenizer_of
from torch.utils.data import DataLoader

from diffmask.core.errors import InputError
from diffmask.text.segment import tokenise as module
from diffmask.text.segment.tokenise import TokeniseSettings, _sample_ids, stream, tokenise

SETTINGS = TokeniseSettings(max_length=20)
TYPES = ["the", "cells"]


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_STREAM_BLOCK_BYTES", 500)
    paths = []
    for name in ("a", "b", "c"):
        paths.append(tmp_path / f"{name}.txt")
        lines = (f"The cells of {name}{number} grow in the protein. " * (1 + number % 4) for number in range(60))
        paths[-1].write_text("\n".join(lines), encoding="utf-8")
    return paths


def contents(rows):
    return sorted((tuple(row["input_ids"]), tuple(row["unit_ids"]), tuple(row["types"])) for row in rows)


@pytest.mark.parametrize("num_shards", [1, 3, 8])
def test_a_stream_has_the_rows_of_the_data_set(files, tmp_path, num_shards):
    kept = tokenise(files, tokenizer_of("BERT"), SETTINGS, TYPES, tmp_path / "cache")
    found = list(stream(files, tokenizer_of("BERT"), SETTINGS, TYPES, num_shards))
    assert contents(found) == contents(kept)
    assert set(found[0]) == set(kept.column_names)
    assert len({row["sample_id"] for row in found}) == len(found)


def test_identities_do_not_depend_on_shards_workers_or_ranks(files):
    def identities(rows):
        return sorted((row["sample_id"], tuple(row["input_ids"])) for row in rows)

    expected = identities(stream(files, tokenizer_of("BERT"), SETTINGS, TYPES, 1))
    rows = stream(files, tokenizer_of("BERT"), SETTINGS, TYPES, 8)
    for num_workers in (0, 2):
        loader = DataLoader(rows, batch_size=32, num_workers=num_workers, collate_fn=list)
        assert identities(row for batch in loader for row in batch) == expected
    for world_size in (2, 3):
        ranks = [list(split_dataset_by_node(rows, rank, world_size)) for rank in range(world_size)]
        assert identities(row for rank in ranks for row in rank) == expected
        assert min(map(len, ranks)) > 0


def test_identities_are_spread_over_63_bits():
    ids = np.concatenate([_sample_ids(source, np.arange(20_000), np.zeros(20_000, int)) for source in range(5)])
    ids = np.concatenate([ids, _sample_ids(0, np.zeros(20_000, int), np.arange(1, 20_001))])
    assert ids.dtype == np.int64
    assert ids.min() >= 0
    assert len(np.unique(ids)) == len(ids)
    shares = [((ids >> bit) & 1).mean() for bit in range(63)]
    assert np.abs(np.array(shares) - 0.5).max() < 0.01


def test_a_collapsed_grouping_is_refused_while_reading(files, monkeypatch):
    monkeypatch.setattr(module, "_MIN_EVIDENCE", 10)
    rows = stream(files, broken_tokenizer(), SETTINGS, None)
    with pytest.raises(InputError, match=r"do not fall into words; use masking.policy=random-token"):
        list(rows)


def test_a_number_of_shards_below_one_is_refused(files):
    with pytest.raises(InputError, match=r"num_shards=0 is below 1; give at least one per rank and worker"):
        stream(files, tokenizer_of("BERT"), SETTINGS, None, 0)


def test_settings_are_checked_before_reading(files):
    with pytest.raises(InputError, match=r"max_length=513 is more than the 512 tokens"):
        stream(files, tokenizer_of("BERT"), TokeniseSettings(max_length=513), None)
