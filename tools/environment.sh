# shellcheck shell=bash
# Sourced by tools/quickstart, tools/test and tools/check.sh, not run: makes .venv in the repository with the pinned
# requirements, and sets $root and $python. A second run with the same pins installs nothing. All pins are installed, or,
# where $diffmask_extras names extras of pyproject.toml, only what the package needs with these.

root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
python=$root/.venv/bin/python

say() { printf 'diffmask: %s\n' "$*" >&2; }

# Candidates are run, not only looked up: a version manager's stub is on PATH for versions that it will not start.
find_python() {
    local candidate
    for candidate in python3 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    say "needs Python 3.11 or newer, found $(python3 --version 2>/dev/null || echo 'no python3 on PATH');" \
        "on Debian 12, Ubuntu 24.04 or newer: apt install python3 python3-venv"
    return 1
}

make_venv() {
    local base version
    base=$(find_python) || return
    if ! "$base" -c 'import ensurepip, venv' 2>/dev/null; then
        version=$("$base" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        say "$base cannot make a virtual environment (no ensurepip);" \
            "on Debian or Ubuntu: apt install python$version-venv"
        return 1
    fi
    # --clear also mends a .venv that was left half made, or whose Python is gone
    "$base" -m venv --clear "$root/.venv"
}

# What the installation depends on. The folder is part of it: an editable install points to it.
fingerprint() { { printf '%s\n' "$root" && cat "$root/constraints.txt" "$root/pyproject.toml"; } | cksum; }

is_installed() { [ "$(cat "$1" 2>/dev/null)" = "$(fingerprint)" ]; }

install_package() {
    # The build backend is one of the pins, so nothing is fetched to build diffmask itself.
    "$python" -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation -e "$root"
}

install_pinned() {
    local stamp=$root/.venv/installed-for
    ! is_installed "$stamp" || return 0
    rm -f "$stamp"
    say "installing the pinned requirements into $root/.venv (about 6 GB with PyTorch: minutes, and only once)"
    "$python" -m pip install --disable-pip-version-check --require-hashes -r "$root/constraints.txt"
    install_package
    fingerprint >"$stamp"
}

# The lines of one pinned package, with its hashes.
pin() {
    local line found=
    while IFS= read -r line; do
        case $line in
            "$1=="*) found=yes ;;
            [a-z]*) found= ;;
        esac
        [ -z "$found" ] || printf '%s\n' "$line"
    done <"$root/constraints.txt"
}

has_gpu() { command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; }

# Where there is no GPU, CUDA would be most of the download. PyTorch's own index has builds without it, which count as the
# pinned versions; where it cannot be reached, the pinned build is installed with all the others.
install_torch_without_cuda() {
    local torch version
    torch=$(pin torch) && version=${torch%%[ ;]*}
    say "installing PyTorch without CUDA, for there is no GPU"
    UV_HTTP_TIMEOUT=20 UV_HTTP_RETRIES=1 "$python" -m uv pip install --quiet --python "$python" --torch-backend cpu "$version" ||
        say "PyTorch's own index cannot be reached; its build with CUDA is installed (4 GB more)"
}

install_part() {
    local extra options=() stamp=$root/.venv/installed-for-${diffmask_extras// /-}
    ! is_installed "$root/.venv/installed-for" || return 0
    ! is_installed "$stamp" || return 0
    rm -f "$stamp"
    say "installing what diffmask needs into $root/.venv (minutes, and only once)"
    for extra in $diffmask_extras; do
        options+=(--extra "$extra")
    done
    "$python" -m pip install --disable-pip-version-check --quiet --require-hashes -r <(pin uv && pin setuptools)
    has_gpu || install_torch_without_cuda
    "$python" -m uv pip install --python "$python" --constraint "$root/constraints.txt" -r "$root/pyproject.toml" "${options[@]}"
    install_package
    fingerprint >"$stamp"
}

# One at a time: the two commands of the README may be started side by side.
if command -v flock >/dev/null; then
    exec 9<"$root/pyproject.toml"
    flock 9
fi
"$python" -m pip --version >/dev/null 2>&1 || make_venv
if [ -n "${diffmask_extras-}" ]; then
    install_part
else
    install_pinned
fi
exec 9<&-
