"""Of two settings that exclude each other, the one on the command line wins."""

import pytest

from diffmask.assemble.modality import read_config, resolve
from diffmask.core.errors import InputError


@pytest.mark.parametrize(("inside", "given"), [("epochs: 2", "steps"), ("steps: 9", "epochs")])
def test_it_takes_the_place_of_the_one_in_the_file(tmp_path, inside, given):
    path = tmp_path / "run.yaml"
    path.write_text(f"model: m\noutput: o\ndata: {{train: [a.txt]}}\ntraining: {{{inside}}}")
    training = read_config(path, [f"training.{given}=20"]).training
    assert (training.steps, training.epochs) == ((20, None) if given == "steps" else (None, 20.0))
    with pytest.raises(InputError, match="give training.steps or training.epochs, one of the two"):
        resolve(read_config(path, ["training.steps=20", "training.epochs=1"]))
