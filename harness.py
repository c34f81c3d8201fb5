"""Train a logic-gate network, compile it, prove every form equal and time them: `python harness.py method=dlgn task=life`.

The only file that imports hydra. It makes resolved configurations of the command line, all of them before any work begins, and
hands each to jobs/, where a job is run in a process of its own.
"""

import copy
import difflib
import itertools
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast, get_args

import hydra
import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, ValueType
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console
from rich.markup import escape

from jobs.actions import ACTIONS, check_trained, run_action
from jobs.config import UsageError, available_cores, check
from jobs.display import Display, show, summary
from jobs.fit import check_fit, distinct
from jobs.forms import ALL_BACKENDS
from jobs.isolation import apart, interrupt_workers, run_isolated, start_server
from jobs.job import Request, source
from jobs.search import OBJECTIVES, Direction, best, objectives
from jobs.sources import ROOT
from jobs.store import check_writable, finished, job_folder, job_key
from jobs.sweep import follow, new_sweep, run_listed
from methods import ENGINES
from reports.record import FILE, Record
from reports.sweep import best_table

CONF = ROOT / "conf"
# Hydra's own options that print and stop.
_PRINTING = ("--help", "--hydra-help", "--cfg", "-c", "--info", "-i", "--shell-completion", "-sc", "--version")
_OPTIONS_WITH_A_VALUE = ("--cfg", "-c", "--package", "-p", "--info", "-i", "--config-name", "-cn", "--config-dir", "-cd")
_EXTRAS = {
    "joblib": "joblib", "submitit_local": "submitit", "submitit_slurm": "submitit", "ray": "ray", "ray_cluster": "ray",
    "optuna": "optuna",
}  # fmt: skip
_PLUGINS = ("hydra/launcher", "hydra/sweeper")
_SWEEPER = "override /hydra/sweeper"  # in an experiment's defaults

console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
OmegaConf.register_new_resolver("project_root", lambda: str(ROOT), replace=True)
OmegaConf.register_new_resolver("workers", lambda: max(2, available_cores() // 2), replace=True)  # of conf/hydra/launcher


# -------------------------------------------------------------------------------------------------- from arguments to jobs


@dataclass(frozen=True)
class Asked:
    """A command line. overrides: of hydra's grammar, those of an experiment's own sweep among them. hydra_arguments: what is
    for hydra itself, its options and overrides of hydra/... and hydra...."""

    overrides: list[Override]
    hydra_arguments: list[str]
    multirun: bool
    prints: bool

    def value(self, name: str) -> Any:
        return next((one.value() for one in self.overrides if one.key_or_group == name), None)

    @property
    def searches(self) -> bool:
        """Whether a sweeper chooses the jobs as it goes, so that they are not known before."""
        chosen = [argument for argument in self.hydra_arguments if argument.startswith("hydra/sweeper=")]
        return bool(chosen) and chosen[-1] != "hydra/sweeper=basic"


@dataclass(frozen=True)
class Job:
    """One job of a command line: its resolved configuration, and what was set for it as written."""

    config: dict[str, Any]
    choices: dict[str, str]


def parse(arguments: Sequence[str]) -> Asked:
    """Raises UsageError."""
    values_of_options = {i + 1 for i, argument in enumerate(arguments) if argument in _OPTIONS_WITH_A_VALUE}
    options = [one for i, one in enumerate(arguments) if one.startswith("-") or i in values_of_options]
    multirun = any(option in ("-m", "--multirun") for option in options)
    options = [option for option in options if option not in ("-m", "--multirun")]
    try:
        lines = [one for i, one in enumerate(arguments) if not one.startswith("-") and i not in values_of_options]
        parsed = OverridesParser.create().parse_overrides(lines)
        for override in list(parsed):
            if override.key_or_group == "experiment" and (CONF / "experiment" / f"{override.value()}.yaml").exists():
                given = {one.key_or_group for one in parsed}
                varied, sweeper = map(OverridesParser.create().parse_overrides, _swept(str(override.value())))
                multirun = multirun or bool(varied)
                parsed += [one for one in varied if one.key_or_group not in given]
                if any(one.is_sweep_override() for one in parsed):  # else it is one of the experiment's jobs, given in full
                    parsed += [one for one in sweeper if one.key_or_group not in given]
    except HydraException as error:
        raise UsageError(f"{_first_line(error)} Overrides are written name=value; quote special characters.") from error
    for_hydra = [one for one in parsed if one.is_hydra_override()]
    for override in for_hydra:
        _check_installed(override)
    return Asked(
        [one for one in parsed if not one.is_hydra_override()],
        [*options, *(line for one in for_hydra for line in (str(one.input_line), *_settings(one)))],
        multirun,
        any(option.split("=")[0] in _PRINTING for option in options),
    )


def jobs_of(asked: Asked) -> list[Job]:
    """Every job of a command line, resolved and its settings checked. Raises UsageError."""
    groups = {group: _names(CONF / group) for group in ("method", "task", "backend", "timing", "experiment")}
    forms = [_forms(override, groups, asked.multirun) for override in asked.overrides]
    composer = _Composer()
    jobs = []
    for combination in itertools.product(*forms):
        config = composer.compose(list(combination))
        choices = [line.split("=", 1) for line in combination if not line.startswith("~")]
        jobs.append(Job(config, {name.lstrip("+"): value for name, value in choices}))
    for job in jobs:
        settings = check(job.config)
        for name in settings.backend.names:
            _check_name("backend.names", name, list(ALL_BACKENDS))
        _check_name("engine", settings.engine, list(ENGINES))
    return jobs


class _Composer:
    """Composes configurations as hydra does, but values that choose no file are put into one composed before: a sweep over
    seeds or rates takes milliseconds a job."""

    def __init__(self) -> None:
        self._composed: dict[tuple[str, ...], DictConfig] = {}

    def compose(self, overrides: list[str]) -> dict[str, Any]:
        """The resolved configuration of one job. Raises UsageError."""
        try:
            parsed = OverridesParser.create().parse_overrides(overrides)
            plain = [one for one in parsed if not one.is_delete() and not one.is_add() and _is_value(one)]
            rest = tuple(line for line, one in zip(overrides, parsed, strict=True) if one not in plain)
            if rest not in self._composed:
                self._composed[rest] = _composed(list(rest))
            config = copy.deepcopy(self._composed[rest])
            for override in plain:
                OmegaConf.update(config, override.key_or_group, override.value(), merge=True)
            return resolve(config)
        except (HydraException, OmegaConfBaseException) as error:
            raise UsageError(_explain(error, overrides)) from error


def _is_value(override: Override) -> bool:
    return not (CONF / override.key_or_group).is_dir() and override.key_or_group != "experiment"


def _composed(overrides: list[str]) -> DictConfig:
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return hydra.compose("config", overrides=overrides)


def compose(overrides: list[str]) -> dict[str, Any]:
    """The resolved configuration of one job, as hydra makes it from these overrides. Raises UsageError."""
    return _Composer().compose(overrides)


def resolve(composed: DictConfig) -> dict[str, Any]:
    """The configuration as plain values, with the runs folder absolute."""
    config: dict[str, Any] = OmegaConf.to_container(composed, resolve=True)  # type: ignore[assignment]
    config["runs_dir"] = str(Path(config["runs_dir"]).expanduser().absolute())
    return config


def _settings(override: Override) -> list[str]:
    """Where a launcher or a sweeper is chosen, the override that adds our settings to those of its plugin."""
    group, name = override.key_or_group, str(override.value())
    kind = group.removeprefix("hydra/")
    if group not in _PLUGINS or not (CONF / "hydra/settings" / kind / f"{name}.yaml").exists():
        return []
    return [f"+hydra/settings/{kind}@hydra.{kind}={name}"]


def _swept(experiment: str) -> tuple[list[str], list[str]]:
    """What an experiment varies by itself, and the sweeper that it does so by with its settings, as overrides."""
    settings = yaml.safe_load((CONF / "experiment" / f"{experiment}.yaml").read_text())
    sweeper = dict(settings.get("hydra", {}).get("sweeper", {}))
    varied = [f"{name}={values}" for name, values in sweeper.pop("params", {}).items()]
    chosen = [f"hydra/sweeper={one[_SWEEPER]}" for one in settings.get("defaults", []) if _SWEEPER in one]
    return varied, [*chosen, *(f"hydra.sweeper.{name}={value}" for name, value in sweeper.items())]


def _forms(override: Override, groups: dict[str, list[str]], multirun: bool) -> list[str]:
    """The override as each job of the sweep sees it."""
    group = groups.get(override.key_or_group, [])
    forms = [str(override.input_line)]
    if override.is_sweep_override():
        if not multirun:
            raise UsageError(f"{override.input_line} names several values: add -m to run a job for each.")
        key = override.get_key_element()
        if override.value_type is ValueType.GLOB_CHOICE_SWEEP:
            names = cast(Glob, override.value()).filter(group)
            if not names:
                raise UsageError(f"No {key} matches {override.input_line}. Choices: {', '.join(group)}.")
            forms = [f"{key}={name}" for name in names]
        elif override.is_discrete_sweep():
            forms = [f"{key}={one}" for one in override.sweep_string_iterator()]
        else:
            raise UsageError(f"{override.input_line} has no end of values: it needs a sweeper, such as hydra/sweeper=optuna.")
    if group:
        for form in forms:
            _check_name(override.key_or_group, form.split("=", 1)[1], group)
    return forms


def _check_installed(override: Override) -> None:
    """Launchers and sweepers beyond hydra's own are extras."""
    plugin = str(override.value())
    if override.key_or_group not in _PLUGINS or plugin not in _EXTRAS:
        return
    extra = _EXTRAS[plugin]
    package = f"hydra_plugins.hydra_{extra}_{override.key_or_group.removeprefix('hydra/')}"
    if find_spec("hydra_plugins") is None or find_spec(package) is None:
        raise UsageError(f'{override.input_line} needs an extra that is not installed: pip install "gatebench[{extra}]".')


def _names(group: Path) -> list[str]:
    return sorted(path.stem for path in group.glob("*.yaml"))


def _check_name(group: str, name: str, known: list[str]) -> None:
    if name in known or name == "null":
        return
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    guess = f" Did you mean {' or '.join(near)}?" if near else ""
    raise UsageError(f"There is no {group}={name}.{guess} Choices: {', '.join(known)}.")


def _explain(error: Exception, overrides: list[str]) -> str:
    """Hydra's first line, and for an unknown setting the near ones."""
    message = _first_line(error)
    known = _paths(resolve(_composed([])))
    for line in overrides:
        name = line.split("=")[0].lstrip("+~")
        if name not in known and (f"'{name}'" in message or f"'{name.split('.')[-1]}'" in message):
            near = difflib.get_close_matches(name, sorted(set(known)), n=3, cutoff=0.6)
            return f"There is no setting {name}.{f' Did you mean {_or(near)}?' if near else ''} All are shown by --cfg job."
    return message


def _or(names: list[str]) -> str:
    return " or ".join(names)


def _paths(config: Any, prefix: str = "") -> list[str]:
    if not isinstance(config, dict):
        return [prefix.rstrip(".")]
    return [path for name, value in config.items() for path in [f"{prefix}{name}", *_paths(value, f"{prefix}{name}.")]]


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


# ------------------------------------------------------------------------------------------------------- from jobs to work


def request(job: Job, command: str) -> Request:
    return Request(job.config, job_key(job.config), command, job.choices, source())


def run_one(asked: Request, earlier: Record | None) -> int:
    """A single job, with its tables. earlier: its record, if it needs no run. Returns the exit code."""
    record = earlier
    if record is None:
        with Display(console, 1, alone=True) as display:
            record = run_isolated(asked, check(asked.config), display.hear)
    show(console, record, job_folder(asked.config, asked.key).path, cached=earlier is not None)
    return 0 if record.status in ("ok", "skipped") else 1


def run_sweep(requests: list[Request], cached: dict[str, Record], asked: Asked, command: str) -> int:
    """Every job of a sweep that is not finished, by hydra's launcher. cached: records of those that are, by key. Returns the exit
    code.

    The jobs are kept in the sweep's folder as they were resolved, so that editing conf/ meanwhile changes none of them.
    """
    folder = new_sweep(Path(requests[0].config["runs_dir"]), requests)
    missing = [str(i) for i, one in enumerate(requests) if one.key not in cached]
    code = 0
    with Display(console, len(requests), list(cached.values())) as display:
        if missing:
            with follow(folder, display.hear):
                code = _launch(["job=" + ",".join(missing)], asked.hydra_arguments, folder)
    records = [Record.read(path) for one in requests if (path := job_folder(one.config, one.key).path / FILE).exists()]
    return summary(console, records, len(requests), command) or code


def search_base(asked: Asked) -> tuple[Job, list[Direction]]:
    """What the jobs of a search have in common, checked, and the direction of each objective. Raises UsageError."""
    (base,) = jobs_of(replace(asked, overrides=[one for one in asked.overrides if not one.is_sweep_override()]))
    names = base.config["objectives"] or []
    if not names:
        raise UsageError(f"A search needs objectives=[...], what it is to improve. Choices: {', '.join(OBJECTIVES)}.")
    for name in names:
        _check_name("objectives", name, list(OBJECTIVES))
    given = hydra_settings(asked).sweeper.get("direction")
    directions = list(given) if isinstance(given, ListConfig) else [given]
    if len(directions) != len(names) or not {*directions} <= {*get_args(Direction)}:
        said = f"objectives=[{','.join(names)}] and hydra.sweeper.direction={given}"
        raise UsageError(f"{said}: expected a direction, maximize or minimize, for each objective.")
    return base, directions


def hydra_settings(asked: Asked) -> DictConfig:
    """Hydra's own settings, its sweeper's and launcher's among them. Raises UsageError."""
    overrides = [argument for argument in asked.hydra_arguments if argument.lstrip("+~").startswith("hydra")]
    try:
        with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
            settings: DictConfig = hydra.compose("config", overrides, return_hydra_config=True).hydra
    except HydraException as error:
        raise UsageError(_first_line(error)) from error
    return settings


def run_search(asked: Asked, command: str) -> int:
    """A sweep whose jobs a sweeper chooses as it goes. Returns the exit code."""
    base, directions = search_base(asked)
    runs, names = Path(base.config["runs_dir"]), base.config["objectives"]
    check_writable(runs)
    folder = new_sweep(runs, [])
    with Display(console, None) as display, follow(folder, display.hear):
        code = _launch([str(one.input_line) for one in asked.overrides], asked.hydra_arguments, folder)
    records = list({record.key: record for record in display.records}.values())  # a sweeper may choose a job again
    failed = summary(console, records, len(records), command) if records else 1
    found = best(records, names, directions)
    if found:
        console.print(best_table(records, found, names, [objectives(record, names) or [] for record in found]))
    return code or failed


def _launch(overrides: list[str], hydra_arguments: list[str], folder: Path) -> int:
    """Run hydra's launcher, and return its exit code: not 0 only if hydra, its sweeper or its launcher fails, not for jobs."""
    quoted = str(folder).replace("\\", "\\\\").replace("'", "\\'")
    sys.argv = [sys.argv[0], "--multirun", *overrides, *hydra_arguments, f"hydra.sweep.dir='{quoted}'"]
    try:
        hydra_main()
    except SystemExit as ended:  # hydra has said why; what the sweep came to is yet to be told
        return ended.code if isinstance(ended.code, int) else 1
    except KeyboardInterrupt:
        interrupt_workers()
        raise
    return 0


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
def hydra_main(composed: DictConfig) -> list[float] | None:
    """A job of a sweep, in whatever process the launcher calls it."""
    settings = HydraConfig.get()
    folder, threads = Path(settings.sweep.dir), _threads(settings.launcher)
    if composed.job is not None:
        run_listed(folder, composed.job, threads)
        return None
    overrides = [line for line in settings.overrides.task if not line.startswith("~")]
    chosen = Job(resolve(composed), dict(line.lstrip("+").split("=", 1) for line in overrides))
    record = run_listed(folder, request(chosen, shlex.join(["python", "harness.py", *overrides])), threads)
    return objectives(record, chosen.config["objectives"])


def _threads(launcher: DictConfig) -> int | None:
    """The cores that a launcher gives each of its jobs; None: all that its process may use."""
    if "n_jobs" in launcher:  # joblib
        return max(1, available_cores() // launcher.n_jobs) if launcher.n_jobs > 0 else 1
    if "cpus_per_task" in launcher:  # submitit
        return int(launcher.cpus_per_task or 1)
    if "ray" in launcher:
        return max(1, int(launcher.ray.remote.get("num_cpus") or 1))
    return None


# ------------------------------------------------------------------------------------------------------- the command line


def main() -> None:
    command = shlex.join(["python", "harness.py", *sys.argv[1:]])
    try:
        sys.exit(_main(sys.argv[1:], command))
    except UsageError as error:
        Console(stderr=True, highlight=False).print(f"[red]{escape(str(error))}[/]", soft_wrap=True)
        sys.exit(2)
    except OSError as error:  # such as a full disk; bad input never comes here
        Console(stderr=True, highlight=False).print(
            f"[red]{escape(str(error))}.[/] What was done before is kept.", soft_wrap=True
        )
        sys.exit(1)
    except KeyboardInterrupt:
        console.print("Interrupted. What was done is kept: the same command continues from there.")
        sys.exit(130)


def _main(arguments: list[str], command: str) -> int:
    asked = parse(arguments)
    if asked.prints:
        hydra_main()
        return 0
    action = asked.value("action") or "run"
    _check_name("action", action, list(ACTIONS))
    if action in ("run", "time"):
        start_server()  # loads while the command line is looked at
    if asked.searches:
        return run_search(asked, command)
    jobs = jobs_of(asked)
    check_writable(Path(jobs[0].config["runs_dir"]))
    if action == "time":
        jobs = [Job({**job.config, "force": "time"}, job.choices) for job in jobs]
    requests = list({one.key: one for one in (request(job, command) for job in jobs)}.values())
    if action not in ("run", "time"):
        return run_action(action, requests, console)
    if action == "time":
        check_trained(requests)
    cached = {one.key: record for one in requests if (record := finished(one.config, one.key)) is not None}
    for config in distinct(one.config for one in requests if one.key not in cached):
        apart(check(config), check_fit, config, asked.multirun)  # what ends that process ends the job's too: it is recorded there
    if asked.multirun:
        return run_sweep(requests, cached, asked, command)
    return run_one(requests[0], cached.get(requests[0].key))


if __name__ == "__main__":
    import harness  # launchers find hydra_main in other processes by its module, which this one is not by its name here

    harness.main()
