"""Plausible mistakes on the command lines: each ends with one line that says what was got, what is allowed, what to do.

``TABLE`` has a row per mistake: the tool, its arguments and what the line has to say. Words in capitals stand for files
of :func:`make_world`, such as MODEL or PHOTOS.
"""

import io
import json
import re
import runpy
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image

from omnivl.engine import read_config
from omnivl.registry import MODELS
from omnivl.storage import save_checkpoint

ROOT = Path(__file__).parents[1]


class Ending(NamedTuple):
    """How a command ended."""

    code: int
    output: str
    errors: str

    @property
    def line(self) -> str:
        """The line of the message, which begins with ``error:`` or the name of the command; '' if there is none."""
        return next((line for line in self.errors.splitlines() if re.match(r'(\w+\.py: )?error: ', line)), '')


def run_tool(name: str, arguments: list[str]) -> Ending:
    """Run a command of ``tools/`` in this process; any exception but its exit is one of ours to mend."""
    output, errors = io.StringIO(), io.StringIO()
    before, code = sys.argv, 0
    sys.argv = [name, *arguments]
    try:
        with redirect_stdout(output), redirect_stderr(errors):
            runpy.run_path(str(ROOT / 'tools' / f'{name}.py'), run_name='__main__')
    except SystemExit as end:
        if isinstance(end.code, str):
            errors.write(f'{end.code}\n')
        code = end.code if isinstance(end.code, int) else int(bool(end.code))
    finally:
        sys.argv = before
    return Ending(code, output.getvalue(), errors.getvalue())


OTHERS = {
    'MODEL': 'model.pth',
    'OTHER_MODEL': 'other.pth',
    'CUT': 'cut.pth',
    'TEXT': 'captions.txt',
    'TEXT_JPG': 'text.jpg',
    'EMPTY_FILE': 'empty.txt',
    'LATIN': 'latin.txt',
    'JSON': 'karpathy.json',
    'EMPTY': 'empty_folder',
    'PHOTO': 'photos/photo.png',
}


def make_world(folder: Path) -> dict[str, str]:
    """Write a tiny model, a config that trains it, pictures, and files that are not what they are given for."""
    tiny = runpy.run_path(str(ROOT / 'tools/chaos_config.py'))['write_tiny_config'](folder)
    text = Path(tiny).read_text()
    config = read_config(tiny)
    data = config.train_dataloader.image.dataset.to_dict()
    test = dict(type='RetrievalDataset', name='test', annotations=data['annotations'], pipeline=data['pipeline'])
    test['pipeline'] = [step for step in test['pipeline'] if step['type'] != 'RandomResizedCrop']
    test['pipeline'].insert(1, dict(type='Resize', size=32))
    text += f"""
train_dataloader['image']['num_workers'] = 0
work_dir = {str(folder / 'run')!r}
test_dataloader = {{'image.retrieval': dict(batch_size=8, dataset={test!r})}}
test_evaluator = {{'image.retrieval': dict(type='RetrievalEvaluation')}}
test_cfg = dict(type='EvaluationLoop')
allow_train_test_overlap = True
"""
    files = {
        'CONFIG': text,
        'SYNTAX': f'{text}\ntrain_cfg = dict(',
        'IMPORTS': f'import no_such_module\n{text}',
        'LAZY': 'from mmengine.config import read_base\nwith read_base():\n    from .nowhere import *\n',
        'NAME': f'{text}\nmax_iters = max_iterations\n',
        'MISSPELT': f"{text}\ntrain_dataloader['image']['dataset']['pipeline'][1]['sizes'] = 3\n",
        'UNKNOWN': f"{text}\nmodel['type'] = 'OmniVLPretrained'\n",
        'NO_VOCAB': text.replace('vocabulary.txt', 'nowhere/vocab.txt'),
        'WORKER': text.replace('vocabulary.txt', 'nowhere/vocab.txt').replace(
            "['num_workers'] = 0", "['num_workers'] = 1"
        ),
        'NO_CAPTIONS': text.replace('captions.json', 'nowhere.json'),
        'NO_MODEL': 'train_cfg = None\n',
        'EMPTY_CONFIG': '',
        'NAN': f"{text}\noptim_wrapper['optimizer']['lr'] = 1e30\ntrain_cfg['max_iters'] = 8\n",
    }
    names = {}
    for name, content in files.items():
        names[name] = str(folder / f'{name.lower()}.py')
        Path(names[name]).write_text(content)
    names |= {name: str(folder / file) for name, file in OTHERS.items()}
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    save_checkpoint(dict(state_dict=model.state_dict()), names['MODEL'])
    save_checkpoint(dict(state_dict=torch.nn.Linear(2, 2).state_dict()), names['OTHER_MODEL'])
    Path(names['CUT']).write_bytes(Path(names['MODEL']).read_bytes()[:5000])
    Path(names['TEXT']).write_text('a red circle\na blue square\n')
    Path(names['TEXT_JPG']).write_text('a red circle\n')
    Path(names['EMPTY_FILE']).write_text('')
    Path(names['LATIN']).write_bytes('ein Kreis über dem Quadrat\n'.encode('latin-1'))
    Path(names['JSON']).write_text(json.dumps([dict(image='0.png', caption='a red circle')]))
    Path(names['EMPTY']).mkdir()
    Path(names['PHOTO']).parent.mkdir()
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(names['PHOTO'])
    names['PHOTOS'] = str(Path(names['PHOTO']).parent)
    names['OUT'] = str(folder / 'out')
    return names


INFER = 'CONFIG MODEL'
TABLE = [
    # infer: the model and its weights
    ('infer', 'nowhere.py MODEL PHOTO --task caption', ['nowhere.py']),
    ('infer', 'nowhere PHOTO --task caption', ['nowhere']),
    ('infer', 'MODEL CONFIG PHOTO --task caption', ['MODEL']),
    ('infer', 'CONFIG --task caption', ['a checkpoint must follow']),
    ('infer', 'CONFIG PHOTO --task caption', ['there is no input']),
    ('infer', 'CONFIG PHOTO PHOTO --task caption', ['PHOTO']),
    ('infer', 'CONFIG nowhere.pth PHOTO --task caption', ['nowhere.pth']),
    ('infer', 'CONFIG EMPTY PHOTO --task caption', ['EMPTY']),
    ('infer', 'CONFIG CUT PHOTO --task caption', ['CUT']),
    ('infer', 'CONFIG TEXT PHOTO --task caption', ['TEXT']),
    ('infer', 'CONFIG OTHER_MODEL PHOTO --task caption', ['does not fit the model']),
    ('infer', 'EMPTY PHOTO --task caption', ['EMPTY']),
    ('infer', 'SYNTAX MODEL PHOTO --task caption', ['SYNTAX']),
    ('infer', 'IMPORTS MODEL PHOTO --task caption', ['no_such_module']),
    ('infer', 'LAZY MODEL PHOTO --task caption', ['nowhere']),
    ('infer', 'NAME MODEL PHOTO --task caption', ['max_iterations']),
    ('infer', 'UNKNOWN MODEL PHOTO --task caption', ['OmniVLPretrained']),
    ('infer', 'NO_MODEL MODEL PHOTO --task caption', ['has no model']),
    ('infer', 'NO_VOCAB MODEL PHOTO --task match --text w1', ['vocab.txt', 'train_tokenizer.py']),
    # infer: the inputs
    ('infer', f'{INFER} nowhere.jpg --task caption', ['nowhere.jpg', 'no such file']),
    ('infer', f'{INFER} nowhere --task caption', ['nowhere']),
    ('infer', f'{INFER} EMPTY --task caption', ['EMPTY', '.jpg']),
    ('infer', f'{INFER} TEXT_JPG --task caption', ['TEXT_JPG']),
    ('infer', f'{INFER} TEXT --task caption', ['TEXT', '--modality']),
    ('infer', f'{INFER} s3://bucket/a.jpg --task caption', ['s3', 'pip install']),
    ('infer', f'{INFER} zip://a.png::https://127.0.0.1:9/a.zip --task caption', ['pip install']),
    ('infer', f'{INFER} https://127.0.0.1:9/a.jpg --task caption', ['127.0.0.1']),
    # infer: the options
    ('infer', f'{INFER} PHOTO', ['--task']),
    ('infer', f'{INFER} PHOTO --task captions', ['captions', 'caption']),
    ('infer', f'{INFER} PHOTO --task caption --device gpu', ['gpu', 'cpu', 'cuda']),
    ('infer', f'{INFER} PHOTO --task caption --device cuda:0', ['cuda', 'cpu']),
    ('infer', f'{INFER} PHOTO --task caption --method best', ['best', 'greedy']),
    ('infer', f'{INFER} PHOTO --task caption --batch-size 0', ['batch', '0']),
    ('infer', f'{INFER} PHOTO --task answer', ['--text']),
    ('infer', f'{INFER} PHOTO --task answer --text w1', ['answer']),
    ('infer', f'{INFER} PHOTO --task match', ['--text']),
    ('infer', f'{INFER} PHOTO --task classify', ['names']),
    ('infer', f'{INFER} PHOTO --task classify --text w1 --text w1', ['different']),
    ('infer', f'{INFER} PHOTO --task classify --text w1 --text w2 --templates w3', ['w3']),
    ('infer', f'{INFER} PHOTO --task classify --text w1 --text w2 -k 0', ['0']),
    ('infer', f'{INFER} PHOTO --task retrieve --text w1 -k 0', ['0']),
    ('infer', f'{INFER} PHOTO --task retrieve', ['--text', '--query']),
    ('infer', f'{INFER} PHOTO --task retrieve --text w1 --query PHOTO', ['--text', '--query']),
    ('infer', f'{INFER} PHOTO --task retrieve --query nowhere.jpg', ['nowhere.jpg']),
    ('infer', f'{INFER} PHOTO --task attention --text w1 --word w9', ['w9']),
    ('infer', f'{INFER} PHOTO --task features --out EMPTY', ['EMPTY']),
    ('infer', f'{INFER} PHOTO --task features --out TEXT/features.json', ['TEXT']),
    ('infer', f'{INFER} PHOTO --task features --modality audio', ['audio', 'image']),
    # train
    ('train', 'nowhere.py', ['nowhere.py']),
    ('train', 'EMPTY', ['EMPTY']),
    ('train', 'TEXT', ['TEXT', '.py']),
    ('train', 'EMPTY_CONFIG', ['EMPTY_CONFIG']),
    ('train', 'SYNTAX', ['SYNTAX']),
    ('train', 'IMPORTS', ['no_such_module']),
    ('train', 'LAZY', ['nowhere']),
    ('train', 'NAME', ['max_iterations']),
    ('train', 'MISSPELT', ["'sizes'", "'size'"]),
    ('train', 'UNKNOWN', ['OmniVLPretrained']),
    ('train', 'NO_VOCAB', ['vocab.txt', 'train_tokenizer.py']),
    ('train', 'WORKER', ['vocab.txt', 'train_tokenizer.py']),
    ('train', 'NO_CAPTIONS', ['nowhere.json']),
    ('train', 'NAN', ['not finite']),
    ('train', 'CONFIG --cfg-options train_cfg.max_iter=3', ["'max_iters'"]),
    ('train', 'CONFIG --cfg-options train_cfg.max_iters', ["'train_cfg.max_iters'", 'KEY=VALUE']),
    ('train', 'CONFIG --cfg-options train_cfg.max_iters=many', ['many']),
    ('train', 'CONFIG --cfg-options optim_wrapper.optimizer.lr=fast', ['fast']),
    ('train', 'CONFIG --cfg-options train_dataloader.image.batch_size=0', ['0']),
    ('train', 'CONFIG --cfg-options train_dataloader.images.batch_size=2', ['images']),
    ('train', 'CONFIG --cfg-options load_from=nowhere.pth', ['nowhere.pth']),
    ('train', 'CONFIG --amp fp32', ['fp32', 'bf16']),
    ('train', 'CONFIG --amp fp16', ['fp16']),
    ('train', 'CONFIG --resume nowhere.pth', ['nowhere.pth']),
    ('train', 'CONFIG --work-dir TEXT', ['TEXT']),
    ('train', 'CONFIG --launcher mpirun', ['mpirun', 'pytorch']),
    # test
    ('test', 'nowhere.py MODEL', ['nowhere.py']),
    ('test', 'CONFIG', ['which weights?']),
    ('test', 'CONFIG nowhere.pth', ['nowhere.pth']),
    ('test', 'retrieval_coco nowhere.pth', ['there is no checkpoint nowhere.pth']),  # nor is its data
    ('test', 'CONFIG EMPTY', ['EMPTY']),
    ('test', 'CONFIG OTHER_MODEL', ['does not fit the model']),
    ('test', 'CONFIG CUT', ['CUT']),
    ('test', 'NO_VOCAB MODEL', ['vocab.txt']),
    ('test', 'MODEL CONFIG', ['MODEL']),
    # the others
    ('export_weights', 'CONFIG MODEL', ['--out']),
    ('export_weights', 'CONFIG nowhere.pth --out OUT', ['nowhere.pth']),
    ('export_weights', 'CONFIG OTHER_MODEL --out OUT', ['does not fit the model']),
    ('export_weights', 'CONFIG MODEL --out TEXT', ['TEXT']),
    ('export_weights', 'CONFIG MODEL --out OUT --format hf', ['hf', 'onnx']),
    ('export_weights', 'NO_VOCAB MODEL --out OUT', ['vocab.txt']),
    ('convert_weights', '--from blp MODEL --config CONFIG --out OUT.pth', ['blp', 'blip']),
    ('convert_weights', '--from blip nowhere.pth --config CONFIG --out OUT.pth', ['nowhere.pth']),
    ('convert_weights', '--from blip OTHER_MODEL --config CONFIG --out OUT.pth', ['OTHER_MODEL']),
    ('convert_weights', '--from timm TEXT --config CONFIG --out OUT.pth', ['TEXT']),
    ('convert_weights', '--from blip MODEL --config CONFIG --out OUT', ['.pth']),
    ('convert_weights', '--from blip --config CONFIG --out OUT.pth', ['--from']),
    ('train_tokenizer', '--captions nowhere.txt --out OUT.txt', ['nowhere.txt']),
    ('train_tokenizer', '--captions EMPTY --out OUT.txt', ['EMPTY']),
    ('train_tokenizer', '--captions EMPTY_FILE --out OUT.txt', ['EMPTY_FILE']),
    ('train_tokenizer', '--captions JSON --out OUT.txt', ['JSON']),
    ('train_tokenizer', '--captions PHOTO --out OUT.txt', ['PHOTO']),
    ('train_tokenizer', '--captions LATIN --out OUT.txt', ['LATIN', 'UTF-8']),
    ('train_tokenizer', '--captions TEXT --out OUT.txt --size 3', ['size=3']),
    ('train_tokenizer', '--captions TEXT --out EMPTY', ['EMPTY']),
    ('browse_dataset', 'nowhere.py', ['nowhere.py']),
    ('browse_dataset', 'CONFIG --loader images', ['images', 'image']),
    ('browse_dataset', 'CONFIG --role val', ['val', 'train']),
    ('browse_dataset', 'CONFIG --number 0', ['--number']),
    ('browse_dataset', 'CONFIG --out sheet', ['sheet.png']),
    ('browse_dataset', 'CONFIG --number 2 --out TEXT/sheet.png', ['TEXT']),
    ('browse_dataset', 'NO_VOCAB', ['vocab.txt']),
    ('verify_data', 'nowhere.py', ['nowhere.py']),
    ('verify_data', 'SYNTAX', ['SYNTAX']),
    ('verify_data', 'CONFIG --roles val', ['val']),
    ('verify_data', 'NO_CAPTIONS --workers 0', ['nowhere.json']),
    ('verify_data', 'CONFIG --workers 0 --out TEXT/bad.txt', ['TEXT']),
    ('verify_data', 'CONFIG --workers -1', ['--workers']),
    ('get_flops', 'nowhere.py', ['nowhere.py']),
    ('get_flops', 'NO_MODEL', ['has no model']),
    ('get_flops', 'UNKNOWN', ['OmniVLPretrained']),
    ('get_flops', 'CONFIG --size 33', ['33']),
    ('get_flops', 'CONFIG --frames 0', ['0']),
]


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp('mistakes') / 'world')


def with_files(words: str, world: dict[str, str]) -> str:
    """Put the paths in the place of the names in capitals, longest name first."""
    names = sorted(world, key=len, reverse=True)
    return re.sub(rf'(?<![\w=])({"|".join(names)})(?![A-Z_])', lambda found: world[found[0]], words)


@pytest.mark.parametrize(('tool', 'arguments', 'said'), TABLE, ids=[f'{tool} {words}' for tool, words, _ in TABLE])
def test_a_mistake_ends_with_a_line_that_helps(world, monkeypatch, tool, arguments, said):
    monkeypatch.chdir(Path(world['CONFIG']).parent)
    ended = run_tool(tool, with_files(arguments, world).split())
    assert ended.code not in (0, None) and 'Traceback' not in ended.errors
    for part in said:
        assert with_files(part, world) in ended.line


def test_there_are_sixty_mistakes():
    assert len(TABLE) >= 60


def test_classes_answers_and_words_may_be_given_with_commas(world):
    both = [['--text', 'w1', '--text', 'w2 w3'], ['--text', 'w1, w2 w3'], ['--text', 'w1,w2 w3,']]
    model = [world['CONFIG'], world['MODEL'], world['PHOTO'], '--device', 'cpu']
    found = [run_tool('infer', [*model, '--task', 'classify', *words]).output for words in both]
    assert set(json.loads(found[0])['scores']) == {'w1', 'w2 w3'} and found[1:] == found[:1] * 2
    # A text to match is a sentence, which may have commas.
    assert json.loads(run_tool('infer', [*model, '--task', 'match', '--text', 'w1, w2']).output)['text'] == 'w1, w2'
