"""What may be deleted: only what diffmask wrote, at any depth, and never through a link."""

import pytest

from diffmask.core.errors import InputError
from diffmask.files.own_files import clear, first_foreign

OWN = ("config.yaml", "log.jsonl", "checkpoint-#/model.safetensors", "model/model-*-of-*.safetensors", ".lock")


def make(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


OURS = (
    "config.yaml",
    "checkpoint-12/model.safetensors",
    "model/model-1-of-2.safetensors",
    ".model.host.example-12-00ff.partial/model-1-of-2.safetensors",  # drafts
    ".config.yaml.host-12.partial",
    ".model.host-12.partial.old/model-1-of-2.safetensors",
    "config.yaml.tmp",
    "model.tmp/model-1-of-2.safetensors",
)


def test_what_we_wrote_is_deleted_and_the_folder_and_its_lock_stay(tmp_path):
    make(tmp_path, *OURS, ".lock")
    (tmp_path / "checkpoint-7").mkdir()
    assert first_foreign(tmp_path, OWN) is None
    clear(tmp_path, OWN)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


@pytest.mark.parametrize(
    "name",
    [
        "results.csv",
        "checkpoint-12/notes.txt",
        "checkpoint-12-copy/model.safetensors",
        "checkpoint-12/deeper/model.safetensors",
        "config.yaml/inside",
        "model",
        ".git/config",
        ".model.partial/model-1-of-2.safetensors",
    ],
)
def test_one_other_file_keeps_everything(tmp_path, name):
    make(tmp_path, *(each for each in OURS if not name.startswith(each) and not each.startswith(f"{name}/")), name)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(
        InputError, match=f"{tmp_path}/{name.split('/')[0]}.* was not written by diffmask, so .* is not"
    ):
        clear(tmp_path, OWN)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["config.yaml", "checkpoint-12", "model"])
def test_a_link_is_foreign(tmp_path, name):
    make(tmp_path / "elsewhere", "model.safetensors")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=f"run/{name} was not written by diffmask"):
        clear(tmp_path / "run", OWN)
    assert (tmp_path / "elsewhere" / "model.safetensors").exists()
