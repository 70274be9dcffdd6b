"""Where curves and pictures go: tags by group, one option for every tracker, nothing sent that was not asked for."""

import argparse
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import toys
from mmengine.config import Config
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from omnivl.commands.options import add_run_options
from omnivl.engine import ConfigError, OmniVLRunner, read_config
from omnivl.engine.command_line import read_run_config
from omnivl.engine.tracking import TRACKERS, curve_tag, track_with

PICTURE = np.zeros((4, 6, 3), np.uint8)


@pytest.mark.parametrize(
    ('name', 'tag'),
    [
        ('loss', 'loss/total'),
        ('image/loss', 'loss/image/total'),
        ('image/loss_univlc', 'loss/image/univlc'),
        ('image.retrieval.t2i_r1', 'metric/image.retrieval/t2i_r1'),
        ('image/samples_per_second', 'speed/image/samples_per_second'),
        ('time', 'speed/time'),
        ('video/broken', 'data/video/broken'),
        ('lr', 'optimizer/lr'),
        ('loss_scale', 'optimizer/loss_scale'),
        ('temperature', 'model/temperature'),
    ],
)
def test_every_curve_has_its_group(name, tag):
    assert curve_tag(name) == tag


def config(folder, *names):
    cfg = Config(toys.toy_config(folder / 'run', folder.name))
    cfg.train_cfg = dict(type='AlternatingTrainLoop', max_iters=2, val_interval=2)
    cfg.val_dataloader = {'image.toy': toys.loader('image', size=6)}
    cfg.val_evaluator = {'image.toy': dict(type='ToyEvaluation')}
    cfg.val_cfg = dict(type='EvaluationLoop')
    track_with(cfg, names)
    return cfg


def test_tensorboard_has_groups_and_the_lines_of_json_the_names_of_the_log(tmp_path):
    OmniVLRunner.from_cfg(config(tmp_path, 'tensorboard')).train()
    (folder,) = (tmp_path / 'run').glob('*/vis_data')
    events = EventAccumulator(str(folder)).Reload()
    tags = events.Tags()['scalars']
    expected = {'loss/total', 'loss/image/fit', 'metric/image.toy/r1', 'speed/time', 'data/image/samples'}
    assert expected <= set(tags) and all('/' in tag for tag in tags)
    assert {tag.split('/')[0] for tag in tags} == {'loss', 'metric', 'speed', 'data', 'optimizer', 'model'}
    assert [event.step for event in events.Scalars('metric/image.toy/r1')] == [2]
    names = set().union(*map(json.loads, (folder / 'scalars.json').read_text().splitlines()))
    assert {'loss', 'image/loss_fit', 'image.toy.r1', 'time', 'image/samples', 'iter'} <= names


class Library(SimpleNamespace):
    """A tracker that writes down what it is told."""

    def __init__(self):
        super().__init__(told=[], config=SimpleNamespace(update=self.note('config')))

    def note(self, name):
        return lambda *values, **options: self.told.append((name, values, options))

    def __getattr__(self, name):
        if name.startswith('__'):
            raise AttributeError(name)
        return self.note(name)

    def of(self, name):
        return [(values, options) for kind, values, options in self.told if kind == name]


@pytest.mark.parametrize('name', ['wandb', 'trackio'])
def test_a_run_goes_to_a_tracker_with_its_steps_and_config(monkeypatch, tmp_path, name):
    library = Library()
    library.Image = lambda picture: ('picture', picture.shape)
    monkeypatch.setitem(sys.modules, name, library)
    runner = OmniVLRunner.from_cfg(config(tmp_path, name))
    runner.visualizer.add_image('pictures/a', PICTURE, 0)
    runner.train()
    ((_, begun),) = library.of('init')
    assert begun['project'] == 'omnivl' and begun['name'] == 'run'
    settings = begun['config'] if name == 'trackio' else library.of('config')[0][0][0]
    assert settings['model']['type'] == 'ToyModel' and json.dumps(settings)
    logged = [(set(values[0]), options['step']) for values, options in library.of('log')]
    assert logged[0] == ({'pictures/a'}, 0)
    assert [step for _, step in logged] == [0, 1, 2, 2] and 'metric/image.toy/r1' in logged[-1][0]
    assert library.of('finish') and not library.of('log_code')
    assert not list(tmp_path.glob('run/*/vis_data/events*'))  # those named take the place of TensorBoard


def test_mlflow_keeps_its_runs_in_the_work_directory(monkeypatch, tmp_path):
    monkeypatch.delenv('MLFLOW_TRACKING_URI', raising=False)
    library = Library()
    library.get_experiment_by_name = lambda name: None
    monkeypatch.setitem(sys.modules, 'mlflow', library)
    runner = OmniVLRunner.from_cfg(config(tmp_path, 'mlflow'))
    runner.visualizer.add_image('pictures/a', PICTURE, 3)
    runner.train()
    assert library.of('set_tracking_uri') == [((f'sqlite:///{tmp_path}/run/mlflow.db',), {})]
    assert library.of('set_experiment') == [(('omnivl',), {})]
    assert library.of('log_image')[0][1] == dict(key='pictures/a', step=3)
    assert library.of('log_metrics')[-1][0][1] == 2 and library.of('end_run')


def test_an_address_with_a_password_is_not_written_down(monkeypatch, tmp_path):
    monkeypatch.setenv('MLFLOW_TRACKING_URI', 'https://me:secret@there')
    monkeypatch.setitem(sys.modules, 'mlflow', Library())
    runner = OmniVLRunner.from_cfg(config(tmp_path, 'mlflow'))
    assert ((('https://me:secret@there',), {})) in sys.modules['mlflow'].of('set_tracking_uri')
    runner.train()
    written = [path for path in (tmp_path / 'run').rglob('*') if path.is_file() and path.suffix != '.pth']
    assert written and not [path for path in written if b'secret' in path.read_bytes()]


@pytest.mark.parametrize('name', TRACKERS)
def test_a_library_that_is_not_there_is_one_line(monkeypatch, tmp_path, name):
    monkeypatch.setitem(sys.modules, TRACKERS[name][1], None)  # as if it were not installed
    with pytest.raises(ConfigError, match=rf'^--track {name} needs {name}: pip install {name}'):
        config(tmp_path, name)


def read_with_track(tmp_path, track, *options):
    path = tmp_path / 'tracked.py'
    path.write_text(f'model = dict(type="TrunkModel")\ntrack = {track!r}\n')
    parser = argparse.ArgumentParser()
    parser.add_argument('config')
    add_run_options(parser, 'results', 'here')
    return read_run_config(parser.parse_args([str(path), *options]))


def test_a_config_states_its_trackers_and_the_command_line_goes_first(tmp_path):
    cfg = read_with_track(tmp_path, ['tensorboard'])
    assert [one.type for one in cfg.visualizer.vis_backends] == ['LocalVisBackend', 'TensorboardVisBackend']
    cfg = read_with_track(tmp_path, ['tensorboard'], '--track', 'none')
    assert [one.type for one in cfg.visualizer.vis_backends] == ['LocalVisBackend']


@pytest.mark.parametrize(('track', 'said'), [(['wandbb'], "'wandbb'"), ('wandb', "'wandb'")])
def test_trackers_of_a_config_that_there_are_not(tmp_path, track, said):
    with pytest.raises(ConfigError, match=rf'^track of the config: has {said}; allowed: a list of tensorboard, wandb'):
        read_with_track(tmp_path, track)


def test_a_config_of_data_names_no_tracker_that_may_send_the_run_away(tmp_path):
    path = tmp_path / 'tracked.json'
    path.write_text(json.dumps(dict(model={}, track=['tensorboard', 'wandb'])))
    with pytest.raises(ConfigError, match="track has 'wandb', which may send the run to a server"):
        read_config(path)
    path.write_text(json.dumps(dict(model={}, track=['tensorboard'])))
    assert read_config(path).track == ['tensorboard']


def test_none_writes_lines_of_json_only(tmp_path):
    runner = OmniVLRunner.from_cfg(config(tmp_path, 'none'))
    assert not runner.visualizer.shows_pictures
    runner.train()
    assert list(tmp_path.glob('run/*/vis_data/scalars.json')) and not list(tmp_path.rglob('events*'))


@pytest.mark.parametrize('kind', ['TrackioVisBackend', 'SteppedWandbVisBackend', 'SteppedMLflowVisBackend'])
def test_a_config_that_is_data_sends_nothing_away(tmp_path, kind):
    path = tmp_path / 'config.json'
    path.write_text(json.dumps(dict(visualizer=dict(type='CurveVisualizer', vis_backends=[dict(type=kind)]))))
    with pytest.raises(ConfigError, match=f'{kind}.*, which is not registered'):
        read_config(path)


def test_a_config_that_is_data_may_use_tensorboard(tmp_path):
    path = Path(tmp_path, 'config.json')
    local = dict(type='CurveVisualizer', vis_backends=[dict(type='TensorboardVisBackend')])
    path.write_text(json.dumps(dict(visualizer=local)))
    assert read_config(path).visualizer.type == 'CurveVisualizer'
