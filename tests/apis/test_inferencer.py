import json
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from api_world import write_config
from PIL import Image

from omnivl.apis import OmniVLInferencer
from omnivl.apis.export import export_folder
from omnivl.datasets.transforms import LoadVideo
from omnivl.storage import CheckpointError

ROOT = Path(__file__).parents[2]
NAMES = ['w1', 'w2', 'w3']


def numbers(value):
    """All numbers in an answer, in order."""
    if isinstance(value, dict):
        return [number for key in value for number in numbers(value[key])]
    if isinstance(value, list | np.ndarray):
        return [number for item in value for number in numbers(item)]
    return [float(value)] if isinstance(value, float | np.floating) else []


def words(value):
    """All words in an answer, in order, keys included; the place in a list left out."""
    if isinstance(value, dict):
        return [word for key in value for word in [key, *words(value[key])]]
    if isinstance(value, list):
        return [word for item in value for word in words(item)]
    return [value] if isinstance(value, str) and not value.startswith('#') else []


def assert_same(one, two, tolerance=1e-5):
    assert words(one) == words(two)
    np.testing.assert_allclose(numbers(one), numbers(two), rtol=0, atol=tolerance)


TASKS = {
    'greedy': lambda model, x: model.caption(x, 'greedy'),
    'beam': lambda model, x: model.caption(x),
    'nucleus': lambda model, x: model.caption(x, 'nucleus', options=dict(top_p=0.9, seed=3)),
    'match': lambda model, x: model.match(x, ['w1 w2', 'w3 w4 w5 w6 w7']),
    'classify': lambda model, x: model.classify(x, NAMES, ['w4 {}', '{} w5']),
    'features': lambda model, x: model.features(x),
    'retrieve': lambda model, x: model.retrieve(x, ['w1', 'w2 w3 w4', 'w5 w6', 'w8 w9 w1'], k=3, rerank=2),
}


@pytest.mark.parametrize('task', TASKS)
def test_a_batch_returns_what_one_by_one_returns(world, mixture, task):
    alone = [TASKS[task](world.inferencer(batch_size=1), [item])[0] for item in mixture]
    assert len(set(map(repr, alone))) == len(mixture)  # different answers, or the law says nothing
    for batch_size in (2, 16):
        assert_same(TASKS[task](world.inferencer(batch_size=batch_size), mixture), alone)
    order = [5, 0, 8, 3, 1, 7, 2, 6, 4]
    shuffled = TASKS[task](world.inferencer(batch_size=3), [mixture[place] for place in order])
    assert_same(shuffled, [alone[place] for place in order])


def test_one_gives_a_dict_and_a_list_a_list(world, inferencer):
    path = world.images[0]
    single = inferencer.caption(path)
    assert single['input'] == str(path) and single['modality'] == 'image' and single['score'] < 0
    assert inferencer.caption([path]) == [single]
    rows = inferencer.caption(world.root / 'images')
    assert [row['input'] for row in rows] == sorted(map(str, world.images))
    both = inferencer.caption([world.root / 'videos', path])
    assert [row['modality'] for row in both] == ['video'] * len(world.videos) + ['image']


def test_files_pictures_arrays_and_lists_of_frames_agree(world, inferencer):
    path, picture = world.images[1], Image.open(world.images[1])
    expected = inferencer.features(path)['feature']
    for form in (picture, np.array(picture), np.asarray(picture), path.as_uri()):
        assert np.array_equal(inferencer.features(form)['feature'], expected)
    path = world.videos[2]
    frames = LoadVideo(30)({'visual': str(path)})['frames']
    expected = inferencer.features(path)['feature']
    for form in ([frames], [list(frames)], [[Image.fromarray(frame) for frame in frames]], [path.as_uri()]):
        assert np.array_equal(inferencer.features(form)[0]['feature'], expected)
    assert np.array_equal(inferencer.features(list(frames), modality='video')['feature'], expected)
    assert len(inferencer.features(list(frames))) == 30  # without it they are thirty images


def test_answers_are_those_of_the_test_tool(monkeypatch, tmp_path, world, inferencer):
    arguments = [world.config, world.checkpoint, '--work-dir', tmp_path]
    monkeypatch.setattr(sys, 'argv', ['test.py', *map(str, arguments)])
    runpy.run_path(str(ROOT / 'tools/test.py'), run_name='__main__')

    def predictions(name):
        return json.loads((tmp_path / f'predictions/{name}.json').read_text())

    for modality in ('image', 'video'):
        rows = predictions(f'{modality}.caption')
        for method in ('greedy', 'beam'):
            expected = [dict(caption=row[method], score=row['score'][method]) for row in rows]
            found = inferencer.caption([row['visual'] for row in rows], method)
            assert_same([dict(caption=row['caption'], score=row['score']) for row in found], expected)
        rows = predictions(f'{modality}.retrieval')
        of_id = {row['sample_id']: row['visual'] for row in rows}
        visuals, texts = list(of_id.values()), [caption for row in rows for caption in row['captions']]
        found = inferencer.retrieve([row['captions'][0] for row in rows], visuals, rerank=3)
        expected = [
            [dict(input=of_id[one['sample_id']], score=one['score'], similarity=one['similarity']) for one in top]
            for top in (row['top_visuals'] for row in rows)
        ]
        assert_same([row['results'] for row in found], expected, tolerance=1e-4)  # scores are divided by 0.07
        found = inferencer.retrieve(visuals, texts, rerank=3)
        expected = [
            [dict(text=one['caption'], score=one['score'], similarity=one['similarity']) for one in top]
            for top in (row['top_captions'] for row in rows)
        ]
        assert_same([row['results'] for row in found], expected, tolerance=1e-4)
    rows = predictions('image.zero_shot')
    found = inferencer.classify([row['visual'] for row in rows], NAMES)
    assert_same([row['scores'] for row in found], [row['scores'] for row in rows])


def test_an_exported_folder_gives_the_same(tmp_path, world, inferencer, mixture):
    from mmengine.config import Config

    export_folder(Config.fromfile(world.config), world.checkpoint, tmp_path / 'exported')
    exported = OmniVLInferencer(tmp_path / 'exported', device='cpu', batch_size=4)
    for task in TASKS.values():
        assert_same(task(exported, mixture), task(inferencer, mixture), tolerance=1e-6)
    inferencer.build_gallery(world.root / 'images').save(tmp_path / 'index')
    assert len(exported.load_gallery(tmp_path / 'index')) == len(world.images)


def test_broken_inputs_become_entries_and_the_rest_goes_on(tmp_path, world, inferencer, mixture):
    cut = tmp_path / 'cut.png'
    cut.write_bytes(world.images[0].read_bytes()[:60])
    inputs = [cut, *mixture, 'nowhere.mp4', np.zeros((4, 4), np.uint8)]
    rows = inferencer.caption(inputs)
    assert_same(rows[1:-2], inferencer.caption(mixture))
    assert 'cannot be read as an image' in rows[0]['error'] and 'caption' not in rows[0]
    assert rows[-2] == dict(input='nowhere.mp4', modality='video', error='there is no such file')
    assert 'got uint8 (4, 4)' in rows[-1]['error']
    assert 'error' in inferencer.match('nowhere.png', 'w1') and 'error' in inferencer.classify('nowhere.png', NAMES)
    assert inferencer.retrieve('nowhere.png', ['w1'])['error'] == 'there is no such file'


def test_a_match_is_the_probability_of_the_pair(world, inferencer):
    several = inferencer.match(world.images, ['w1 w2', 'w3'])
    single = inferencer.match(world.images[0], 'W1, w2.')
    assert single['text'] == 'w1, w2'
    first = inferencer.match(world.images[0], 'w1 w2')
    assert first['score'] == pytest.approx(several[0]['matches'][0]['score'], abs=1e-5) and 0 < first['score'] < 1
    visual, text = inferencer.features(world.images[0])['feature'], inferencer.features('w1 w2')['feature']
    assert first['similarity'] == pytest.approx(float(visual @ text), abs=1e-5)
    assert np.linalg.norm(text) == pytest.approx(1, abs=1e-5)


def test_a_model_without_questions_says_so(world, inferencer):
    message = r'answers questions about visuals, which this OmniVLPretrain does not: it has no generate_answers, rank_'
    with pytest.raises(TypeError, match=message):
        inferencer.answer(world.images[0], 'what?')


def test_texts(inferencer):
    with pytest.warns(UserWarning, match=r"a text of 14 word pieces is longer .* only: 'w1 w1 w1 w1 w1 w1 w1'"):
        cut = inferencer.features(' '.join(['w1'] * 12))['feature']
    assert np.allclose(cut, inferencer.features(' '.join(['w1'] * 7))['feature'])
    for text, message in [('...', 'is empty after cleaning'), ('', 'cannot be used')]:
        with pytest.raises(ValueError, match=message):
            inferencer.match('nowhere.png', text)
    with pytest.raises(ValueError, match='the list of texts is empty'):
        inferencer.match('nowhere.png', [])
    with pytest.raises(TypeError, match='a text must be a str, got a int: 3'):
        inferencer.match('nowhere.png', [3])


def test_words_that_the_vocabulary_does_not_know_are_named(world, inferencer):
    with pytest.warns(UserWarning, match=r"does not know 'zebra', 'crossing' of 'w1 Zebra crossing zebra'"):
        inferencer.match(world.images[0], 'w1 Zebra crossing zebra')
    with pytest.warns(UserWarning, match=r"does not know 'zebra' of 'w1 zebra'"):
        inferencer.retrieve('w1 zebra', world.images)


def test_wrong_arguments(tmp_path, world, inferencer):
    path = world.images[0]
    for call, message in [
        (lambda: world.inferencer(batch_size=0), 'batch_size must be at least 1'),
        (lambda: OmniVLInferencer(world.config), 'alone has no weights'),
        (lambda: OmniVLInferencer(world.checkpoint, world.checkpoint), 'is no config'),
        (lambda: OmniVLInferencer(tmp_path, world.checkpoint), 'a checkpoint goes with a config'),
        (lambda: inferencer.caption(path, 'best'), "methods has 'best'"),
        (lambda: inferencer.caption(path, 'beam', options=dict(beams=3)), "has no option 'beams'"),
        (lambda: inferencer.classify(path, ['w1', 'w1']), 'different names'),
        (lambda: inferencer.classify(path, ['w1'], 'w2'), "templates='w2'"),
        (lambda: inferencer.classify(path, ['w1'], top_k=0), 'top_k must be at least 1'),
        (lambda: inferencer.retrieve('w1', [path], k=0), 'k must be at least 1'),
        (lambda: inferencer.retrieve('w1', ['w2', 'w3'], rerank=2), 'are of one kind'),
        (lambda: inferencer.retrieve('w1', ['nowhere.png']), 'nothing in the gallery can be used'),
        (lambda: inferencer.retrieve('w1', ['w2', Path('a.png')]), 'of texts or of visuals, got both'),
        (lambda: inferencer.caption(path, modality='sound'), "the inputs: modality='sound'; allowed are"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(FileNotFoundError, match='there is no config'):
        OmniVLInferencer('nowhere.py', world.checkpoint)
    with pytest.raises(FileNotFoundError, match='there is no checkpoint'):
        OmniVLInferencer(world.config, 'nowhere.pth')


def test_a_work_directory_stands_for_its_last_checkpoint(tmp_path, world, inferencer):
    with pytest.raises(CheckpointError, match='has no checkpoint'):
        OmniVLInferencer(world.config, tmp_path)
    shutil.copy(world.checkpoint, tmp_path / 'iter_3.pth')
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'iter_3.pth'))
    of_folder = OmniVLInferencer(world.config, tmp_path, device='cpu')
    assert of_folder.checksum == inferencer.checksum


def test_long_lists_show_how_far_they_are(monkeypatch, capsys, world, inferencer):
    monkeypatch.setenv('TERM', 'xterm')
    monkeypatch.setattr(sys.stderr, 'isatty', lambda: True)
    inferencer.caption(world.images)
    shown = capsys.readouterr().err
    assert 'captions' in shown and f'{len(world.images)}/{len(world.images)}' in shown


def test_captions_with_a_prompt_and_with_draws(world, inferencer):
    first = inferencer.caption(world.images[0], 'greedy')['caption'].split()
    rest = inferencer.caption(world.images[0], 'greedy', prompt=' '.join(first[:2]), max_length=6, min_length=0)
    assert rest['caption'].split()[:1] == first[2:3]
    options = dict(top_p=0.9, seed=1)
    drawn = [inferencer.caption(world.images[0], 'nucleus', options=options) for _ in range(2)]
    assert drawn[0] == drawn[1]


def test_a_modality_without_a_pipeline_is_an_error_of_the_entry(world, tiny_config):
    pipeline = [
        dict(type='LoadImage'),
        dict(type='TokenizeText', tokenizer=tiny_config()['trunk']['tokenizer'], max_length=9),
    ]
    pipeline.append(dict(type='PackSample'))
    none = dict(test_dataloader=None, test_evaluator=None, test_cfg=None)
    config = write_config(world.root, tiny_config(), image_test_pipeline=pipeline, **none)
    inferencer = OmniVLInferencer(config, world.checkpoint, device='cpu')
    rows = inferencer.caption([world.images[1], world.videos[0]])
    assert rows[1]['error'] == (
        "the config has no test pipeline for videos, only for ['image']; set video_test_pipeline"
    )
    # This pipeline never changes the size: a picture of the model's size passes untouched, others are fitted to it.
    assert 'caption' in rows[0]
    with_resize = world.inferencer()
    for path in world.images[:2]:
        assert np.allclose(inferencer.features(path)['feature'], with_resize.features(path)['feature'], atol=1e-6)
    without = write_config(world.root, tiny_config(), image_test_pipeline=[pipeline[0], pipeline[-1]], **none)
    silent = OmniVLInferencer(without, world.checkpoint, device='cpu')
    assert silent.caption(world.images[1])['caption'] == rows[0]['caption']
    with pytest.raises(ValueError, match='has TokenizeText, which texts need'):
        silent.features('w1')
    with pytest.raises(ValueError, match='has no test pipeline: define test_dataloader'):
        OmniVLInferencer(write_config(world.root, tiny_config(), **none), world.checkpoint)


@pytest.mark.gpu
def test_a_gpu_gives_the_same(world, mixture):
    on_gpu = OmniVLInferencer(world.config, world.checkpoint, device='cuda')
    on_cpu = world.inferencer()
    one, two = (np.stack([row['feature'] for row in model.features(mixture)]) for model in (on_gpu, on_cpu))
    assert np.allclose(one, two, atol=1e-3)
