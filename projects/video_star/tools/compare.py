"""Our verifiers beside the pure rules of the published code: where they agree, and each answer on which they do not.

    git clone https://github.com/orrzohar/Video-STaR
    python -m projects.video_star.tools.compare --reference Video-STaR/videostar/verifier.py

Of that file only the functions that need no model are taken, and run as they stand: intersections over union,
tolerances, the search for numbers and boxes, the order of a sequence, repetition. They are asked about drawn numbers
and about the hand-written answers of the tests.
"""

import argparse
import ast
import contextlib
import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import torch
import yaml

from omnivl.errors import OmniVLFileNotFoundError, OmniVLValueError

from ..verifiers import BoxOverlap, ClassSequence, Number, TimeRange, TimeStamp
from ..verifiers.text import is_repetitive

TABLES = Path(__file__).parents[1] / 'tests/verdicts.yml'
WANTED = (
    'convert_xywh_to_xyxy box_iou is_repetitive str_to_float normalized_float abs_float two_dim_range one_dim_range '
    'eval_sim_matrix extract_last_float extract_float extract_bbox'
)
TIMES = ('first', 'later', 'last')
CLAUSES = ('he opens a door', 'she sits down', 'they drink tea')


class Case(NamedTuple):
    """One question to both.

    Attributes:
        rule: What is compared.
        asked: The answer or the numbers, and the label.
        ours: Our verdict.
        theirs: That of the published rule, or the kind of error that it raised.
        truth: What is right, where a person has written it down.
    """

    rule: str
    asked: str
    ours: bool
    theirs: bool | str
    truth: bool | None = None


def published_rules(path: Path) -> SimpleNamespace:
    """Take the functions of ``WANTED`` out of the published file, without importing what it imports."""
    found = {}
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.FunctionDef) and node.name in WANTED.split():
            found[node.name] = ast.unparse(node)
    if missing := set(WANTED.split()) - set(found):
        raise OmniVLValueError(f'{path} has no {", ".join(sorted(missing))}: is it videostar/verifier.py?')
    names: dict[str, Any] = {'re': re, 'torch': torch, 'np': np}
    for source in found.values():
        exec(source, names)  # the file that the person names, on their machine
    return SimpleNamespace(**{name: names[name] for name in found})


def drawn_cases(rules: SimpleNamespace, count: int = 500) -> Iterator[Case]:
    """Compare intersections over union, tolerances and orders on drawn numbers."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        one, other = (np.sort(rng.uniform(0.01, 0.99, 2)).round(2).tolist() for _ in range(2))
        if one[0] < one[1] and other[0] < other[1]:
            ours = TimeRange()(f'From {one[0]} to {one[1]}.', other).passed
            yield Case('range: IoU', f'{one} for {other}', ours, _said(rules.one_dim_range, None, one, other))
        box, truth = (rng.uniform(0.05, 0.95, 4).round(2).tolist() for _ in range(2))
        truth = (np.array(box) + rng.uniform(-0.1, 0.1, 4)).clip(0.01).round(2).tolist()
        ours = BoxOverlap()(str(box), truth).passed
        yield Case('box: IoU', f'{box} for {truth}', ours, _said(rules.two_dim_range, None, box, truth))
        value, label = rng.uniform(1, 10, 2).round(1).tolist()
        ours = Number(tolerance=0.1)(f'It is {value}.', label).passed
        yield Case('number: tolerance', f'{value} for {label}', ours, _said(rules.abs_float, None, value, label))
        time, label = rng.uniform(0, 1, 2).round(2).tolist()
        ours = TimeStamp()(f'At {time}.', label).passed
        yield Case('time: tolerance', f'{time} for {label}', ours, _said(rules.normalized_float, None, time, label))
        order = rng.integers(len(CLAUSES), size=3)
        likeness = torch.zeros(2, 3)
        for place, clause in enumerate(order):
            if clause < 2:
                likeness[clause, place] = 1.0
        answer = '. '.join(f'{CLAUSES[clause]} {TIMES[place]}' for place, clause in enumerate(order))
        ours = ClassSequence()(answer, ['open door', 'sit down']).passed
        yield Case('order', answer, ours, _said(rules.eval_sim_matrix, None, likeness, True, 0.25))


def written_cases(rules: SimpleNamespace) -> Iterator[Case]:
    """Compare on the hand-written answers."""
    if not TABLES.is_file():
        raise OmniVLFileNotFoundError(f'{TABLES} is in a checkout only; run this from the root of one')
    tables = yaml.safe_load(TABLES.read_text(encoding='utf-8'))
    kinds: dict[str, tuple[Callable[..., Any], Callable[..., Any], Any]] = {
        'Number': (rules.extract_float, rules.abs_float, lambda options: Number(**{'tolerance': 0.1} | options)),
        'TimeStamp': (rules.extract_last_float, rules.normalized_float, lambda options: TimeStamp(**options)),
        'BoxOverlap': (rules.extract_bbox, rules.two_dim_range, lambda options: BoxOverlap(**options)),
    }
    for kind, (parse, judge, make) in kinds.items():
        for group in tables[kind]:
            options = group.get('options', {})
            if options.get('form', 'center') != 'center' or 'longest' in options:
                continue  # the published code knows centres and shares only
            for truth, answers in ((True, group['holds']), (False, group['near'])):
                for answer in answers:
                    ours = make(options)(answer, group['truth'], group.get('question', '')).passed
                    theirs = _said(lambda a=answer, g=group, p=parse, j=judge: j(None, p(None, a), g['truth']))
                    yield Case(f'{kind}: written', f'{answer!r} for {group["truth"]}', ours, theirs, truth)
    for answer in ('A. A.', 'It runs. It stops.', 'yes yes yes', 'It is red? It is red!', 'He sits. He sits down.'):
        yield Case('repetition', repr(answer), is_repetitive(answer), _said(rules.is_repetitive, answer))


def _said(function: Callable[..., Any], *arguments: Any) -> bool | str:
    """Return what a rule says, or the name of the error that it raises."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return bool(function(*arguments))
    except Exception as error:
        return type(error).__name__


def report(cases: list[Case]) -> str:
    """Write agreement by rule as Markdown, then each difference with who is right where that is written down."""
    lines = ['| rule | asked | agree | of the differences, ours right | theirs right |', '| --- |' + ' ---: |' * 4]
    for rule in dict.fromkeys(case.rule for case in cases):
        own = [case for case in cases if case.rule == rule]
        apart = [case for case in own if case.ours != case.theirs]
        known = [case for case in apart if case.truth is not None]
        right = [
            sum(side == case.truth for case, side in zip(known, sides))
            for sides in ([case.ours for case in known], [case.theirs for case in known])
        ]
        figures = right if known or not apart else ['-', '-']
        lines.append(f'| {rule} | {len(own)} | {len(own) - len(apart)} | {figures[0]} | {figures[1]} |')
    lines.append('')
    for case in cases:
        if case.ours != case.theirs:
            lines.append(f'- {case.rule}: {case.asked}: ours {case.ours}, theirs {case.theirs}')
    return '\n'.join(lines)


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--reference', type=Path, required=True, help='videostar/verifier.py of the published code')
    rules = published_rules(parser.parse_args().reference)
    print(report([*drawn_cases(rules), *written_cases(rules)]))


if __name__ == '__main__':
    main()
