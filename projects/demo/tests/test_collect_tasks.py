"""The table and the page of all downstream tasks, from made-up tests."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from projects.demo import collect_tasks

CLASSES = ['Moving something left', 'Moving something right', 'Something growing', 'Something shrinking']


def write_test(folder: Path, name: str, figures: dict, rows: dict[str, list[dict]], chance: dict) -> None:
    """Write what ``tools/test.py`` leaves: figures under ``modality.task``, and predictions of each evaluation."""
    modality, task = name.split('.')
    tree = {modality: {}, 'chance': {modality: {task: chance}}, 'protocol': {}, 'run': {'checkpoint': f'{folder}.pth'}}
    (folder / 'predictions').mkdir(parents=True)
    for suffix, values in figures.items():
        tree[modality][task + suffix] = values
        tree['protocol'][name + suffix] = {'visuals': len(rows[suffix])}
        (folder / f'predictions/{name}{suffix}.json').write_text(json.dumps(rows[suffix]))
    (folder / 'metrics.json').write_text(json.dumps(tree))


def class_rows(visual: Path, predicted: list[int], modality: str = 'video') -> list[dict]:
    """Predictions of classification; sample number i is of class i."""
    shared = dict(source='set', visual=str(visual), modality=modality)
    return [
        dict(shared, sample_id=f'{place}', label=CLASSES[place % 4], predicted=CLASSES[answer])
        for place, answer in enumerate(predicted)
    ]


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / 'picture.jpg'
    Image.fromarray(np.full((32, 32, 3), (200, 0, 0), np.uint8)).save(path)
    return path


@pytest.fixture
def work_dir(tmp_path: Path, picture: Path) -> Path:
    """Four tasks with both tests, and one with one."""
    work_dir = tmp_path / 'work'
    chance = {'top1': 25.0}
    for variant, value in (('from_scratch', 50.0), ('finetuned', 100.0)):
        rows = {'': class_rows(picture, [0, 1, 2, 3]), '_shuffled': class_rows(picture, [0, 0, 2, 0])}
        figures = {'': {'top1': value}, '_shuffled': {'top1': 50.0}}
        folder = work_dir / f'action_recognition/{variant}/test'
        write_test(folder, 'video.classification', figures, rows, chance)
        row = dict(sample_id='1', source='set', visual=str(picture), modality='image')
        caption = dict(row, references=['a red square', 'all is red'], beam='all is red')
        folder = work_dir / f'image_caption/{variant}/test'
        write_test(
            folder, 'image.caption', {'': {'cider_simple_beam': 2 * value}}, {'': [caption]}, {'cider_simple_beam': 7.0}
        )
        choice = dict(row, choices=['it grows', 'it shrinks', 'it moves'], answer_index=0, predicted=1)
        folder = work_dir / f'video_multiple_choice/{variant}/test'
        write_test(folder, 'video.choice', {'': {'accuracy': value}}, {'': [choice]}, {'accuracy': 20.0})
        answer = dict(row, question='what is <it>?', answers=['red', 'red'], rank='blue')
        folder = work_dir / f'vqa/{variant}/test'
        write_test(folder, 'image.qa', {'': {'accuracy': value / 2}}, {'': [answer]}, {'accuracy': 30.0})
    write_test(work_dir / 'linear_probe/finetuned/test', 'image.probe', {'': {'top1': 9.0}}, {'': []}, chance)
    seconds = {'vqa/finetuned': 61.5, 'vqa/from_scratch': 60.0, 'vqa/finetuned/test': 5.0, 'corpus': 9.0}
    (work_dir / 'seconds.json').write_text(json.dumps(seconds))
    return work_dir


def collect(*arguments: object) -> None:
    collect_tasks.main([str(argument) for argument in arguments])


def test_figures_are_those_of_the_tests(work_dir, tmp_path, capsys):
    collect('--work-dir', work_dir, '--data', tmp_path)
    metrics = json.loads((work_dir / 'metrics.json').read_text())
    assert list(metrics) == ['image_caption', 'vqa', 'video_multiple_choice', 'action_recognition']
    vqa = metrics['vqa']
    assert (vqa['metric'], vqa['chance'], vqa['from_scratch'], vqa['finetuned']) == ('image.qa.accuracy', 30, 25, 50)
    assert 'shuffled' not in vqa and vqa['config'] == 'projects/demo/configs/vqa.py'
    assert vqa['seconds'] == {'finetuned': 61.5, 'from_scratch': 60.0, 'finetuned/test': 5.0}
    assert vqa['checkpoints']['finetuned'].endswith('vqa/finetuned/test.pth')
    assert metrics['image_caption']['metric'] == 'image.caption.cider_simple_beam'
    action = metrics['action_recognition']
    assert (action['chance'], action['finetuned'], action['shuffled']) == (25, 100, 50)
    assert 'left out: linear_probe' in capsys.readouterr().out


def test_direction_counts_answers_that_name_the_motion_or_its_reverse(work_dir, tmp_path):
    """Shuffled: left -> left, right -> left and growing -> growing count, shrinking -> left does not: 2 of 3."""
    collect('--work-dir', work_dir, '--data', tmp_path)
    metrics = json.loads((work_dir / 'metrics.json').read_text())
    assert metrics['video_multiple_choice']['more']['video.choice.direction']['finetuned'] == 0
    direction = metrics['action_recognition']['more']['video.classification.direction']
    assert direction['chance'] == 50 and direction['finetuned'] == 100
    assert direction['shuffled'] == pytest.approx(200 / 3)


def test_table_has_a_row_for_each_figure(work_dir, tmp_path, capsys):
    collect('--work-dir', work_dir, '--data', tmp_path)
    lines = (work_dir / 'table.md').read_text().splitlines()
    cells = [[cell.strip() for cell in line.strip('|').split('|')] for line in lines]
    assert {len(row) for row in cells} == {6}
    assert cells[0][2:] == ['chance', 'from scratch', 'finetuned', 'shuffled']
    dash = '\N{EN DASH}'
    assert cells[3] == ['Visual question answering', '`image.qa.accuracy`', '30.0', '25.0', '50.0', dash]
    assert cells[6][2:] == ['25.0', '50.0', '100.0', '50.0']
    assert '\n'.join(lines) in capsys.readouterr().out


def test_page_shows_figures_and_what_was_said(work_dir, tmp_path):
    collect('--work-dir', work_dir, '--data', tmp_path, '--note', 'made up <here>')
    page = (work_dir / 'report.html').read_text(encoding='utf-8')
    assert 'made up &lt;here&gt;' in page and 'In 4 of 4' in page
    for task in ('image_caption', 'vqa', 'action_recognition'):
        assert f'<section id="{task}"' in page and f'href="#{task}"' in page
    assert 'what is &lt;it&gt;?' in page and '<del>blue</del>' in page
    assert '<dt>truth</dt><dd>all is red</dd>' in page  # the reference that the caption is nearest to
    assert '<dt>finetuned</dt><dd><del>it shrinks</del></dd>' in page
    assert '<dt>shuffled</dt><dd><del>Moving something left</del></dd>' in page
    assert page.count('<img') == 1 + 1 + 1 + 4 and 'src="http' not in page
    widths = [float(width) for width in re.findall(r'width:([\d.]+)%', page)]
    assert min(widths) >= 0 and max(widths) == 100  # CIDEr's bars, too, though 200 is above 100


def test_nothing_to_collect_says_what_to_run(tmp_path):
    with pytest.raises(SystemExit, match=r'no task with both of its tests.*bash tools/demo_tasks.sh'):
        collect('--work-dir', tmp_path, '--data', tmp_path)


def test_a_test_without_the_figure_of_its_task_is_named(work_dir, tmp_path):
    file = work_dir / 'vqa/finetuned/test/metrics.json'
    file.write_text(file.read_text().replace('accuracy', 'precision'))
    with pytest.raises(SystemExit, match=r"metrics.json has none of \['image.qa.accuracy'\].*vqa"):
        collect('--work-dir', work_dir, '--data', tmp_path)
