"""omnivl study: what is missing runs once, what was killed goes on, and the tables say what the figures are."""

import json
import math
import os
import signal
import time
from types import SimpleNamespace

import pytest
import study_toys

from omnivl.commands.main import main
from omnivl.commands.study import keys, runs
from omnivl.commands.study import plan as plan_module
from omnivl.commands.study.conduct import only
from omnivl.commands.study.describe import Measure, Preparation, Stage, Study, StudyError, find_study, load_study
from omnivl.commands.study.figures import difference, spread
from omnivl.commands.study.plan import Planner
from omnivl.commands.study.report import write_results
from omnivl.storage.files import write_json


@pytest.fixture
def started(monkeypatch):
    """The folders of the runs that were started, which take processes of the forkserver."""
    folders = []

    def start(folder):
        folders.append(folder)
        return study_toys.start_process(folder)

    monkeypatch.setattr(runs, 'start_process', start)
    return folders


def plan_of(path, out, **changes):
    study = load_study(path)
    return Planner(Study(**{**vars(study), **changes}), out).plan()


def test_what_is_missing_runs_once_and_equal_stages_are_shared(tmp_path, started, capsys):
    path, out = study_toys.write_study(tmp_path), tmp_path / 'out'
    command = ['study', str(path), '--out', str(out)]
    main([*command, '--dry-run'])
    said = capsys.readouterr().out
    assert '6 trainings (6 to run), 4 tests (4 to run); 6 more are equal' in said and 'time: told after' in said
    assert started == [] and not out.exists()

    main([*command, '--only', 'quick'])
    assert len(started) == len(set(started)) == 6  # a first stage, the arm and a test, of two seeds
    main([*command, '--jobs', '2'])
    assert len(started) == len(set(started)) == 10
    said = capsys.readouterr().out
    assert all(f'slow, test of toy, seed {seed}, budget 1: ' in said for seed in (3, 4))  # either may be the last
    assert '[10/10] slow, test of toy, seed ' in said and f'next: read {out / "README.md"}' in said
    plan = plan_of(path, out)
    for cell in plan.cells:
        first, second = cell.test.needs
        asked = json.loads((runs.folder_of(second, out) / 'run.json').read_text())
        assert asked['options']['load_from.file'] == str(runs.folder_of(first, out))
        assert asked['options']['randomness.seed'] == cell.seed
        assert asked['options']['optim_wrapper.optimizer.lr'] == {'quick': 0.1, 'slow': 0.01}[cell.arm]

    (runs.folder_of(plan.cells[0].test, out) / runs.DONE).unlink()
    main(command)
    assert started[10:] == [runs.folder_of(plan.cells[0].test, out)]
    results = json.loads((out / 'results.json').read_text())
    assert len(results['figures']) == 8 and results['missing'] == 0
    row = results['figures'][0]
    assert (row['arm'], row['seed'], row['chance']) == ('quick', 3, 0.5)
    assert [run['kind'] for run in row['runs']] == ['train', 'train', 'test']
    assert row['runs'][1]['changes'] == {'optim_wrapper.optimizer.lr': 0.1}
    assert len({row['value'] for row in results['figures'] if row['measure'] == 'mean'}) == 4
    assert (out / 'bars_1.png').read_bytes()[:4] == b'\x89PNG'


def test_a_killed_run_and_a_stopped_study_go_on(tmp_path, started, monkeypatch, capsys):
    path, out = study_toys.write_study(tmp_path), tmp_path / 'out'
    text = (tmp_path / 'toy.py').read_text().replace("'type': 'ToyDataset'", "'type': 'ToyDataset', 'pause': 0.1")
    (tmp_path / 'toy.py').write_text(text)
    command = ['study', str(path), '--out', str(out), '--only', 'quick']

    def broken_by(end):
        def start(folder):
            process = study_toys.start_process(folder)
            while not list(folder.glob('iter_*.pth')):
                time.sleep(0.01)
            end(process)
            return process

        return start

    with monkeypatch.context() as patch, pytest.raises(SystemExit) as ended:
        patch.setattr(runs, 'start_process', broken_by(lambda process: os.kill(process.pid, signal.SIGKILL)))
        main(command)
    assert 'quick, stage 1 (toy), seed 3, budget 1 failed, ended by SIGKILL; its output is in' in str(ended.value)
    (killed,) = (out / 'runs').iterdir()
    assert not (killed / runs.DONE).exists()

    with monkeypatch.context() as patch, pytest.raises(SystemExit) as ended:
        patch.setattr(runs, 'start_process', broken_by(lambda _: os.kill(os.getpid(), signal.SIGTERM)))
        main(command)
    assert ended.value.code == 143 and 'the same command goes on from here' in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL

    main(command)
    assert started[0] == killed and len(started) == len(set(started)) == 6
    logs = [path.read_text() for path in sorted(killed.glob('*/vis_data/scalars.json'), key=os.path.getmtime)]
    steps = [[json.loads(line)['step'] for line in log.splitlines()] for log in logs if log]
    assert steps[0][0] == 1 and steps[-1][0] > 1 and steps[-1][-1] == 4  # the last process went on
    assert json.loads((killed / runs.DONE).read_text())['steps'] == 4


def test_the_key_is_of_what_decides(tmp_path, monkeypatch):
    path = study_toys.write_study(tmp_path)
    out = tmp_path / 'out'

    def kept(**changes):
        found = plan_of(path, changes.pop('out', out), **changes)
        return {(run.kind, run.title): run.key for run in found.runs.values()}

    def changed(**changes):
        now = kept(**changes)
        return {title for title, key in before.items() if now[title] != key}

    before = kept()
    config = (tmp_path / 'toy.py').read_text()
    trainings, tests = ({title for title in before if title[0] == kind} for kind in ('train', 'test'))
    assert changed(out=tmp_path / 'elsewhere') == set()
    for added, expected in (
        ('# a comment', set()),
        ('val_dataloader = test_dataloader\nval_evaluator = test_evaluator\nval_cfg = test_cfg', set()),
        ("test_evaluator = dict(toy=dict(type='ToyEvaluation', answers=True))", tests),
        ('model = dict(type="ToyModel", spoil_at=99)', trainings | tests),
    ):
        (tmp_path / 'toy.py').write_text(f'{config}{added}\n')
        assert changed() == expected, added
    (tmp_path / 'toy.py').write_text(config)
    slow = {title for title in before if title[1].startswith('slow')}
    arms = load_study(path).arms
    other = Stage(arms['slow'].config, {'optim_wrapper.optimizer.lr': 0.02}, start=arms['slow'].start)
    assert changed(arms={**arms, 'slow': other}) == slow
    # A first stage of its own, for one arm: what follows it changes, too.
    first = Stage(arms['slow'].config, {'optim_wrapper.optimizer.weight_decay': 0.2})
    assert changed(arms={**arms, 'slow': Stage(other.config, arms['slow'].changes, start=first)}) == slow
    assert changed(preparations=[Preparation('corpus', ['-c', 'pass'])]) == trainings | tests
    for code, expected in ((keys.TRAINING_CODE, trainings | tests), (keys.TEST_CODE, tests)):
        with monkeypatch.context() as patch:
            patch.setattr(plan_module, 'code_key', lambda _: '')
            before = kept()
            patch.setattr(plan_module, 'code_key', lambda files, code=code: 'changed' * (set(code) == set(files)))
            assert changed() == expected


def test_code_counts_by_content(tmp_path, monkeypatch):
    monkeypatch.setattr(keys, 'PACKAGE', tmp_path)
    (tmp_path / 'omnivl/models').mkdir(parents=True)
    (tmp_path / 'omnivl/models/a.py').write_text('a = 1\n')
    first = keys.code_key.__wrapped__(('omnivl/models/**/*.py',))
    (tmp_path / 'omnivl/models/b.txt').write_text('no code')
    assert keys.code_key.__wrapped__(('omnivl/models/**/*.py',)) == first
    (tmp_path / 'omnivl/models/a.py').write_text('a = 22\n')
    assert keys.code_key.__wrapped__(('omnivl/models/**/*.py',)) != first
    assert keys.project_code("type=projects.coca.model.CoCa, 'projects.demo.x'") == (
        'projects/coca/**/*.py',
        'projects/demo/**/*.py',
    )


def test_a_budget_multiplies_steps_and_schedules_of_scaled_stages(tmp_path):
    path = study_toys.write_study(tmp_path)
    stage = Stage(str(tmp_path / 'toy.py'))
    measure = Measure('toy.r1', 'tuned', after=stage)
    plan = plan_of(path, tmp_path, arms={'a': stage}, pairs=(), seeds=(3,), budgets=(0.5, 2), measures=[measure])
    first, second = (cell.test.needs for cell in plan.cells)
    assert [run.steps for run in (*first, *second)] == [2, 4, 8, 4]
    assert [run[0].options['param_scheduler.0.end'] for run in (first, second)] == [1, 4]
    assert first[1].options.get('param_scheduler.0.end') is None and first[1].start == first[0]


FIGURES = {('quick', 3): 10.0, ('quick', 4): 12.0, ('slow', 3): 4.0, ('slow', 4): 7.0}


def test_tables_by_hand(tmp_path):
    """Means 11 and 5.5, errors 1 and 1.5; by seed 6 and 5: 5.5 with an error of 0.5."""
    path, out = study_toys.write_study(tmp_path), tmp_path / 'out'
    plan = plan_of(path, out)
    for cell in plan.cells:
        for run in (*cell.test.needs, cell.test):
            said = dict(kind=run.kind, config=run.config, changes={}, seed=run.seed, steps=4, seconds=30, commit='abc')
            runs.folder_of(run, out).mkdir(parents=True, exist_ok=True)
            write_json(runs.folder_of(run, out) / runs.DONE, said)
        value = FIGURES[cell.arm, cell.seed]
        write_json(runs.folder_of(cell.test, out) / 'metrics.json', dict(toy=dict(r1=value, r5=value)))
    study = load_study(path)
    write_results(study, plan, out, 'omnivl study toys')
    lines = (out / 'table.md').read_text().splitlines()
    assert '| mean | 11.00 ± 1.00 (2) | 5.50 ± 1.50 (2) |' in lines
    assert '| mean | **+5.50 ± 0.50 (2)** better |' in lines
    assert '| fifty (less is better) | **+5.50 ± 0.50 (2)** worse |' in lines
    results = json.loads((out / 'results.json').read_text())
    assert results['seconds'] == 300 and len(results['figures']) == 8  # ten runs
    assert results['differences'][0] == dict(
        first='quick', second='slow', budget=1.0, measure='mean', seeds=2, mean=5.5, error=0.5, is_beyond_two=True,
        is_better=True,
    )  # fmt: skip
    assert 'commit abc' in (out / 'README.md').read_text()

    for cell in plan.cells:  # seed 4 of one arm is not there yet
        if (cell.arm, cell.seed) == ('slow', 4):
            (runs.folder_of(cell.test, out) / runs.DONE).unlink(missing_ok=True)
    write_results(study, plan, out, 'omnivl study toys')
    text = (out / 'README.md').read_text()
    assert '**2 figures are missing:**' in text and '| mean | 11.00 ± 1.00 (2) | 4.00 (1) |' in text
    assert '| mean | +6.00 (1) |' in text  # one seed has no error, and nothing is beyond it
    wanted = Study('Toys', study.arms, [Measure('toy.r2', 'none')], seeds=(3, 4))
    with pytest.raises(StudyError, match=r'none: the test of .* has no figure toy\.r2'):
        write_results(wanted, Planner(wanted, out).plan(), out, '')


def test_means_and_errors():
    assert spread([1.0, 2.0, 6.0]) == (3, 3.0, pytest.approx(math.sqrt(7 / 3)))
    assert spread([5.0]) == (1, 5.0, None) and not spread([5.0]).is_beyond_two
    assert spread([1.0, 3.0]).is_beyond_two is False  # 2 of an error of 1: not beyond
    assert difference({1: 5.0, 2: 6.0, 3: 9.0}, {2: 4.0, 3: 5.0, 4: 0.0}) == (2, 3.0, 1.0)
    assert difference({1: 5.0}, {2: 4.0}) is None


def test_time_left_is_told_by_what_is_done(tmp_path):
    plan = plan_of(study_toys.write_study(tmp_path), tmp_path)
    everything = list(plan.runs.values())
    conductor = runs.Conductor(plan, tmp_path, jobs=2)
    assert conductor.time_left(everything) is None
    for run, seconds in zip(everything[1:3], (8.0, 3.0)):  # a training of 4 steps and a test
        runs.folder_of(run, tmp_path).mkdir(parents=True)
        write_json(runs.folder_of(run, tmp_path) / runs.DONE, dict(seconds=seconds))
    assert conductor.time_left([everything[0], everything[4]]) == (8.0 + 3.0) / 2
    assert [runs.duration(seconds) for seconds in (59.6, 600, 7200)] == ['1 min 00 s', '10 min 00 s', '2 h 00 min']


def test_slips_are_told_in_one_line(tmp_path):
    path = study_toys.write_study(tmp_path)
    (tmp_path / 'broken.py').write_text('import nowhere_at_all\n')
    (tmp_path / 'empty.py').write_text('study = 3\n')
    for words, said in (
        (['claim_z'], 'there is no study claim_z: give the path of a file, or one of '),
        ([str(tmp_path / 'broken.py')], 'cannot be read: ModuleNotFoundError'),
        ([str(tmp_path / 'empty.py')], 'has no study = Study(...)'),
        ([str(path), '--only', 'fast'], '--only fast: there is no such arm; there are quick, slow'),
    ):
        with pytest.raises(SystemExit) as ended:
            main(['study', *words, '--out', str(tmp_path / 'out')])
        assert len(str(ended.value).splitlines()) == 1 and said in str(ended.value)
    with pytest.raises(SystemExit, match='2'):
        main(['study', str(path), '--jobs', '0'])
    stage, measure = Stage('a'), Measure('m', 'm')
    for options, said in (
        (dict(seeds=(1, 1)), 'seeds names 1 twice'),
        (dict(pairs=[('a', 'b')]), "pairs names 'b'"),
        (dict(budgets=(0,)), 'budgets is'),
        (dict(measures=[]), 'measures is empty'),
        (dict(measures=[Measure('m', 'm', after=Stage('b', start=stage))]), 'has a start'),
    ):
        with pytest.raises(StudyError, match=said):
            Study(**{**dict(title='t', arms={'a': stage}, measures=[measure]), **options})


def test_a_study_is_listed_and_cut_to_some_arms(tmp_path, capsys):
    path = study_toys.write_study(tmp_path)
    main(['study', str(path), '--list'])
    said = capsys.readouterr().out
    assert 'seeds: 3, 4' in said and 'compares quick with slow' in said
    assert "  quick: toy, then toy {'optim_wrapper.optimizer.lr': 0.1}" in said
    cut = only(load_study(path), ['slow'])
    assert list(cut.arms) == ['slow'] and cut.pairs == []
    assert find_study('claim_a').name == 'claim_a.py'


def test_data_is_prepared_once_and_again_when_its_command_changes(tmp_path):
    def prepare(word):
        words = ['-c', f'import sys; print({word!r}, file=open(sys.argv[1] + "/made.txt", "a"))', '{out}']
        plan = SimpleNamespace(preparations={f'key {word}': Preparation('corpus', words)}, runs={})
        runs.Conductor(plan, tmp_path, jobs=1)._prepare()
        return (tmp_path / 'made.txt').read_text().split()

    assert prepare('a') == prepare('a') == ['a'] and prepare('b') == ['a', 'b']
    bad = SimpleNamespace(preparations={'c': Preparation('corpus', ['-c', 'import sys; sys.exit("no room")'])}, runs={})
    with pytest.raises(Exception, match='corpus failed, exit code 1: no room; its output is in'):
        runs.Conductor(bad, tmp_path, jobs=1)._prepare()
