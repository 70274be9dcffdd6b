"""Damaged files: a short run of the tool, and that it would notice what must not happen."""

import runpy
from pathlib import Path

import pytest
from mmengine.registry import init_default_scope

TOOL = runpy.run_path(str(Path(__file__).parents[2] / 'tools/damage.py'))


def test_damaged_files_cost_nothing_but_themselves(tmp_path, capsys):
    init_default_scope('omnivl')
    assert TOOL['run'](60, 0, 2, tmp_path) == []
    lines = [line for line in capsys.readouterr().out.splitlines() if ' items, ' in line]
    broken = [(line.split()[0], line.split()[6]) for line in lines]
    assert len(broken) == 6 and len(set(broken)) == 2 and all(int(count) > 3 for _, count in broken)


def test_numbers_are_found_in_pictures():
    assert [TOOL['number_in'](TOOL['picture'](number)[None]) for number in (0, 1, 4711, 65535)] == [0, 1, 4711, 65535]


@pytest.mark.parametrize(
    ('change', 'problem'),
    [
        ({}, None),
        ({0: dict(raised='0.jpg')}, '0.jpg is whole and was refused'),
        ({1: dict(raised='1.jpg')}, None),
        ({0: dict(number=2)}, '0.jpg: the picture of 2 came with the caption of 0'),
        ({1: dict(number=77)}, None),
        ({1: dict(replaced='1.jpg', text='number 2', number=0)}, '1.jpg: the picture of 0 came with the caption of 2'),
        ({2: dict(text='number 0', number=0)}, '2.jpg: the caption of 0 came'),
        ({2: dict(seconds=90)}, '2.jpg took 90.0 s'),
        ({2: dict(index=1)}, '3 items came of 3, or in another order'),
    ],
)
def test_what_must_not_happen_is_noticed(change, problem):
    rows = [dict(image=f'{number}.jpg') for number in range(3)]
    found = [
        dict(index=number, number=number, text=f'number {number}', seconds=0.0) | change.get(number, {})
        for number in range(3)
    ]
    for item in found:
        if 'raised' in item:
            del item['number'], item['text']
    problems = list(TOOL['check'](found, rows, ['', 'flip', '']))
    assert problems == [] if problem is None else problem in problems
