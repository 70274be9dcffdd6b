"""BLIP's folders in Hugging Face's form: caption, match and answer as transformers does, from the folder alone."""

import json

import numpy as np
import pytest
import torch
from foreign import DEC, SEP, blip
from PIL import Image
from transformers import BertTokenizer

from omnivl.apis import OmniVLInferencer
from omnivl.apis.inputs import read_visuals
from omnivl.datasets.collate import collate_samples
from omnivl.engine.identity import own_config
from omnivl.errors import OmniVLError
from omnivl.models.tokenizers.text import read_vocabulary
from omnivl.registry import FOLDER_KINDS
from omnivl.weights.folders import FolderKind

MEAN, STD = [0.5, 0.45, 0.4], [0.25, 0.3, 0.35]


def save_blip(folder, kind, vocab_file, seed=0, form='vocab.txt', **options):
    """A tiny BLIP with all files of its repository, in both forms that tokenizers have had there."""
    model = blip(kind, seed, **options)
    model.save_pretrained(folder)
    if form == 'vocab.txt':
        (folder / form).write_bytes(vocab_file.read_bytes())
    else:
        BertTokenizer(vocab=read_vocabulary(vocab_file)).save_pretrained(folder)
    pixels = dict(image_processor_type='BlipImageProcessor', image_mean=MEAN, image_std=STD)
    (folder / 'preprocessor_config.json').write_text(json.dumps(pixels | dict(size=dict(height=32, width=32))))
    return model


@pytest.fixture
def photo():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 52, 3), dtype=np.uint8))


def pixels_of(inferencer, picture):
    """What the model gets of a picture, float (1, 3, 32, 32), for the other library."""
    item = inferencer.preparation(read_visuals(picture, None)[0][0])
    batch = inferencer.model.data_preprocessor(collate_samples([item]), False)['batch']
    frames = torch.from_numpy(np.asarray(item['inputs']['image'])).float() / 255
    expected = (frames - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    assert torch.allclose(batch.frames[0], expected, atol=1e-5)  # of the folder's own statistics
    return batch.frames[:, 0]


@pytest.mark.parametrize('form', ['vocab.txt', 'tokenizer.json'])
@pytest.mark.parametrize('method', ['greedy', 'beam'])
def test_captions_are_those_of_transformers(method, form, vocab_file, tmp_path, photo):
    for seed in range(3):
        model = save_blip(tmp_path / str(seed), 'caption', vocab_file, seed, form, noise=0.3)
        inferencer = OmniVLInferencer.from_pretrained(tmp_path / str(seed), device='cpu')
        found = inferencer.caption(photo, method, max_length=9)
        with torch.no_grad():
            ids = model.generate(
                pixel_values=pixels_of(inferencer, photo),
                num_beams=3 if method == 'beam' else 1,
                max_new_tokens=9,
                do_sample=False,
            )[0].tolist()
        ids = ids[ids.index(DEC) + 1 :] if DEC in ids[:2] else ids
        expected = ids[: ids.index(SEP)] if SEP in ids else ids
        assert expected and found['caption'] == inferencer.model.tokenizer.decode(expected)


def test_matches_are_those_of_transformers(vocab_file, tmp_path, photo):
    model = save_blip(tmp_path, 'retrieval', vocab_file)
    inferencer = OmniVLInferencer.from_pretrained(tmp_path, device='cpu')
    text = 'w1 w5 w2'
    ids = torch.from_numpy(inferencer.model.trunk.tokenizer.encode(text, 9))[None]
    options = dict(input_ids=ids, attention_mask=torch.ones_like(ids), pixel_values=pixels_of(inferencer, photo))
    with torch.no_grad():
        logits = model(**options, use_itm_head=True).itm_score
        cosine = model(**options, use_itm_head=False).itm_score
    found = inferencer.match(photo, text)
    assert found['score'] == pytest.approx(logits.softmax(1)[0, 1].item(), abs=1e-4)
    assert found['similarity'] == pytest.approx(cosine.item(), abs=1e-4)


def test_answers_are_those_of_transformers(vocab_file, tmp_path, photo):
    model = save_blip(tmp_path, 'vqa', vocab_file, noise=0.3)
    inferencer = OmniVLInferencer.from_pretrained(tmp_path, device='cpu')
    ids = torch.from_numpy(inferencer.model.tokenizer.encode('w3 w9 w4', 9))[None]
    with torch.no_grad():
        written = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            pixel_values=pixels_of(inferencer, photo),
            num_beams=3,
            max_new_tokens=7,
            do_sample=False,
        )[0, 1:].tolist()
    expected = written[: written.index(SEP)] if SEP in written else written
    found = inferencer.answer(photo, 'w3 w9 w4', options=dict(max_length=7))
    assert expected and found['answer'] == inferencer.model.tokenizer.decode(expected)


def test_a_clip_of_equal_frames_has_the_features_of_the_picture(vocab_file, tmp_path, photo):
    save_blip(tmp_path, 'retrieval', vocab_file)
    inferencer = OmniVLInferencer.from_pretrained(tmp_path, device='cpu')
    clip, picture = (inferencer.features(x)['feature'] for x in (np.stack([np.asarray(photo)] * 5), photo))
    assert np.allclose(clip, picture, atol=1e-5)


def damage(folder, name, **changes):
    content = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps(content | changes))


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda folder: (folder / 'vocab.txt').unlink(), 'has neither vocab.txt nor tokenizer.json'),
        (
            lambda folder: damage(folder, 'config.json', architectures=['BlipModel']),
            r'the BLIP model BlipModel; of BLIP',
        ),
        (lambda folder: damage(folder, 'config.json', vision_config=7), r'config.json is no config of BLIP'),
        (lambda folder: damage(folder, 'config.json', model_type='git'), r"of no other kind .*'model_type': 'git'"),
        (lambda folder: (folder / 'config.json').write_text('{'), 'is no JSON file'),
        (lambda folder: (folder / 'model.safetensors').unlink(), 'has none of .*model.safetensors'),
    ],
)
def test_what_is_wrong_with_a_folder_is_told(change, message, vocab_file, tmp_path):
    save_blip(tmp_path, 'caption', vocab_file)
    change(tmp_path)
    with pytest.raises(OmniVLError, match=message):
        OmniVLInferencer.from_pretrained(tmp_path, device='cpu')


def test_a_project_adds_its_own_kind(vocab_file, tmp_path, photo):
    class Renamed(FolderKind):
        def recognises(self, content):
            return content.get('model_type') == 'renamed'

        def config(self, folder, content):
            return FOLDER_KINDS.get('blip')().config(folder, content | dict(model_type='blip'))

    save_blip(tmp_path, 'caption', vocab_file)
    damage(tmp_path, 'config.json', model_type='renamed')
    FOLDER_KINDS.register_module(name='renamed', module=Renamed)
    try:
        assert OmniVLInferencer.from_pretrained(tmp_path, device='cpu').caption(photo)['caption'] is not None
    finally:
        del FOLDER_KINDS.module_dict['renamed']


def test_a_changed_config_takes_the_weights_through_their_reader(vocab_file, tmp_path, photo):
    save_blip(tmp_path, 'retrieval', vocab_file)
    cfg = own_config(tmp_path)[0]
    cfg.model.trunk.matching_token = '[ENC]'
    changed, own = OmniVLInferencer(cfg, cfg.load_from, 'cpu'), OmniVLInferencer.from_pretrained(tmp_path, 'cpu')
    assert abs(changed.match(photo, 'w1 w2')['score'] - own.match(photo, 'w1 w2')['score']) > 1e-4
