"""Workers whose batches do not fit into shared memory are refused with the figures."""

import os
import shutil
import signal
from types import SimpleNamespace

import pytest
import torch

from diffmask.core.errors import InputError, worker_errors
from diffmask.train.shared_memory import check_shared_memory

ROWS = [torch.zeros(1_000_000, dtype=torch.uint8)]


def collate(rows):
    return {"frames": torch.stack(rows), "names": ["a"]}


def test_it_says_what_is_needed_what_there_is_and_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=64_000_000))
    check_shared_memory(ROWS, collate, 12, 2, folder=tmp_path)
    with pytest.raises(InputError) as caught:
        check_shared_memory(ROWS, collate, 13, 2, folder=tmp_path)
    assert str(caught.value) == (
        "training.num_workers=2 needs 65 MB of shared memory (13.0 MB a batch, 2 batches a worker and one in use), and "
        f"{tmp_path} has 64 MB; give fewer workers (0 needs none), or start the container with docker run --shm-size=2g"
    )
    check_shared_memory(ROWS, collate, 10**6, 0, folder=tmp_path)
    check_shared_memory(ROWS, collate, 10**6, 8, folder=tmp_path / "missing")


def test_what_is_evaluated_meanwhile_needs_room_too(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=64_000_000))
    check_shared_memory(ROWS, collate, 8, 2, evaluation=(ROWS * 9, 4), folder=tmp_path)
    check_shared_memory(ROWS, collate, 8, 2, evaluation=(ROWS * 4, 99), folder=tmp_path)
    with pytest.raises(InputError) as caught:
        check_shared_memory(
            ROWS, torch.stack, 8, 2, evaluation=(ROWS * 9, 5), setting="video.num_workers", folder=tmp_path
        )
    assert str(caught.value).startswith(
        "video.num_workers=2 needs 65 MB of shared memory (8.0 MB a batch and 5.0 MB one that is evaluated, 2 batches"
    )


class Killed(torch.utils.data.Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, row):
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_is_killed_ends_the_run_with_a_sentence():
    with pytest.raises(InputError, match="a process that loads rows ended before .* fewer workers"), worker_errors():
        list(torch.utils.data.DataLoader(Killed(), num_workers=1))
