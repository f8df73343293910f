#!/usr/bin/env python3
"""Execute the Dockerfile without a Docker engine: each stage in a clean Debian root, then the entry point offline.

As root, on Debian or Ubuntu with debootstrap installed:

    ./tools/check_dockerfile.py /tmp/roots --run quickstart

Every RUN line is executed as written, in the order of the file, unless --replace rewrites it; a rewritten line is
named at the end. The base image is a minimal Debian with Python instead of BASE. The entry point is executed as the
image's user, with the image's environment, in a network namespace of its own that has no network. Layers are not
cached: the order of the instructions is what tests/test_packaging.py looks at.
"""

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
# Mounts live in a namespace that ends with the command, so nothing is left to unmount when it fails.
ENTER = 'mount -t proc proc "$0/proc" && mkdir -p "$0/dev/shm" && mount -t tmpfs shm "$0/dev/shm" && exec "$@"'


@dataclass
class Stage:
    """One FROM of the Dockerfile: a root folder and what its instructions have set so far."""

    root: Path
    arguments: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(
        default_factory=lambda: {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    )
    workdir: str = "/"
    user: str = "root"
    entrypoint: list[str] = field(default_factory=list)

    def expand(self, text: str) -> str:
        """Replace $NAME and ${NAME} by what ARG and ENV have set, as Docker does outside RUN."""
        known = self.arguments | self.environment
        return re.sub(r"\$\{?(\w+)\}?", lambda found: known.get(found[1], ""), text)

    def inside(self, path: str) -> Path:
        """Return where a path of the stage is on this machine."""
        return self.root / self.expand(str(Path(self.workdir) / path)).lstrip("/")

    def execute(self, command: list[str], extra: dict[str, str], *, online: bool) -> int:
        """Run a command in the stage and return its exit status."""
        settings = {**extra, **self.arguments, **self.environment}
        enter = ["unshare", "--mount", "--pid", "--fork", *([] if online else ["--net"])]
        enter += ["sh", "-c", ENTER, str(self.root), "chroot", f"--userspec={self.user}", str(self.root)]
        enter += [
            "/usr/bin/env",
            "-i",
            f"--chdir={self.workdir}",
            *(f"{key}={value}" for key, value in settings.items()),
        ]
        return subprocess.run([*enter, *command], stdin=subprocess.DEVNULL).returncode


def read_instructions(text: str) -> list[tuple[str, str]]:
    """Return the instructions of a Dockerfile with continued lines joined: [("RUN", "..."), ...]."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", "", "\n".join(lines))
    return [(word.upper(), rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines())]


def make_base(folder: Path, suite: str, carried: list[Path]) -> Path:
    """Make a minimal Debian with Python once, and copy the files in which this machine differs from a bare one."""
    base = folder / f"base-{suite}"
    if not base.exists():
        packages = "ca-certificates,python3,python3-venv"
        part = base.with_suffix(".part")
        subprocess.run(["debootstrap", "--variant=minbase", f"--include={packages}", suite, part], check=True)
        part.rename(base)
    for path in [Path("/etc/resolv.conf"), *carried]:
        target = base / str(path).lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    return base


def copy(stage: Stage, stages: dict[str, Stage], rest: str) -> None:
    """COPY [--from=STAGE] SOURCE... TARGET, with Docker's rule that a folder's contents are copied."""
    words = shlex.split(rest)
    source_root = REPO
    if words[0].startswith("--from="):
        source_root = stages[words.pop(0).removeprefix("--from=")].root
    target = stage.inside(words[-1])
    for word in words[:-1]:
        source = source_root / word.lstrip("/")
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            (target if words[-1].endswith("/") else target.parent).mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)


def apply(stage: Stage, keyword: str, rest: str) -> None:
    """Carry out an instruction that only sets something."""
    if keyword == "ENV":
        stage.environment |= {
            key: stage.expand(value) for key, value in (word.split("=", 1) for word in shlex.split(rest))
        }
    elif keyword == "WORKDIR":
        stage.workdir = stage.expand(rest)
        stage.inside("").mkdir(parents=True, exist_ok=True)
    elif keyword == "USER":
        stage.user = rest
    elif keyword == "ENTRYPOINT":
        stage.entrypoint = json.loads(rest)
    elif keyword not in {"VOLUME", "CMD"}:
        sys.exit(f"check_dockerfile does not know the instruction {keyword}")


def build(options: argparse.Namespace) -> tuple[Stage, list[str]]:
    """Carry out the whole file; return the last stage and the RUN lines that were not executed as written."""
    given = dict(item.split("=", 1) for item in options.build_arg)
    extra = dict(item.split("=", 1) for item in options.env)
    base = make_base(options.folder, options.suite, options.carry)
    stages: dict[str, Stage] = {}
    stage, rewritten = Stage(base), []
    for keyword, rest in read_instructions((REPO / "Dockerfile").read_text()):
        print(f"--> {keyword} {rest}", flush=True)
        if keyword == "FROM":
            name = rest.partition(" AS ")[2] or "final"
            stage = stages[name] = Stage(options.folder / name)
            shutil.rmtree(stage.root, ignore_errors=True)
            subprocess.run(["cp", "-a", "--reflink=auto", base, stage.root], check=True)
        elif keyword == "ARG":
            key, _, default = rest.partition("=")
            stage.arguments[key] = given.get(key, default)
        elif keyword == "COPY":
            copy(stage, stages, rest)
        elif keyword == "RUN":
            command = rest
            for old, new in (item.split("=>") for item in options.replace):
                command = command.replace(old, new)
            if command != rest:
                rewritten.append(f"{rest}\n    executed as: {command}")
            started = time.monotonic()
            status = stage.execute(["/bin/sh", "-c", command], extra, online=True)
            print(f"    exit status {status} after {time.monotonic() - started:.0f} s", flush=True)
            if status:
                sys.exit(status)
        else:
            apply(stage, keyword, rest)
    return stage, rewritten


def main() -> int:
    """Build, then run the entry point without a network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the roots are made (about 10 GB); the base is kept for reuse")
    parser.add_argument("--suite", default="bookworm", help="release of Debian (default: %(default)s)")
    parser.add_argument("--build-arg", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--env", action="append", default=[], metavar="KEY=VALUE", help="for RUN lines only")
    parser.add_argument(
        "--carry", action="append", default=[], type=Path, help="file of this machine to copy into the base"
    )
    parser.add_argument("--replace", action="append", default=[], metavar="OLD=>NEW", help="in RUN lines")
    parser.add_argument("--run", default="--help", help="arguments of the entry point (default: %(default)s)")
    parser.add_argument("--entrypoint", metavar="COMMAND", help="run this in the place of the image's entry point")
    options = parser.parse_args()
    if os.geteuid() or not shutil.which("debootstrap"):
        parser.error("needs root and the package debootstrap")
    options.folder = options.folder.resolve()
    stage, rewritten = build(options)
    stage.entrypoint = [options.entrypoint] if options.entrypoint else stage.entrypoint
    print(f"--> entry point, user {stage.user}, no network: {stage.entrypoint} {options.run}", flush=True)
    started = time.monotonic()
    stage.arguments.clear()
    status = stage.execute([*stage.entrypoint, *shlex.split(options.run)], {}, online=False)
    print(f"    exit status {status} after {time.monotonic() - started:.0f} s")
    print("not executed as written:", *(rewritten or ["nothing but FROM"]), sep="\n  ")
    return status


if __name__ == "__main__":
    sys.exit(main())
