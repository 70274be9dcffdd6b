"""Action recognition on tiny sets in the published form: training where there is one, then the figures of the test."""

import json
from pathlib import Path

import pytest
from benchmark_runs import CONFIGS, run_small, write_video
from mmengine.config import Config

VIEWS = {
    'action_kinetics400.py': (4, 3),
    'action_ssv2.py': (2, 3),
    'probe_ucf101.py': (1, 3),
    'probe_hmdb51.py': (1, 3),
}
KINETICS = ('abseiling', 'air drumming', "massaging person's head")
TEMPLATES = ('Moving [something] to the left', 'Moving [something] to the right', 'Holding [something]')


def write_kinetics400(root: Path) -> None:
    """The official lists; clips in folders of their classes, some with fewer frames than are asked for."""
    for split, folder, start in (('train', 'train', 0), ('validate', 'val', 50)):
        lines = ['label,youtube_id,time_start,time_end,split,is_cc']
        for index in range(6):
            label, name = KINETICS[index % 3], f'{split}{index}'
            lines.append(f'"{label}",{name},{start},{start + 10},{split},0')
            clip = f'{label.replace(" ", "_")}/{name}_{start:06d}_{start + 10:06d}.mp4'
            write_video(root / f'data/kinetics400/{folder}' / clip, index, num_frames=5 if index < 2 else 40)
        path = root / f'data/kinetics400/annotations/{split}.csv'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('\n'.join(lines) + '\n')


def write_ssv2(root: Path) -> None:
    """The official JSON files; a class of the list does not occur in the validation set."""
    data = root / 'data/ssv2'
    (data / 'annotations').mkdir(parents=True)
    for number, split in enumerate(('train', 'validation')):
        rows = []
        for index in range(6):
            name, template = str(1000 * number + index), TEMPLATES[index % (3 - number)]
            label = template.replace('[something]', 'a box').lower()
            rows.append({'id': name, 'label': label, 'template': template, 'placeholders': ['a box']})
            write_video(data / f'videos/{name}.webm', index, container='mp4')
        (data / f'annotations/something-something-v2-{split}.json').write_text(json.dumps(rows))
    labels = {template.replace('[', '').replace(']', ''): str(index) for index, template in enumerate(TEMPLATES)}
    (data / 'annotations/something-something-v2-labels.json').write_text(json.dumps(labels))


def write_ucf101(root: Path) -> None:
    """Lists with and without the numbers of the classes, that count from 1."""
    data, classes = root / 'data/ucf101', ('ApplyEyeMakeup', 'YoYo')
    (data / 'annotations').mkdir(parents=True)
    (data / 'annotations/classInd.txt').write_text('1 ApplyEyeMakeup\n2 YoYo\n')
    lists = {'trainlist01.txt': [], 'testlist01.txt': []}
    for index in range(12):
        name = f'{classes[index % 2]}/v_{classes[index % 2]}_g{index:02d}_c01.avi'
        write_video(data / 'videos' / name, index)
        if index < 8:
            lists['trainlist01.txt'].append(f'{name} {index % 2 + 1}\n')
        else:
            lists['testlist01.txt'].append(f'{name}\n')
    for name, lines in lists.items():
        (data / 'annotations' / name).write_text(''.join(lines))


def write_hmdb51(root: Path) -> None:
    """One file for each class and split; the third number is for videos that the split leaves out."""
    data = root / 'data/hmdb51'
    (data / 'testTrainMulti_7030_splits').mkdir(parents=True)
    for number, label in enumerate(('brush_hair', 'wave')):
        lines = []
        for index in range(7):
            write_video(data / f'videos/{label}/clip_{index}.avi', 10 * number + index)
            lines.append(f'clip_{index}.avi {(1, 1, 1, 1, 2, 2, 0)[index]} \n')
        (data / f'testTrainMulti_7030_splits/{label}_test_split1.txt').write_text(''.join(lines))


def three_classes(cfg: Config) -> None:
    """As many as the tiny set has."""
    cfg.model.num_classes = 3


@pytest.mark.parametrize(
    ('config', 'write'), [('action_kinetics400.py', write_kinetics400), ('action_ssv2.py', write_ssv2)]
)
def test_finetuning(tmp_path, config, write):
    write(tmp_path)
    metrics = run_small(config, tmp_path, three_classes)
    assert 0 <= metrics['video.classification.top1'] <= metrics['video.classification.top5'] == 100
    predictions = next((tmp_path / 'work_dirs').rglob('predictions/*.json')).read_text()
    assert all(name in predictions for name in ('predicted', 'scores'))


@pytest.mark.parametrize(('name', 'write'), [('ucf101', write_ucf101), ('hmdb51', write_hmdb51)])
def test_probes(tmp_path, name, write):
    write(tmp_path)
    metrics = run_small(f'probe_{name}.py', tmp_path, train=False)
    assert metrics[f'{name}.linear_probe.top1'] in (0, 25, 50, 75, 100)  # of four videos


def steps(pipeline):
    return {step.type.__name__: step for step in pipeline}


@pytest.mark.parametrize('config', VIEWS)
def test_views(config):
    """Clips x crops: 4 x 3 on Kinetics-400 and 2 x 3 on Something-Something v2, as is usual; 1 x 3 for the probes."""
    cfg = Config.fromfile(CONFIGS / config)
    (loader,), (evaluator,) = cfg.test_dataloader.values(), cfg.test_evaluator.values()
    for dataset in (loader.dataset, *([evaluator.train.dataset] if 'train' in evaluator else [])):
        found = steps(dataset.pipeline)
        assert (found['LoadVideo'].get('num_clips', 1), 3 if 'ThreeCrop' in found else 1) == VIEWS[config]
        assert found['ThreeCrop'].size == cfg.model.trunk.visual_encoder.image_size


def test_clips_that_tell_left_from_right_are_not_mirrored():
    for config, mirrored in (('action_kinetics400.py', True), ('action_ssv2.py', False)):
        cfg = Config.fromfile(CONFIGS / config)
        assert ('RandomFlip' in steps(cfg.train_dataloader.video.dataset.pipeline)) == mirrored
