"""The benchmarks beside BLIP run, and both sides say the same; how fast they are is no matter of a test."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from forked import run_program

FOLDER = Path(__file__).parents[2] / 'tools' / 'benchmarks'
TINY = ['--width', '32', '--depth', '2', '--heads', '2', '--size', '32', '--vocab', '1200', '--rounds', '1']


def run(tool, *arguments):
    return run_program(FOLDER / tool, *TINY, *arguments)


def figures(tool, tmp_path, *arguments):
    file = tmp_path / 'figures.json'
    code, said = run(tool, *arguments, '--threads', '1', '--json', file)
    assert code == 0, said
    return json.loads(file.read_text()), said


def test_captions_are_those_of_transformers(tmp_path):
    found, printed = figures(
        'generation.py', tmp_path, '--batch', '3', '--beams', '2', '--length', '6', '--vision', '--plain'
    )
    assert found['captions_equal']
    ours = {'omnivl', 'omnivl, not packed', 'vision of omnivl'}
    assert set(found['seconds']) == ours | {'transformers', 'vision of transformers'}
    assert found['ratio'] == pytest.approx(found['seconds']['transformers'] / found['seconds']['omnivl'])
    assert 'equal captions: 3 of 3, 6 word pieces each' in printed


def test_scores_are_those_of_a_loop_in_blips_way(tmp_path):
    found, printed = figures('retrieval.py', tmp_path, '--visuals', '6', '--texts', '9', '--k', '3')
    assert found['scores_equal'] and found['pairs_compared'] > 0
    assert found['pairs_both_ways'] == 3 * (6 + 9)
    assert found['pairs']['omnivl'] <= found['pairs_both_ways']
    assert 'equal in float32: True' in printed


@pytest.mark.slow
def test_graphs_are_the_model(tmp_path):
    """Two of them: each takes seconds, and tests/apis/test_export_graph.py has all."""
    found, printed = figures('graphs.py', tmp_path, '--frames', '2', '--depth', '1', '--graphs', 'image', 'text')
    assert set(found) == {'image', 'text'}
    for figure in found.values():
        assert figure['ratio'] == pytest.approx(figure['seconds']['torch'] / figure['seconds']['onnxruntime'])
        assert figure['greatest_difference'] <= 1e-4
    assert 'onnxruntime' in printed


def run_gpu(tmp_path, *arguments):
    return run_program(FOLDER / 'gpu.py', '--out', tmp_path, *arguments)


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU, on which it takes minutes')
def test_without_a_gpu_nothing_is_measured(tmp_path):
    code, said = run_gpu(tmp_path)
    assert code == 0 and said.startswith('skipped: there is no GPU here') and not [*tmp_path.iterdir()]


@pytest.mark.slow
def test_the_script_for_a_gpu_measures_a_toy(tmp_path):
    code, said = run_gpu(tmp_path, '--toy', '--parts', 'video checkpointed')
    assert code == 0, said
    parts = json.loads((tmp_path / 'gpu.json').read_text())['parts']
    assert set(parts) == {'video checkpointed'} and (tmp_path / 'gpu.txt').read_text() in said + '\n'
    for row in parts['video checkpointed']['rows']:
        assert row['flops'] > 0 and row['planned_bytes'] > 0
        assert row['per_second'] == pytest.approx(row['batch'] / row['seconds'])


def test_the_script_for_a_gpu_measures_captions_of_a_toy(tmp_path):
    """Here, in the process that it would start for them."""
    code, said = run_gpu(tmp_path, '--toy', '--only', 'captions')
    assert code == 0, said
    assert {row['equal'] for row in json.loads(said.splitlines()[-1])} == {2}


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--words', '8', '40'], '--words must be at most 33'),
        (['--queries', '3'], '--queries must be an even number, half of them each way, got 3'),
    ],
)
def test_a_wrong_option_is_said(arguments, message):
    code, said = run('retrieval.py', *arguments)
    assert code == 2 and message in said


@pytest.mark.slow
@pytest.mark.parametrize(
    ('arguments', 'keys'),
    [
        (['--images', '8', '--clips', '2', '--rounds', '1'], {'image', 'video'}),
        (['--rows', '3000', '--workers', '2'], {'held_over_list', 'start_seconds', 'resume_seconds_after_10000'}),
    ],
)
def test_samples_of_files_and_shards_are_loaded(tmp_path, arguments, keys):
    words = [FOLDER / 'data_loading.py', *arguments, '--json', tmp_path / 'figures.json']
    if '--workers' in arguments:  # which import the program, and find none where it was forked
        done = subprocess.run([sys.executable, *map(str, words)], capture_output=True, text=True, timeout=600)
        code, said = done.returncode, done.stderr
    else:
        code, said = run_program(*words)
    assert code == 0, said
    found = json.loads((tmp_path / 'figures.json').read_text())
    assert keys <= set(found)
    for figures in (found[name] for name in keys & {'image', 'video'}):
        assert set(figures) == {'files', 'shards', 'bare'} and figures['bare']['share'] == 1
