"""What a study file says: arms, the stages of an arm, seeds, budgets, measures, and what is compared with what."""

import runpy
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omnivl.errors import OmniVLError, OmniVLValueError
from omnivl.places import PROJECTS, home

FOLDER = 'studies'  # of the projects
NAME = 'study'  # of the variable that a study file sets


class StudyError(OmniVLValueError):
    """A study that cannot be run as it is written."""


@dataclass(frozen=True)
class Stage:
    """One training.

    Attributes:
        config: Path of the config, or its name if it comes with the package.
        changes: Dotted path -> value, as ``--cfg-options`` takes them.
        start: The stage whose last checkpoint it starts from; None = what the config says.
        is_scaled: Whether its steps are multiplied by the budget.
    """

    config: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    start: 'Stage | None' = None
    is_scaled: bool = True


@dataclass(frozen=True)
class Measure:
    """A figure of a test.

    Attributes:
        metric: Its name in ``metrics.json``, as ``image.retrieval.t2i_r1``.
        title: What it is called in tables and plots.
        config: Whose test it is of; None = that of ``after``, or else of the arm's last stage. What that stage changes
            below ``model`` is changed here, too.
        changes: Of the test's config, as of a stage.
        after: A training between the arm and the test, such as a finetuning; its ``start`` is the arm, and the budget
            leaves its steps as they are. What the arm's last stage changes below ``model.trunk`` is changed here, too.
        higher_is_better: Whether more is better.
    """

    metric: str
    title: str
    config: str | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    after: Stage | None = None
    higher_is_better: bool = True

    @property
    def label(self) -> str:
        """Its title, with the direction where less is better."""
        return self.title + ('' if self.higher_is_better else ' (less is better)')


@dataclass(frozen=True)
class Preparation:
    """A command that makes data before anything is trained.

    Attributes:
        name: What it is called.
        command: Words after ``python``; ``{out}`` in them is the folder of the study.
        code: Files that decide the result, as patterns below the folder of ``projects/``.
    """

    name: str
    command: Sequence[str]
    code: Sequence[str] = ()


@dataclass(frozen=True)
class Study:
    """What is compared, and by what.

    Attributes:
        title: Of the page.
        arms: Name -> the last stage of the arm.
        measures: What the arms are compared by.
        seeds: Each arm is run with each.
        budgets: Factors of the steps of all stages that are scaled.
        pairs: Arms of which the difference, first minus second, is told seed by seed.
        preparations: Run in their order before all else.
        environment: Variables of the shell that configs read; ``{out}`` in a value is the folder of the study.
        text: What the page says of it, in Markdown.
    """

    title: str
    arms: Mapping[str, Stage]
    measures: Sequence[Measure]
    seeds: Sequence[int] = (1, 2, 3, 4, 5)
    budgets: Sequence[float] = (1.0,)
    pairs: Sequence[tuple[str, str]] = ()
    preparations: Sequence[Preparation] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    text: str = ''

    def __post_init__(self) -> None:
        titles = [measure.title for measure in self.measures]
        named = {'arms': list(self.arms), 'measures': titles, 'seeds': self.seeds, 'budgets': self.budgets}
        for name, values in named.items():
            if not values:
                raise StudyError(f'{self.title}: {name} is empty; name at least one')
            twice = [value for value, count in Counter(values).items() if count > 1]
            if twice:
                raise StudyError(f'{self.title}: {name} names {twice[0]!r} twice; they must differ')
        if min(self.budgets) <= 0:
            raise StudyError(f'{self.title}: budgets is {tuple(self.budgets)}; give factors of the steps, above 0')
        for name in {name for pair in self.pairs for name in pair} - set(self.arms):
            raise StudyError(f'{self.title}: pairs names {name!r}; there are the arms {", ".join(self.arms)}')
        if any(one.after is not None and one.after.start is not None for one in self.measures):
            raise StudyError(f'{self.title}: a stage of a measure (after) has a start; leave it out, it is the arm')


def find_study(name: str) -> Path:
    """Find the file of a study by its path, or by its name in ``projects/studies``.

    Args:
        name: Either of them.

    Returns:
        The path.

    Raises:
        StudyError: There is no such file.
    """
    folder = home() / PROJECTS / FOLDER
    for path in (Path(name), folder / name, folder / f'{name}.py'):
        if path.is_file():
            return path
    known = ', '.join(sorted(path.stem for path in folder.glob('[!_]*.py')))
    raise StudyError(f'there is no study {name}: give the path of a file, or one of {known or "none"}')


def load_study(path: Path) -> Study:
    """Run a study file, and take the variable ``study`` from it.

    Args:
        path: Of the file.

    Returns:
        The study.

    Raises:
        StudyError: The file is no study.
    """
    if str(home()) not in sys.path:  # a study may import what it shares with others of its project
        sys.path.append(str(home()))
    try:
        found = runpy.run_path(str(path)).get(NAME)
    except OmniVLError:
        raise
    except Exception as error:
        raise StudyError(f'{path} cannot be read: {type(error).__name__}: {error}') from error
    if not isinstance(found, Study):
        raise StudyError(f'{path} has no {NAME} = Study(...); see {PROJECTS}/{FOLDER} for some')
    return found
