"""What a run shows on the screen: no dumps, figures beside chance, what comes next, and an error last."""

import os
import re
import sys
from pathlib import Path

import pytest
import toys
from forked import run_program
from mmengine.config import Config
from rich.table import Table
from runs import run_ranks, train

from omnivl.engine import OmniVLRunner
from omnivl.engine.console import ConsoleFormatter, drawn

ROOT = Path(__file__).parents[2]
DUMPS = ('System environment', 'Config:', 'Hooks will be executed', 'Checkpoints will be saved', 'Iter(val)')


def validation(stage='val'):
    return {
        f'{stage}_dataloader': {'image.toy': toys.loader('image', size=6)},
        f'{stage}_evaluator': {'image.toy': dict(type='ToyEvaluation')},
        f'{stage}_cfg': dict(type='EvaluationLoop'),
    }


def config_file(folder, **changes):
    config = toys.toy_config(folder / 'run', folder.name, log_level='INFO', **changes)
    config |= dict(custom_imports=dict(imports=['toys'], allow_failed_imports=False))
    path = folder / 'toy.py'
    path.write_text('\n'.join(f'{key} = {value!r}' for key, value in config.items()))
    return path


def told_story(tmp_path, **changes):
    options = dict(train_cfg=dict(type='AlternatingTrainLoop', max_iters=4, val_interval=2), **validation(), **changes)
    path = config_file(tmp_path, **options)
    runner = OmniVLRunner.from_cfg(Config.fromfile(path))
    runner.train()
    return runner, path


def test_dumps_go_to_the_file_and_the_story_to_both(tmp_path, capsys):
    runner, _ = told_story(tmp_path, **validation('test'))
    screen, log = capsys.readouterr().out, Path(runner.logger.log_file).read_text()
    for dump in DUMPS:
        assert dump not in screen and dump in log, dump
    for text in ('Training ToyModel', 'task image  13 items, 2 batches', 'Validation after iteration 4 of 4', 'Next'):
        assert text in screen and text in log, text
    assert '\x1b' not in screen  # no terminal, no colours
    runner.test()
    assert 'Test of the model after iteration 4\n' in capsys.readouterr().out


def test_a_table_has_chance_the_best_and_the_change(tmp_path, capsys):
    runner, _ = told_story(tmp_path)
    first, last = runner.message_hub.get_scalar('val/image.toy.r1').data[0]
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if re.match(r'(image\.toy)? +r[15] ', line)]
    assert rows == [
        ['image.toy', 'r1', f'{first:.2f}', '0.50', f'{first:.2f}'],
        ['r5', '50.00', '50.00'],  # a figure without a chance level
        ['image.toy', 'r1', f'{last:.2f}', '0.50', f'{max(first, last):.2f}', f'{last - first:+.2f}'],
        ['r5', '50.00', '50.00', '0.00'],
    ]


def test_a_table_shows_headlines_and_says_where_the_rest_is(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(toys.ToyEvaluation, 'headline', ('*1',), raising=False)
    told_story(tmp_path)
    screen = capsys.readouterr().out
    assert len(re.findall(r'^image\.toy +r1 ', screen, re.MULTILINE)) == 2 and ' r5 ' not in screen
    assert screen.count(f'1 more figures in {tmp_path}/run/val/metrics.json') == 2
    assert '"r5": 50.0' in (tmp_path / 'run/val/metrics.json').read_text()


def test_of_ranks_the_lowest_is_the_best(make_runner):
    from omnivl.engine.story import compared

    runner = make_runner()
    for value in (5.0, 3.0, 4.0):
        runner.message_hub.update_scalar('val/image.t2i_mean_rank', value)
        runner.message_hub.update_scalar('val/image.r1', value)
    assert compared(runner, 'image.t2i_mean_rank', 4.0) == ('3.00', '[red]+1.00[/]')
    assert compared(runner, 'image.r1', 4.0) == ('5.00', '[green]+1.00[/]')
    assert compared(runner, 'image.new', 4.0) == ('4.00', '')


def test_a_test_has_a_table_too_and_says_where_its_files_are(tmp_path, capsys):
    changes = dict.fromkeys(('train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler'))
    runner = OmniVLRunner.from_cfg(Config.fromfile(config_file(tmp_path, **validation('test'), **changes)))
    runner.start_at_random()
    runner.test()
    screen = capsys.readouterr().out
    assert 'Test of random (seed 7)' in screen and re.search(r'^image\.toy +r1 +\S+ +0\.50$', screen, re.MULTILINE)
    assert f'{tmp_path}/run/metrics.json' in screen
    (tracked,) = (tmp_path / 'run').glob('*/vis_data/scalars.json')
    assert '"image.toy.r5": 50.0' in tracked.read_text()


def test_the_next_commands_can_be_pasted(tmp_path, capsys):
    folder = tmp_path / 'a folder'
    folder.mkdir()
    told_story(folder, **validation('test'))
    screen = capsys.readouterr().out
    assert f"python -m omnivl test '{folder}/toy.py' '{folder}/run'\n" in screen
    assert 'tensorboard --logdir' not in screen  # this run has no TensorBoard


def test_the_screen_is_silent_where_the_log_is(make_runner, capsys):
    make_runner(train_cfg=dict(type='AlternatingTrainLoop', max_iters=1)).train()  # log_level='WARNING'
    assert capsys.readouterr().out == ''


def test_a_terminal_gets_colours_and_its_width(monkeypatch):
    monkeypatch.setenv('COLUMNS', '40')
    monkeypatch.setenv('TERM', 'xterm')
    monkeypatch.delenv('NO_COLOR', raising=False)
    table = Table('metric', 'change')
    table.add_row('r1', '[green]+1.00[/]')
    command = 'python tools/test.py ' + 'a' * 60
    assert '\x1b[32m+1.00' in drawn([table], terminal=True)
    assert drawn([table], terminal=False).splitlines() == [' metric  change', ' r1      +1.00']
    assert drawn([command], terminal=True) == command  # a command is not broken into lines
    assert drawn(['[1] is no markup'], terminal=False) == '[1] is no markup'


def on_ranks(root):
    sys.stdout = (root / f'screen_{os.environ["RANK"]}').open('w')
    train(root / 'run', 'ranks', launcher='pytorch', log_level='INFO', **validation())
    sys.stdout.flush()


def test_the_first_rank_tells_the_story(tmp_path):
    run_ranks(on_ranks, tmp_path)
    assert 'Training ToyModel' in (tmp_path / 'screen_0').read_text()
    assert (tmp_path / 'screen_1').read_text() == ''


def test_an_error_is_the_last_of_few_lines(tmp_path):
    path = config_file(tmp_path, train_dataloader=dict(image=dict(toys.loader('image'), losses=('nope',))))
    code, said = run_program(ROOT / 'tools/train.py', path)
    lines = said.splitlines()
    assert code == 1 and len(lines) <= 30
    assert lines[-1].startswith("error: train_dataloader.image.losses names 'nope'")


@pytest.mark.parametrize('level', ['INFO', 'DEBUG'])
def test_debug_shows_the_dumps(make_runner, capsys, level):
    runner = make_runner(log_level=level)
    assert ('Config:' in capsys.readouterr().out) == (level == 'DEBUG')
    screen = next(handler for handler in runner.logger.handlers if not hasattr(handler, 'baseFilename'))
    assert isinstance(screen.formatter, ConsoleFormatter) == (level == 'INFO')
