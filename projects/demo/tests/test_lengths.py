"""How many steps the quickstart takes in its minutes: by hand, on machines that differ, and through the script."""

import json
from pathlib import Path

import pytest
from stand_ins import Checkout

from projects.demo.lengths import AFTER, COSTS, MARGIN, SHORTEST, Lengths, shortened

FULL = {'stage1': 2000, 'stage2': 1700}


def seconds_of(stage: str, steps: int, step_seconds: float) -> float:
    return step_seconds * (COSTS[stage].fixed + COSTS[stage].step * steps)


def run_on(work_dir: Path, step_seconds: float, minutes: float = 6, corpus: float = 40.0, slower: float = 1.0):
    """Let a machine go through both stages; after stage 1 it is this much slower. Returns steps and all seconds."""
    lengths = Lengths(work_dir, minutes, FULL)
    seconds = {'corpus': corpus, 'vocabulary': 10.0}
    lengths.seconds_file.write_text(json.dumps(seconds))
    lengths.decide('stage1', step_seconds)
    seconds['stage1'] = seconds_of('stage1', lengths.of('stage1'), step_seconds * slower)
    lengths.seconds_file.write_text(json.dumps(seconds))
    lengths.decide('stage2', step_seconds)
    seconds['stage2'] = seconds_of('stage2', lengths.of('stage2'), step_seconds * slower)
    return lengths, sum(seconds.values()) + AFTER * (corpus + 10.0)


@pytest.mark.parametrize('step_seconds', [0.02, 0.08, 0.15, 0.25])
def test_whatever_the_machine_it_ends_in_its_minutes(tmp_path, step_seconds):
    lengths, seconds = run_on(tmp_path, step_seconds)
    assert seconds <= 360 * (1 - MARGIN) + 1
    share = {stage: lengths.of(stage) / steps for stage, steps in FULL.items()}
    assert share['stage1'] == pytest.approx(share['stage2'], abs=0.005)
    if step_seconds == 0.02:
        assert share['stage1'] == 1 and lengths.note() == ()
    else:
        assert seconds >= 360 * (1 - MARGIN) - 2 and share['stage1'] < 1
        assert f'{lengths.of("stage1")} of 2000 steps' in lengths.note()[1]


def test_a_machine_that_becomes_busy_cuts_the_second_stage_more(tmp_path):
    lengths, seconds = run_on(tmp_path, 0.1, slower=1.5)
    assert seconds == pytest.approx(360 * (1 - MARGIN), abs=2)
    assert lengths.of('stage2') / FULL['stage2'] < 0.6 * lengths.of('stage1') / FULL['stage1']


def test_no_machine_is_so_slow_that_nothing_is_learned(tmp_path):
    lengths, _ = run_on(tmp_path, 5.0)
    assert [lengths.of(stage) for stage in FULL] == [steps * SHORTEST for steps in FULL.values()]


def test_what_was_decided_stays_as_long_as_the_minutes_do(tmp_path):
    lengths, _ = run_on(tmp_path, 0.15)
    steps = lengths.of('stage1')
    assert str(steps) in lengths.decide('stage1', 0.01)
    assert Lengths(tmp_path, 6, FULL).of('stage1') == steps
    assert Lengths(tmp_path, 0, FULL).of('stage1') == 2000
    more = Lengths(tmp_path, 8, FULL)
    assert more.of('stage1') == 2000
    more.decide('stage1', 0.15)
    assert steps < more.of('stage1') < 2000
    assert 'stage2' not in more.known()  # which follows from how long the new stage 1 takes


def test_a_gpu_takes_all_steps(tmp_path):
    lengths = Lengths(tmp_path, 6, FULL)
    assert 'all 2000 steps' in lengths.decide('stage1', 0.0)


def test_a_cut_stage_still_warms_up_and_lets_its_rate_fall_over_its_second_half():
    options = dict(option.split('=') for option in shortened(300)[1:])
    assert options == {
        'train_cfg.max_iters': '300',
        'param_scheduler.0.end': '75',
        'param_scheduler.1.begin': '150',
        'param_scheduler.1.end': '300',
    }


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path, 'quickstart.sh', 'work_dirs/demo', ['pretrain_image', 'pretrain_joint'])


def test_the_script_cuts_a_stage_says_so_and_skips_it_the_second_time(checkout):
    checkout.measured(0.5)
    code, output, calls = checkout.run(QUICKSTART_MINUTES='2')
    assert code == 0, output
    cut = [word for word in calls[2] if word.startswith('train_cfg.max_iters=')]
    steps = int(cut[0].partition('=')[2])
    assert 100 <= steps < 1000
    assert f'length: {steps} of 1000 steps, to end within 2 minutes' in output
    assert f'Cut to 2 minutes ({steps} of 1000 steps)' in calls[-1][-1]
    # The stand-in of stage 1 took no time: the machine is faster than was measured.
    assert 'length: all 1000 steps fit into 2 minutes' in output and '--cfg-options' not in calls[3]
    assert checkout.run(QUICKSTART_MINUTES='2')[2] == []
    assert [call[0] for call in checkout.run(QUICKSTART_MINUTES='0')[2]] == ['train', 'train', 'test', 'make_report']


@pytest.mark.parametrize('minutes', ['six', '-1', 'inf', 'nan'])
def test_minutes_that_are_none_are_refused(checkout, minutes):
    code, output, calls = checkout.run(QUICKSTART_MINUTES=minutes)
    assert code == 1 and calls == []
    assert f'QUICKSTART_MINUTES is {minutes}; allowed is a number of minutes' in output
