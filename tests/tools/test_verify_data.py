import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from data_config import CLIP_FRAMES, NUM_IMAGES, call_tool, make_data_config, write_clip
from mmengine.config import Config

from omnivl.commands.verify import reading as verify
from omnivl.datasets import BrokenVisualError, PairDataset
from omnivl.datasets.transforms import LoadAudio, LoadSoundtrack, LoadVideo
from omnivl.datasets.transforms.audio import NO_STREAM, SILENT
from omnivl.datasets.transforms.decoders import VideoDecoder, VideoReader
from omnivl.datasets.verification import ReadingPlan, Visual, read_all, read_visual
from omnivl.registry import DATASETS

sys.path.insert(0, str(Path(__file__).parents[1] / 'datasets' / 'transforms'))
from sound_toys import rising, write_sound

TOOL = vars(verify)
RATE = 8000
NUM_FILES = NUM_IMAGES + 2 + 2  # images with captions, labelled images, clips
ROLES = ('train', 'val', 'test')


@pytest.fixture
def config(tmp_path, vocab_file):
    return make_data_config(tmp_path, vocab_file)


@pytest.fixture
def run(monkeypatch, tmp_path, config):
    """A function that runs the tool without worker processes; returns exit code and list."""

    def call(*options):
        out = tmp_path / 'out/bad.txt'
        code = call_tool(monkeypatch, 'verify_data.py', config, '--out', out, '--workers', 0, *options)
        return code, out.read_text() if out.exists() else None

    return call


def make_plan(config):
    return ReadingPlan(TOOL['build_datasets'](Config.fromfile(config), ROLES))


class Loader:
    """Reads nothing; says what the name of the file says."""

    def __call__(self, info):
        name = Path(info['visual']).name
        if name.startswith('crash'):
            os.kill(os.getpid(), signal.SIGKILL)
        if name.startswith('bad'):
            raise BrokenVisualError(name, 'told so')
        if name.startswith('big'):
            raise MemoryError
        return info


def toys(*names):
    return [Visual(0, 'toy', name, None) for name in names]


def test_everything_is_read_once(run, config, capsys):
    plan = make_plan(config)
    assert len(plan) == NUM_FILES and plan.items == {
        'pairs': NUM_IMAGES + 1,
        'labels': 2,
        'clips': 2,
        'test': NUM_IMAGES,
    }
    assert len({visual.path for visual in plan.visuals(np.array([], np.uint64))}) == NUM_FILES
    assert run() == (0, '')
    output = capsys.readouterr()
    table = [line.split() for line in output.out.splitlines() if line.split()[0] in plan.items]
    assert [row[:3] for row in table] == [
        ['pairs', '5', '4'], ['labels', '2', '2'], ['clips', '2', '2'], ['test', '4', '0'],
    ]  # fmt: skip
    assert f'files {NUM_FILES}/{NUM_FILES} 100%' in output.err and 'left 0 bad' in output.err


def test_the_list_is_what_the_datasets_take(run, tmp_path, config, capsys):
    (tmp_path / 'images/1.png').write_bytes(b'nothing')
    (tmp_path / 'images/2.png').unlink()
    clip = tmp_path / 'videos/a/1.mp4'
    clip.write_bytes(clip.read_bytes()[:-300])
    code, text = run()
    assert code == 1 and '3 bad files: put bad_files=' in capsys.readouterr().out
    lines = text.splitlines()
    assert [line for line in lines if line[0] != '#'] == [
        str(tmp_path / 'images/1.png'), str(tmp_path / 'images/2.png'), str(clip),
    ]  # fmt: skip
    assert lines[2] == '# pairs: there is no such file' and 'cut short' in lines[4]

    config.write_text(
        config.read_text().replace(
            "'name': 'pairs'", f"'name': 'pairs', 'bad_files': {str(tmp_path / 'out/bad.txt')!r}"
        )
    )
    parts = Config.fromfile(config).train_dataloader.image.dataset.datasets
    dataset = DATASETS.build(parts[0])
    assert isinstance(dataset, PairDataset) and len(dataset) == NUM_IMAGES + 1 - 2
    # Another run has to find them again, though the dataset leaves them out now.
    assert run() == (1, text)


def test_a_clip_is_decoded_to_its_last_frame():
    asked = []

    class Reader(VideoReader):
        def _read(self, indices):
            asked.extend(indices)
            if 35 in indices:
                raise ValueError('damage')
            return [np.zeros((2, 2, 3), np.uint8) for _ in indices]

        def close(self):
            asked.append('closed')

    class Decoder(VideoDecoder):
        def open(self, path, short_side=None, limits=None):
            return Reader(path, np.arange(CLIP_FRAMES) / 10, 10.0)

        _open = None

    loader = LoadVideo(num_frames=1, decoder=Decoder())
    assert read_visual([loader], Visual(0, 'toy', 'x', (0.0, 3.0))) is None
    assert asked == [*range(30), 'closed']
    assert 'cannot be decoded: damage' in read_visual([loader], Visual(0, 'toy', 'x', None))
    assert asked[-1] == 'closed'
    assert 'outside the video' in read_visual([loader], Visual(0, 'toy', 'x', (9.0, 10.0)))


def test_sounds_are_heard_to_their_end(tmp_path):
    tone = rising(2.0, RATE)
    write_sound(tmp_path / 'good.mp4', tone, RATE, 'aac', None, 20)
    write_sound(tmp_path / 'silent.mp4', 0 * tone, RATE, 'aac', None, 20)
    write_clip(tmp_path / 'absent.mp4', 100)
    write_sound(tmp_path / 'late.wav', np.concatenate([np.zeros(61 * RATE, np.float32), tone]), RATE)
    (tmp_path / 'cut.wav').write_bytes((tmp_path / 'late.wav').read_bytes()[:-5000])

    def read(name, *loader, clip=None):
        return read_visual(loader, Visual(0, 'toy', str(tmp_path / name), clip))

    clips, sounds = (LoadVideo(1), LoadSoundtrack(1.0, RATE)), (LoadAudio(1.0, RATE),)
    assert [read(f'{name}.mp4', *clips) for name in ('good', 'silent', 'absent')] == [None, SILENT, NO_STREAM]
    assert read('late.wav', *sounds) is None and read('late.wav', *sounds, clip=(0.0, 60.0)) == SILENT
    assert 'cut short' in read('cut.wav', *sounds) and read('absent.mp4', LoadVideo(1)) is None


def test_clips_without_sound_may_stay(run, config):
    load = "{'type': 'LoadVideo', 'num_frames': 3, 'random': True}"
    heard = f"{load}, {{'type': 'LoadSoundtrack', 'seconds': 1.0}}"
    assert load in config.read_text()
    config.write_text(config.read_text().replace(load, heard))
    code, text = run()
    assert code == 1 and text.count(f'# clips: {NO_STREAM}\n') == 2
    assert run('--allow-silent') == (0, '')


@pytest.mark.parametrize('workers', [0, 2])
def test_reading_says_what_is_wrong(workers):
    names = ['good', 'bad', 'big', *(f'good{number}' for number in range(20))]
    found = {visual.path: reason for visual, reason in read_all([[Loader()]], toys(*names), workers)}
    assert found.pop('bad') == 'told so' and found.pop('big') == 'it does not fit into memory'
    assert set(found) == {*names} - {'bad', 'big'} and not any(found.values())


def test_a_crashing_decoder_costs_one_file():
    names = [f'good{number}' for number in range(30)]
    names[3] = names[25] = 'crash'
    names[3] += '3'
    found = list(read_all([[Loader()]], toys(*names), workers=2))
    assert sorted(visual.path for visual, _ in found) == sorted(names)
    assert {visual.path for visual, reason in found if reason} == {'crash', 'crash3'}
    assert {reason for _, reason in found if reason} == {'the worker that loaded it crashed, 2 times'}


def test_an_interrupted_run_goes_on(run, tmp_path, config, capsys, monkeypatch):
    (tmp_path / 'images/0.png').write_bytes(b'nothing')
    seen = []
    from omnivl.datasets import verification

    def until_third(loader, visual):
        if len(seen) == 3:
            raise KeyboardInterrupt
        seen.append(visual.path)
        return read_visual(loader, visual)

    monkeypatch.setattr(verification, 'read_visual', until_third)
    assert run() == (130, None)
    assert 'the same command goes on from here' in capsys.readouterr().err
    log = tmp_path / 'out/bad.txt.log'
    assert len(log.read_text().splitlines()) == 3
    with log.open('a') as file:
        file.write('["cut off')

    monkeypatch.setattr(verification, 'read_visual', lambda *args: seen.append(args[1].path) or read_visual(*args))
    code, text = run()
    assert code == 1 and text.splitlines()[1] == str(tmp_path / 'images/0.png')
    assert len(seen) == len(set(seen)) == NUM_FILES
    assert '3 files were read before' in capsys.readouterr().err
    assert not log.exists()


def test_a_log_of_other_files_counts_for_nothing(tmp_path, config):
    log = tmp_path / 'log'
    plan = make_plan(config)
    log.write_text(''.join(json.dumps([key, 'pairs', 'x', 'y']) + '\n' for key in (1, 2**64 - 1, int(plan.keys[2]))))
    done, tally = TOOL['read_log'](log, plan)
    assert done.tolist() == [plan.keys[2]] and tally.bad == {'pairs': 1}


def test_roles_choose_the_data(config):
    cfg = Config.fromfile(config)
    assert [dataset.name for dataset in TOOL['build_datasets'](cfg, ['test'])] == ['test']


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--roles', 'val'], 'the config has no data for val'),
        (['--roles', 'tain'], "invalid choice: 'tain'"),
        (['--workers', '-1'], '--workers must not be negative'),
    ],
)
def test_errors_have_an_exit_code_of_their_own(run, capsys, options, message):
    assert run(*options)[0] == 2
    assert message in capsys.readouterr().err


def test_missing_data_is_named(run, tmp_path, config, capsys):
    (tmp_path / 'videos.csv').unlink()
    assert run()[0] == 2
    assert "videos.csv' does not exist; set 'ann_file'" in capsys.readouterr().err
    config.unlink()
    assert run()[0] == 2


def test_a_pipeline_without_a_loader_is_an_error(config):
    dataset = TOOL['build_datasets'](Config.fromfile(config), ['test'])[0]
    dataset.transforms = dataset.transforms[1:]
    with pytest.raises(ValueError, match="'test' has no transform that is named Load"):
        ReadingPlan([dataset])


def test_help_has_an_example(monkeypatch, capsys):
    assert call_tool(monkeypatch, 'verify_data.py', '--help') == 0
    assert 'python tools/verify_data.py configs/' in capsys.readouterr().out


def test_what_a_probe_is_trained_on_is_read_too(config):
    dataset = Config.fromfile(config).test_dataloader['image.retrieval'].dataset
    scored, train, val = (dict(dataset=dict(dataset, name=name)) for name in ('scored', 'train', 'val'))
    probe = dict(
        test_dataloader={'image.probe': scored}, test_evaluator={'image.probe': dict(train=train, val=val, holdout=0.5)}
    )
    assert [dataset.name for dataset in TOOL['build_datasets'](Config(probe), ROLES)] == ['scored', 'train', 'val']


def test_copies_of_the_evaluations_files_go_into_a_list(run, tmp_path, config, capsys):
    code, text = run('--overlap')
    names = [str(tmp_path / f'images/{number}.png') for number in range(NUM_IMAGES)]  # trained and tested on
    assert code == 1 and [line for line in text.splitlines() if line[0] != '#'] == names
    assert "put bad_files='" in capsys.readouterr().out
    assert run('--overlap', '--roles', 'train')[0] == 2 and 'no training and evaluation' in capsys.readouterr().err
