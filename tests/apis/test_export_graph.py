"""Graphs of a model: each is the model at sizes it was not made with, and the lines of the README beside it work."""

import re
import subprocess
from contextlib import chdir, redirect_stdout
from io import StringIO

import numpy as np
import onnxruntime
import pytest
import torch
from api_world import picture, write_checkpoint, write_config

from omnivl.apis import OmniVLInferencer
from omnivl.commands.main import main

pytestmark = pytest.mark.slow
MADE = {}  # (task, format) -> folder and inferencer: an export takes seconds
TASKS = {
    'pretraining': dict(type='OmniVLPretrain'),
    'captions': dict(type='OmniVLCaption', prompt='w3 w7'),
    'answers': dict(type='OmniVLQA'),
    'classes': dict(type='OmniVLClassifier', num_classes=3),
}
COVER = [dict(type='Resize', size=40, keep_ratio=True), dict(type='CenterCrop', size=32)]


@pytest.fixture
def files(tiny_config, world, tmp_path_factory):
    """A function that writes config and checkpoint of a task, with pipelines that end at 32 pixels."""

    def make(task, modalities=('image',), size=(dict(type='Resize', size=32),)):
        trunk = dict(depth=1, time_stride=2 if task == 'captions' else 1)
        model = tiny_config(**TASKS[task], trunk=trunk)
        tokenize = dict(type='TokenizeText', tokenizer=model['trunk']['tokenizer'], max_length=9)
        text = [dict(type='CleanQuestion' if task == 'answers' else 'CleanCaption', max_words=10), tokenize]
        steps = [*size, *([] if task == 'classes' else text), dict(type='PackSample')]
        loaders = dict(image=dict(type='LoadImage'), video=dict(type='LoadVideo', num_frames=4))
        keys = {f'{modality}_test_pipeline': [loaders[modality], *steps] for modality in modalities}
        folders = dict(type='ImageNetFolder', visual_root=str(world.root / 'images'))
        dataset = dict(type='LabelDataset', name='labels', annotations=folders, pipeline=[loaders['image'], *steps])
        test = dict(image=dict(batch_size=4, num_workers=0, dataset=dataset)) if task == 'classes' else None
        config = write_config(world.root, model, **keys, test_dataloader=test, test_evaluator=None, test_cfg=None)
        return config, write_checkpoint(tmp_path_factory.mktemp('model') / f'{task}.pth', model)

    return make


@pytest.fixture
def exported(files, tmp_path_factory):
    """A function that exports a task as a user does: the folder, and an inferencer of the same model."""

    def make(task, form, *options):
        if (task, form) not in MADE:
            config, checkpoint = files(task, *options)
            folder = tmp_path_factory.mktemp('graphs') / f'{task}_{form}'
            main(['export', str(config), str(checkpoint), '--format', form, '--out', str(folder)])
            MADE[task, form] = folder, OmniVLInferencer(config, checkpoint, device='cpu')
        return MADE[task, form]

    return make


@pytest.fixture
def pretrained(exported):
    return exported('pretraining', 'onnx', ('image', 'video'), COVER)


def run_readme(folder, image):
    """Run the lines of README.md in its folder, with an image in the place of a person's: what they print, by name."""
    lines = re.search(r'```python\n(.*?)```', (folder / 'README.md').read_text(), re.S)[1]
    image.save(folder / 'photo.jpg', 'PNG')  # which is told by the content, and changes no pixel
    printed = StringIO()
    try:
        with chdir(folder), redirect_stdout(printed), torch.no_grad():
            exec(compile(lines, 'README.md', 'exec'), {})
    finally:
        (folder / 'photo.jpg').unlink()
    return {name: value for name, _, value in (line.partition(' ') for line in printed.getvalue().splitlines())}


def greedy(inferencer, image):
    return inferencer.caption(image, 'greedy', max_length=20, min_length=0)['caption']


@torch.no_grad()
def test_the_readme_of_a_pretrained_model_finds_matches_and_writes(pretrained):
    folder, inferencer = pretrained
    graphs = ('image', 'video', 'text', 'matcher', 'writer')
    files = {*(f'{name}.onnx' for name in graphs), 'README.md', 'SHA256SUMS', 'tokenizer.json', 'vocab.txt'}
    assert {path.name for path in folder.iterdir()} == files
    subprocess.run(['sha256sum', '--check', '--strict', '--quiet', 'SHA256SUMS'], cwd=folder, check=True)
    image = picture(5, 40, 40)  # of the size that comes before the crop, so that nobody's interpolation counts
    found = run_readme(folder, image)
    with pytest.warns(UserWarning, match="does not know 'a', 'photo'"):
        text, row = inferencer.texts('a photo')[1], inferencer.match(image, 'a photo')
    similarity = float(inferencer.features(image)['feature'] @ inferencer.text_features(text)[0])
    assert float(found['similarity']) == pytest.approx(similarity, abs=1e-4)
    assert float(found['match']) == pytest.approx(row['score'], abs=1e-4)
    assert found['written'] == greedy(inferencer, image)


@torch.no_grad()
def test_a_clip_in_a_batch_and_padded_texts_are_what_they_are_alone(pretrained, world):
    folder, inferencer = pretrained

    def run(name, **inputs):
        return onnxruntime.InferenceSession(folder / f'{name}.onnx').run(None, inputs)

    clips = [[picture(seed + frame, 40, 40) for frame in range(4)] for seed in (0, 9, 20)]
    pixels = np.stack([[np.asarray(frame.crop((4, 4, 36, 36))).transpose(2, 0, 1) for frame in clip] for clip in clips])
    embedding, _, tokens = run('video', pixels=pixels)
    for clip, vector in zip(clips, embedding, strict=True):
        assert vector == pytest.approx(inferencer.features([clip])[0]['feature'], abs=1e-4)
    texts = ['w4 w0', 'w0 w1 w2 w3', 'w9']
    ids = np.zeros((3, 7), dtype=np.int64)
    for row, alone in zip(ids, inferencer.texts(texts)[1], strict=True):
        row[: len(alone)] = alone
    inputs = dict(text_ids=ids, text_mask=ids != 0)
    assert run('text', **inputs)[0] == pytest.approx(inferencer.text_features(inferencer.texts(texts)[1]), abs=1e-4)
    expected = [inferencer.match([clip], text)[0]['score'] for clip, text in zip(clips, texts, strict=True)]
    assert run('matcher', **inputs, tokens=tokens)[0] == pytest.approx(expected, abs=1e-4)


def test_the_readme_says_what_goes_in(pretrained):
    text = (pretrained[0] / 'README.md').read_text()
    for said in (
        '| `video.onnx` | in | `pixels` | uint8 | (batch, frames, 3, 32, 32) |',
        '| `matcher.onnx` | in | `text_mask` | bool | (batch, length) |',
        '- videos: 4 frames, the middle ones of as many equal parts of the file, `Resize(size=(40, 40), ',
        'mean [0.48145467, 0.45782752, 0.40821073], std [0.26862954, 0.26130261, 0.2757771]',
        'image = image.crop((4, 4, 36, 36))',
        '[PAD] 0, [UNK] 1, [CLS] 2, [SEP] 3, [DEC] 32, [ENC] 33',
        'cut to 9 ids',
        'softmax of the similarities over ',
        '| video | video_embedding | batch 1/2/5, frames 4/2/7 |',
    ):
        assert said in text, said


def test_the_readme_of_a_captioner_begins_behind_its_prompt(exported):
    folder, inferencer = exported('captions', 'torch_export', ('image', 'video'))
    text = (folder / 'README.md').read_text()
    assert 'written = [32, 8, 12]' in text  # [DEC] w3 w7
    # A stride of two frames from token to token: two frames are one token, for which such a graph does not hold.
    assert '`frames` from 3 on' in text and 'frames 4/3/7 |' in text
    image = picture(6, 32, 32)
    assert run_readme(folder, image)['written'] == greedy(inferencer, image)
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    whole = sum(4 * parameter.numel() for parameter in inferencer.model.parameters())
    assert whole / 4 < sizes['writer.pt2'] and sizes['image.pt2'] < 4 * whole


def test_the_readme_of_a_classifier_names_the_class(exported):
    folder, inferencer = exported('classes', 'onnx')
    assert {path.name for path in folder.iterdir()} == {
        'image.onnx', 'image_classifier.onnx', 'classes.txt', 'README.md', 'SHA256SUMS'
    }  # fmt: skip
    classes = (folder / 'classes.txt').read_text().splitlines()
    images = [picture(seed, 32, 32) for seed in range(4)]
    found = [classes[int(run_readme(folder, image)['class'].split()[0])] for image in images]
    assert found == [row['predicted'] for row in inferencer.classify(images)]


def test_the_readme_of_a_model_that_answers_answers(exported):
    folder, inferencer = exported('answers', 'torch_export')
    image = picture(8, 32, 32)
    with pytest.warns(UserWarning, match='does not know'):
        expected = inferencer.answer(image, 'what is it', options=dict(method='greedy', max_length=20))['answer']
    assert run_readme(folder, image)['written'] == expected
