"""From a study to runs: each training and test that it takes, once, and which figure comes from which."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from omnivl.engine import read_config
from omnivl.engine.config import known_keys

from .describe import Measure, Preparation, Stage, Study, StudyError
from .keys import TEST_CODE, TRAINING_CODE, code_key, key_of, project_code

TEST_KEYS = ('test_dataloader', 'test_evaluator', 'test_cfg')
TRAINING_KEYS = ('train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler')
VALIDATION_KEYS = ('val_dataloader', 'val_evaluator', 'val_cfg')
STEP_COUNTS = ('begin', 'end', 'T_max', 'total_iters')  # of a schedule


@dataclass(frozen=True)
class Run:
    """A training or a test.

    Attributes:
        key: Of all that decides it; the name of its folder.
        kind: ``'train'`` or ``'test'``.
        title: The arm that asked for it first, with stage, seed and budget.
        config: Path or name.
        changes: Those of the study.
        options: All that is changed in the config, as ``--cfg-options``, but for where the weights are.
        seed: Of the run.
        start: The training whose last checkpoint it starts from.
        takes_reader: Whether the config says how weights are read, and not only which.
        steps: Of a training; 0 for a test.
    """

    key: str
    kind: str
    title: str
    config: str
    changes: Mapping[str, Any]
    options: Mapping[str, Any]
    seed: int
    start: 'Run | None' = None
    takes_reader: bool = False
    steps: int = 0

    @property
    def needs(self) -> list['Run']:
        """The trainings before it, the first one first."""
        return [] if self.start is None else [*self.start.needs, self.start]


@dataclass(frozen=True)
class Cell:
    """One figure: an arm with a seed and a budget, by a measure, from a test."""

    arm: str
    seed: int
    budget: float
    measure: Measure
    test: Run


@dataclass
class Plan:
    """All that a study takes.

    Attributes:
        preparations: Key -> preparation, in their order.
        runs: Key -> run, each after those that it needs.
        cells: The figures.
        asked: Runs before equal ones were put together.
    """

    preparations: dict[str, Preparation] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)
    cells: list[Cell] = field(default_factory=list)
    asked: int = 0


@dataclass
class Planner:
    """Makes the plan of a study.

    Attributes:
        study: The study; its ``environment`` is in that of the process.
        out: Its folder.
    """

    study: Study
    out: Path

    def plan(self) -> Plan:
        """Plan all arms, each seed and budget.

        Returns:
            The plan.

        Raises:
            StudyError: A budget cannot be given to a stage.
            ConfigError: A config cannot be read or changed so.
        """
        plan, self._read = Plan(), dict[str, dict]()
        before = ''
        for one in self.study.preparations:
            before = key_of(before, one.name, list(one.command), code_key(tuple(one.code)))
            plan.preparations[before] = one
        self._data = before
        for budget in self.study.budgets:
            for seed in self.study.seeds:
                for name, stage in self.study.arms.items():
                    trained = self._train(plan, name, stage, seed, budget)
                    for measure in self.study.measures:
                        test = self._test(plan, name, trained, measure, stage, seed, budget)
                        plan.cells.append(Cell(name, seed, budget, measure, test))
        return plan

    @cached_property
    def _known(self) -> set[str]:
        return known_keys()

    def _settings(self, config: str, changes: Mapping[str, Any]) -> dict:
        """Read a changed config, once; returns what means something at its top."""
        name = key_of(config, changes)
        if name not in self._read:
            cfg = read_config(config, options=copy.deepcopy(dict(changes))).to_dict()
            self._read[name] = {key: cfg[key] for key in sorted(cfg) if key in self._known}
        return self._read[name]

    def _text(self, settings: Mapping[str, Any], left_out: tuple[str, ...]) -> str:
        """Write down what decides a run; the study's folder may move."""
        kept = {key: value for key, value in settings.items() if key not in left_out}
        return repr(kept).replace(str(self.out), '{out}')

    def _train(self, plan: Plan, arm: str, stage: Stage, seed: int, budget: float, before: Run | None = None) -> Run:
        start = before if stage.start is None else self._train(plan, arm, stage.start, seed, budget)
        settings = self._settings(stage.config, stage.changes)
        if settings.get('train_dataloader') is None:
            raise StudyError(f'{arm}: {stage.config} only tests; a stage needs a config that trains')
        options = scaled_steps(settings, budget if stage.is_scaled else 1.0, stage.config) | seeded(settings, seed)
        takes_reader = isinstance(settings.get('load_from'), Mapping)
        if start is not None and takes_reader:
            reader = {key: value for key, value in settings['load_from'].items() if key != 'file'}
            settings = settings | {'load_from': reader}
        text = self._text(settings, (*TEST_KEYS, *VALIDATION_KEYS))
        key = key_of(
            'train',
            text,
            options,
            seed,
            start.key if start else '',
            self._data,
            code_key((*TRAINING_CODE, *project_code(text))),
        )
        options |= {name: None for name in VALIDATION_KEYS if settings.get(name) is not None}
        number = 1 + len([*start.needs, start]) if start else 1
        title = f'{arm}, stage {number} ({Path(stage.config).stem}), seed {seed}, budget {budget:g}'
        steps = options.get('train_cfg.max_iters') or settings['train_cfg'].get('max_iters') or 0
        run = Run(
            key,
            'train',
            title,
            stage.config,
            stage.changes,
            {**stage.changes, **options},
            seed,
            start,
            takes_reader,
            steps,
        )
        plan.asked += 1
        return plan.runs.setdefault(key, run)

    def _test(
        self, plan: Plan, arm: str, trained: Run, measure: Measure, stage: Stage, seed: int, budget: float
    ) -> Run:
        last = stage
        # What an arm changes in its model is changed in what comes after it, too.
        if measure.after is not None:
            last = replace(measure.after, changes=below('model.trunk.', stage) | dict(measure.after.changes))
            trained = self._train(plan, arm, replace(last, is_scaled=False), seed, budget, before=trained)
        config = measure.config or last.config
        kept = below('model.', last) if measure.config else last.changes
        changes = {**kept, **measure.changes}
        settings = self._settings(config, changes)
        missing = [key for key in TEST_KEYS if settings.get(key) is None]
        if missing:
            raise StudyError(f'{measure.title}: {config} has no {" and no ".join(missing)}: nothing to test on')
        tests = list(settings['test_evaluator'])
        if measure.metric.rpartition('.')[0] not in tests:
            raise StudyError(
                f'{measure.title}: {config} has no test of {measure.metric}; its tests are {", ".join(tests)}'
            )
        text = self._text(settings, (*TRAINING_KEYS, *VALIDATION_KEYS, 'load_from'))
        key = key_of('test', text, seed, trained.key, code_key((*TEST_CODE, *project_code(text))))
        title = f'{arm}, test of {Path(config).stem}, seed {seed}, budget {budget:g}'
        options = {**changes, **seeded(settings, seed)}
        plan.asked += 1
        return plan.runs.setdefault(key, Run(key, 'test', title, config, changes, options, seed, trained))


def below(place: str, stage: Stage) -> dict[str, Any]:
    """Return the changes of a stage whose path begins with ``place``."""
    return {path: value for path, value in stage.changes.items() if path.startswith(place)}


def seeded(settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Return what gives a config its seed."""
    return {'randomness.seed': seed} if settings.get('randomness') else {'randomness': {'seed': seed}}


def scaled_steps(settings: Mapping[str, Any], factor: float, config: str) -> dict[str, int]:
    """Return what multiplies the steps of a training, those of its schedules included.

    Args:
        settings: The config.
        factor: Of its steps.
        config: Its name.

    Returns:
        Changes of the config; none for a factor of 1.

    Raises:
        StudyError: Its length is no number of steps.
    """
    if factor == 1:
        return {}
    steps = (settings.get('train_cfg') or {}).get('max_iters')
    if steps is None:
        raise StudyError(
            f'{config} has no train_cfg.max_iters, which a budget multiplies; give it one, or budgets=(1,)'
        )
    changes = {'train_cfg.max_iters': max(1, round(steps * factor))}
    for number, schedule in enumerate(settings.get('param_scheduler') or ()):
        for name in STEP_COUNTS:
            if not schedule.get('by_epoch', True) and isinstance(schedule.get(name), int):
                changes[f'param_scheduler.{number}.{name}'] = round(schedule[name] * factor)
    return changes
