"""What omnivl study does: plan, say what is missing, run it, write the results."""

import argparse
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from omnivl.storage.lock import lock_folder

from ..pages.render import duration
from .describe import FOLDER, Study, StudyError, find_study, load_study
from .plan import Plan, Planner, Run
from .report import write_results
from .runs import Conductor, is_done, is_prepared


def conduct(arguments: argparse.Namespace) -> None:
    """Do what the options of the command describe.

    Args:
        arguments: The options.

    Raises:
        StudyError: The study cannot be run as it is written.
        OmniVLRuntimeError: A run failed, or another process has the folder.
    """
    path = find_study(arguments.study)
    study = load_study(path)
    if arguments.list:
        print('\n'.join(listing(study)))
        return
    shown = study if arguments.only is None else only(study, arguments.only)
    out = (arguments.out or Path('work_dirs') / FOLDER / path.stem).resolve()
    # Before a config is read: it may ask for them.
    os.environ.update({name: value.replace('{out}', str(out)) for name, value in study.environment.items()})
    plan = Planner(shown, out).plan()
    missing = [run for run in plan.runs.values() if not is_done(run, out)]
    conductor = Conductor(plan, out, arguments.jobs)
    print('\n'.join(overview(shown, plan, missing, out, conductor.time_left(missing))), flush=True)
    again = f'omnivl study {arguments.study} --out {out}'
    if arguments.dry_run:
        print(f'next: {again} --jobs {max(2, arguments.jobs)}')
        return
    with lock_folder(out):
        if not arguments.report:
            conductor.conduct(missing)
        write_results(shown, plan, out, again)
    print(f'results: {out / "README.md"}, {out / "results.json"}')
    left = [run for run in plan.runs.values() if not is_done(run, out)]
    print(f'next: {again}, which runs the {len(left)} that are missing' if left else f'next: read {out / "README.md"}')


def only(study: Study, names: Iterable[str]) -> Study:
    """Leave out all arms but some.

    Args:
        study: The study.
        names: Of the arms to keep.

    Returns:
        The study with these arms, and the pairs of two of them.

    Raises:
        StudyError: There is no such arm.
    """
    for name in names:
        if name not in study.arms:
            raise StudyError(f'--only {name}: there is no such arm; there are {", ".join(study.arms)}')
    kept = {name: stage for name, stage in study.arms.items() if name in names}
    return replace(study, arms=kept, pairs=[pair for pair in study.pairs if set(pair) <= set(kept)])


def listing(study: Study) -> list[str]:
    """Say what a study compares.

    Args:
        study: The study.

    Returns:
        Lines.
    """
    lines = [study.title, f'seeds: {numbers(study.seeds)}', f'budgets: {numbers(study.budgets)}', 'arms:']
    for name, stage in study.arms.items():
        stages = [stage]
        while (start := stages[0].start) is not None:
            stages.insert(0, start)
        told = [Path(one.config).stem + (f' {dict(one.changes)}' if one.changes else '') for one in stages]
        lines.append(f'  {name}: {", then ".join(told)}')
    lines.append('measures:')
    lines += [
        f'  {one.title} ({one.metric}{"" if one.higher_is_better else ", less is better"})' for one in study.measures
    ]
    return [*lines, *(f'compares {first} with {second}' for first, second in study.pairs)]


def overview(study: Study, plan: Plan, missing: list[Run], out: Path, left: float | None) -> list[str]:
    """Say what is there and what is missing.

    Args:
        study: The study.
        plan: Its plan.
        missing: Runs that are not done.
        out: Its folder.
        left: Seconds that the missing ones take; None = nothing is known of that.

    Returns:
        Lines.
    """
    of_kind = {
        name: [run for run in plan.runs.values() if run.kind == kind]
        for name, kind in (('trainings', 'train'), ('tests', 'test'))
    }
    counts = ', '.join(
        f'{len(runs)} {name} ({sum(run in missing for run in runs)} to run)' for name, runs in of_kind.items()
    )
    unprepared = [one.name for key, one in plan.preparations.items() if not is_prepared(key, one, out)]
    lines = [
        f'{study.title}: {len(study.arms)} arms x {len(study.seeds)} seeds x {len(study.budgets)} budgets, '
        f'{len(study.measures)} measures, in {out}',
        f'{counts}; {plan.asked - len(plan.runs)} more are equal to one of these',
        *([f'data to make: {", ".join(unprepared)}'] if unprepared else []),
        *(f'  {run.title}' for run in missing),
    ]
    if missing:
        lines.append('time: told after the first runs' if left is None else f'time: about {duration(left)}')
    return lines


def numbers(values: Iterable[float]) -> str:
    """Write numbers in a row."""
    return ', '.join(f'{value:g}' for value in values)
