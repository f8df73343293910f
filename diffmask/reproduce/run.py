"""One experiment: plan it, run or continue it, and write its table."""

from collections.abc import Callable
from importlib import resources
from pathlib import Path

import yaml

from diffmask.config import ConfigError, to_mapping
from diffmask.config.experiment import ExperimentConfig
from diffmask.core.errors import InputError
from diffmask.files.folders import write_text
from diffmask.reproduce.jobs import Job, check_jobs
from diffmask.reproduce.plan import plan
from diffmask.reproduce.runner import Runner, locked
from diffmask.reproduce.table import write_results

SETTINGS_FILE = "experiment.yaml"


def shipped() -> dict[str, Path]:
    """Return the experiments that come with diffmask, by name."""
    folder = Path(str(resources.files("diffmask.reproduce"))) / "experiments"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find_experiment(name: str) -> Path:
    """Return the file of an experiment: a path, or the name of one that comes with diffmask.

    Raises:
        ConfigError: If there is none.
    """
    known = shipped()
    if name in known:
        return known[name]
    if not Path(name).is_file():
        raise ConfigError(f"no experiment {name!r}; give a YAML file, or one of: {', '.join(known)}")
    return Path(name)


def reproduce(
    config: ExperimentConfig, data: Path, output: Path, num_processes: int, tell: Callable[[list[Job], Job, str], None]
) -> Path:
    """Run an experiment, or what is left of it, and return the file of its table.

    Args:
        config: The experiment.
        data: Folder of the data sets.
        output: Folder of the experiment; what is done there is not done again.
        num_processes: Jobs at a time.
        tell: Called with all jobs, one of them, and what has become of it: started, done.

    Raises:
        InputError: If the experiment cannot be run, or a job was refused.
        JobError: If a job failed.
        KeyboardInterrupt: At Ctrl-C, once every job has stopped.
    """
    if num_processes < 1:
        raise InputError(f"num_processes={num_processes} is below 1; 1 runs one job after the other")
    if output.exists() and not output.is_dir():
        raise InputError(f"the output {output} is a file; give the name of a folder with -o")
    jobs = plan(config, data.absolute(), output.absolute())
    with locked(output):
        check_jobs(jobs, output)
        write_text(output / SETTINGS_FILE, yaml.safe_dump(to_mapping(config), sort_keys=False))
        Runner(jobs, output, num_processes, lambda job, what: tell(jobs, job, what)).run()
        return write_results(config, output)
