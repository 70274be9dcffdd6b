"""open_clip's CoCas: every key is used or named, the numbers are theirs, a folder is all that is needed."""

import json
from pathlib import Path

import numpy as np
import openclip_world as theirs
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from omnivl.apis import OmniVLInferencer
from omnivl.apis.inputs import read_visuals
from omnivl.datasets.collate import collate_samples
from omnivl.errors import OmniVLError
from omnivl.models import VisualTrunk
from omnivl.storage.checkpoint import CheckpointError
from omnivl.structures import VLBatch
from omnivl.weights import load_weights
from projects.coca.folders import trunk_config
from projects.coca.model import CoCaClassifier, CoCaPretrain
from projects.coca.weights import OpenCLIPCoCaReader
from tests.conftest import hub  # noqa: F401
from tests.forked import run_program

VOCABULARY = 60
ROOT = Path(__file__).parents[3]
quiet = dict(show=len)


def trunk_of(visual=theirs.VISUAL, **text):
    return trunk_config(
        theirs.model_config(VOCABULARY, visual, **text), 'test', dict(type='BytePairTokenizer', vocab_folder='nowhere')
    )


def make_model(seed=5, model=CoCaPretrain, trunk=None, **options):
    torch.manual_seed(seed)
    return model(trunk=trunk or trunk_of(), **options).eval()


def save(weights, path):
    if path.suffix == '.safetensors':
        save_file(weights, path)
    else:
        torch.save(weights, path)
    return str(path)


def read(model, file, **options):
    (report,) = load_weights(model, dict(type=OpenCLIPCoCaReader, file=str(file), **options), **quiet)
    return report


def draw(count=3):
    """Images, and texts of which the first fills all positions: int64 (B, L)."""
    generator = torch.Generator().manual_seed(1)
    texts = torch.randint(1, VOCABULARY, (count, theirs.LENGTH), generator=generator)
    for row in range(1, count):
        texts[row, 3 + 2 * row :] = 0
    return torch.randn(count, 3, theirs.SIZE, theirs.SIZE, generator=generator), texts


def differences(model, weights, shifted=True):
    """Largest difference of image vectors, text vectors, and logits of real words."""
    images, texts = draw()
    trunk, real = model.trunk, texts != 0
    with torch.no_grad():
        vectors, image_tokens = theirs.encode_image(weights, images)
        text_vectors, tokens = theirs.encode_text(weights, texts, shifted)
        logits = theirs.decode(weights, tokens[:, :-1], image_tokens)
        visual = trunk.encode(VLBatch({'image': images[:, None]}))
        own = trunk.predict_text(
            trunk.encode_text(texts, real).tokens, texts, real, trunk.writing_key_values(visual.tokens)
        )
        pairs = [(trunk.project_visual(visual.pooled), vectors), (trunk.embed_text(texts, real), text_vectors)]
        pairs += [(own.logits[real[:, 1:]], logits[real[:, 1:]])]
    return max((one - other).abs().max().item() for one, other in pairs)


@pytest.mark.parametrize('visual', [theirs.VISUAL, theirs.WIDTH], ids=['matrices apart', 'fused'])
@pytest.mark.parametrize('name', ['a.safetensors', 'a.bin', 'training.pt'])
def test_the_numbers_are_theirs_and_every_key_is_used(tmp_path, name, visual):
    weights = theirs.random_weights(VOCABULARY, visual)
    stored = weights
    if name == 'training.pt':
        stored = dict(epoch=3, name='run', state_dict={f'module.{key}': value for key, value in weights.items()})
    model = make_model(trunk=trunk_of(visual))
    report = read(model, save(stored, tmp_path / name))
    assert report.left == report.unused == report.elsewhere == []
    assert differences(model, weights) < 2e-5
    assert model.trunk.temperature_value() == pytest.approx(np.exp(-weights['logit_scale'].item()))


def test_masks_that_old_versions_stored_are_left_out(tmp_path):
    weights = theirs.random_weights(VOCABULARY) | {'text.attn_mask': torch.ones(3, 3)}
    report = read(make_model(), save(weights, tmp_path / 'a.pt'))
    assert report.unused == ['text.attn_mask'] and report.left == []


def test_the_mask_of_new_models_is_another(tmp_path):
    weights = theirs.random_weights(VOCABULARY)
    model = make_model(trunk=trunk_of(correct_cls_mask=True))
    read(model, save(weights, tmp_path / 'a.safetensors'))
    assert differences(model, weights, shifted=False) < 2e-5 < differences(model, weights, shifted=True)


def test_a_model_of_captions_takes_what_it_holds(tmp_path):
    weights = theirs.random_weights(VOCABULARY)
    model = make_model(contrastive_weight=0.0, caption_weight=1.0)
    report = read(model, save(weights, tmp_path / 'a.safetensors'))
    assert report.left == report.elsewhere == []
    unused = {'logit_scale', 'text.cls_emb', 'text.ln_final.bias', 'text.ln_final.weight', 'text.text_projection'}
    assert set(report.unused) == unused | {'visual.proj'}
    images, texts = draw()
    with torch.no_grad():
        losses = model.loss(VLBatch({'image': images[:, None]}, text_ids=texts, text_mask=texts != 0))
        logits = theirs.decode(
            weights, theirs.encode_text(weights, texts)[1][:, :-1], theirs.encode_image(weights, images)[1]
        )
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), texts[:, 1:].flatten(), ignore_index=0)
    assert losses['loss_lm'].item() == pytest.approx(expected.item(), abs=1e-5)


def test_a_model_of_contrast_leaves_the_decoder(tmp_path):
    report = read(make_model(caption_weight=0.0), save(theirs.random_weights(VOCABULARY), tmp_path / 'a.safetensors'))
    assert report.left == [] and all(key.startswith('text_decoder.') for key in report.unused)


def test_a_classifier_takes_the_image_encoder(tmp_path):
    trunk = dict(type=VisualTrunk, visual_encoder=trunk_of()['visual_encoder'])
    model = make_model(model=CoCaClassifier, trunk=trunk, num_classes=3)
    weights = theirs.random_weights(VOCABULARY)
    report = read(model, save(weights, tmp_path / 'a.safetensors'))
    assert {key.split('.')[0] for key in report.elsewhere} == {'class_pooler', 'class_norm', 'head'}
    assert report.left == [] and torch.equal(
        model.trunk.visual_encoder.image_tokenizer.proj.weight, weights['visual.conv1.weight']
    )


def test_positions_are_fitted_to_another_resolution(tmp_path):
    trunk = trunk_of()
    trunk['visual_encoder']['image_size'] = 48
    model = make_model(trunk=trunk)
    file = save(theirs.random_weights(VOCABULARY), tmp_path / 'a.safetensors')
    read(model, file)
    other = make_model()
    read(other, file)
    images = torch.randn(2, 1, 3, 48, 48)
    with torch.no_grad():  # the encoder of the old size fits its positions to each image
        one, two = (each.encode(VLBatch({'image': images})).pooled for each in (model, other))
    assert model.trunk.visual_encoder.pos_embed.shape == (1, 37, theirs.VISUAL) and torch.allclose(one, two, atol=1e-5)


def without(pattern):
    return lambda weights: {key: value for key, value in weights.items() if pattern not in key}


def with_second_pooler(weights):
    return weights | {'visual.attn_pool_contrastive.query': torch.ones(1, theirs.WIDTH)}


@pytest.mark.parametrize(
    ('change', 'options', 'message'),
    [
        (without('text_decoder.'), {}, 'is no CoCa of open_clip with an attentional pooler: it has no text_decoder'),
        (without('attn_pool'), {}, r'it has no visual\.attn_pool\.'),
        (lambda weights: {'fc.weight': torch.ones(2, 2)}, {}, r'is no CoCa of open_clip .* its keys are .*fc.weight'),
        (with_second_pooler, {}, "a pooler of the kind parallel or cascade, the model one of the kind single"),
        (dict, dict(pooler=dict(kind='cascade')), r"the model one of the kind cascade: .*trunk.pooler.kind='single'"),
        (dict, dict(text_decoder=dict(between=False)), r'the model has no .*text_decoder.layers.0.between'),
        (dict, dict(text_encoder=dict(vocab_size=70)), r'is of another size than the model .*text_encoder.word.weight'),
        (lambda weights: weights | dict(logit_bias=torch.ones(())), {}, 'has 1 keys without a place in the model'),
        (without('cross_attn.1.attn.in_proj_weight'), {}, r'no text_decoder.cross_attn.1.attn.q_proj_weight among'),
        (without('cross_attn.1.ln_2'), {}, r'has no value for 2 keys of the model: text_decoder.layers'),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told(tmp_path, change, options, message):
    trunk = trunk_of()
    for name, value in options.items():
        trunk[name] |= value
    model = make_model(trunk=trunk)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(OmniVLError, match=message) as error:
        read(model, save(change(theirs.random_weights(VOCABULARY)), tmp_path / 'a.pt'))
    assert '\n' not in str(error.value)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize('name', ['a.safetensors', 'a.pt'])
def test_a_file_that_is_cut_off_is_told(tmp_path, name):
    save(theirs.random_weights(VOCABULARY), tmp_path / name)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match='is cut off'):
        read(make_model(), tmp_path / name)


@pytest.mark.parametrize(
    ('part', 'option', 'value', 'message'),
    [
        ('vision_cfg', 'head_width', 4, 'num_heads is 8 there and 4'),
        ('vision_cfg', 'attn_pooler_heads', 4, 'pooler_num_heads is 4 there and 2'),
        ('text_cfg', 'heads', 3, 'text_num_heads is 3 there and 4'),
        ('text_cfg', 'correct_cls_mask', True, "text_pool is 'cls' there and 'cls_shifted'"),
        ('multimodal_cfg', 'heads', 2, 'decoder_num_heads is 2 there and 4'),
        (None, 'quick_gelu', True, "activation is 'quick_gelu' there and 'gelu'"),
    ],
)
def test_settings_that_no_tensor_shows_are_compared(tmp_path, part, option, value, message):
    config = theirs.model_config(VOCABULARY)
    (config if part is None else config[part])[option] = value
    (tmp_path / 'open_clip_config.json').write_text(json.dumps(dict(model_cfg=config)))
    file = save(theirs.random_weights(VOCABULARY), tmp_path / 'open_clip_model.safetensors')
    with pytest.raises(OmniVLError, match=message):
        read(make_model(), tmp_path)
    assert read(make_model(), file, allow=[message.split()[0]]).left == []


def test_other_pixels_are_noted(tmp_path):
    theirs.write_folder(tmp_path)
    weights = theirs.random_weights(VOCABULARY)
    save_file(weights, tmp_path / 'open_clip_model.safetensors')
    notes = read(make_model(), tmp_path).notes
    assert any(f'normalised with mean {theirs.MEAN} there' in note for note in notes) and len(notes) == 2


# The folder.


@pytest.fixture
def photo():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 52, 3), dtype=np.uint8))


def pixels_of(inferencer, picture):
    """What the model gets of a picture, float (3, H, W)."""
    item = inferencer.preparation(read_visuals(picture, None)[0][0])
    assert item['inputs']['image'].shape[-2:] == (theirs.SIZE, theirs.SIZE)
    pixels = inferencer.model.data_preprocessor(collate_samples([item]), False)['batch'].frames[0, 0]
    frames = torch.from_numpy(np.asarray(item['inputs']['image'][0])).float() / 255
    expected = (frames - torch.tensor(theirs.MEAN).view(3, 1, 1)) / torch.tensor(theirs.STD).view(3, 1, 1)
    assert torch.allclose(pixels, expected, atol=1e-5)  # of the folder's own statistics
    return pixels


@pytest.mark.parametrize('file', ['open_clip_model.safetensors', 'open_clip_pytorch_model.bin'])
def test_a_folder_alone_gives_captions_classes_and_vectors(tmp_path, photo, file):
    weights, vocab_size = theirs.write_folder(tmp_path, weights_file=file)
    inferencer = OmniVLInferencer.from_pretrained(tmp_path, device='cpu')
    pixels = pixels_of(inferencer, photo)
    tokenizer = inferencer.model.trunk.tokenizer
    ids = theirs.caption(weights, pixels, tokenizer.cls_id, tokenizer.sep_id, 9)
    assert vocab_size == tokenizer.vocab_size and len(ids) > 1
    assert inferencer.caption(photo, 'greedy', max_length=9)['caption'] == tokenizer.decode(ids)
    image = inferencer.features(photo)['feature']
    assert np.allclose(image, theirs.encode_image(weights, pixels[None])[0][0], atol=1e-5)
    text = inferencer.features('a red square')['feature']
    padded = np.zeros((1, theirs.LENGTH), dtype=np.int64)
    encoded = tokenizer.encode('a red square', theirs.LENGTH)
    padded[0, : len(encoded)] = encoded
    assert np.allclose(text, theirs.encode_text(weights, torch.from_numpy(padded))[0][0], atol=1e-5)
    found = inferencer.classify(photo, ['red', 'blue'], ['a photo of a {}'])
    assert set(found['scores']) == {'red', 'blue'}


def test_the_hub_gives_such_a_folder(tmp_path, photo, hub):  # noqa: F811
    theirs.write_folder(tmp_path / 'coca')
    (tmp_path / 'coca' / 'config.json').write_text('{}')  # that the hub may count downloads
    hub.add_folder('laion/CoCa-tiny', tmp_path / 'coca')
    own, fetched = (
        OmniVLInferencer.from_pretrained(name, device='cpu') for name in (tmp_path / 'coca', 'hf://laion/CoCa-tiny')
    )
    assert fetched.caption(photo) == own.caption(photo)


def test_the_command_needs_no_word_of_the_project(tmp_path, photo):
    theirs.write_folder(tmp_path / 'coca')
    photo.save(tmp_path / 'photo.png')
    words = ['-m', 'omnivl', 'caption', 'photo.png', '--model', 'coca', '--method', 'greedy']
    code, said = run_program(*words, cwd=tmp_path)
    assert code == 0, said
    row = json.loads(said.splitlines()[-1])
    inferencer = OmniVLInferencer.from_pretrained(tmp_path / 'coca', device='cpu')
    assert row['caption'] == inferencer.caption(str(tmp_path / 'photo.png'), 'greedy')['caption']


def change(folder, part, **options):
    content = json.loads((folder / 'open_clip_config.json').read_text())
    (content['model_cfg'][part] if part else content).update(options)
    (folder / 'open_clip_config.json').write_text(json.dumps(content))


@pytest.mark.parametrize(
    ('spoil', 'message'),
    [
        (lambda folder: change(folder, 'vision_cfg', attentional_pool=False), 'that we do not have: attentional_pool'),
        (lambda folder: change(folder, 'vision_cfg', attentional_pool='cascade'), "attentional_pool is 'cascade'"),
        (lambda folder: change(folder, 'text_cfg', hf_model_name='roberta-base'), r"of text_cfg the options \['hf"),
        (lambda folder: change(folder, None, model_cfg=dict(text_cfg={}, vision_cfg={})), 'has no multimodal_cfg'),
        (lambda folder: change(folder, None, model_cfg=7), 'model_cfg is no mapping'),
        (lambda folder: change(folder, None, preprocess_cfg=dict(resize_mode='longest')), "resize_mode='longest'"),
        (lambda folder: change(folder, None, preprocess_cfg=dict(interpolation='bilinear')), "interpolation='bili"),
        (lambda folder: (folder / 'open_clip_config.json').write_text('{'), 'is no JSON file'),
        (lambda folder: (folder / 'open_clip_model.safetensors').unlink(), 'has none of .*open_clip_model.safetensors'),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_folder_is_told(tmp_path, spoil, message):
    theirs.write_folder(tmp_path)
    spoil(tmp_path)
    with pytest.raises(OmniVLError, match=message):
        OmniVLInferencer.from_pretrained(tmp_path, device='cpu')


def test_a_folder_without_byte_pairs_takes_those_of_the_data(tmp_path, photo, monkeypatch):
    theirs.write_folder(tmp_path / 'coca')
    monkeypatch.setenv('OMNIVL_DATA', str(tmp_path / 'data'))
    (tmp_path / 'data' / 'clip').mkdir(parents=True)
    expected = OmniVLInferencer.from_pretrained(tmp_path / 'coca', device='cpu').caption(photo)
    for name in ('vocab.json', 'merges.txt'):
        (tmp_path / 'coca' / name).rename(tmp_path / 'data' / 'clip' / name)
    assert OmniVLInferencer.from_pretrained(tmp_path / 'coca', device='cpu').caption(photo) == expected
    (tmp_path / 'data' / 'clip' / 'merges.txt').unlink()
    with pytest.raises(OmniVLError, match=r'no merges.txt in .*data/clip: get them with'):
        OmniVLInferencer.from_pretrained(tmp_path / 'coca', device='cpu').caption(photo)


def test_squashed_pictures_are_not_cropped(tmp_path, photo):
    theirs.write_folder(tmp_path, preprocess_cfg=dict(mean=theirs.MEAN, std=theirs.STD, resize_mode='squash'))
    inferencer = OmniVLInferencer.from_pretrained(tmp_path, device='cpu')
    steps = [type(step).__name__ for step in inferencer.preparation.pipelines['image']]
    assert steps == ['LoadImage', 'Resize', 'TokenizeText', 'PackSample']
    pixels_of(inferencer, photo)


def test_a_clip_of_equal_frames_has_the_vector_of_the_picture(tmp_path, photo):
    theirs.write_folder(tmp_path)
    inferencer = OmniVLInferencer.from_pretrained(tmp_path, device='cpu')
    clip, picture = (inferencer.features(x)['feature'] for x in (np.stack([np.asarray(photo)] * 5), photo))
    assert np.allclose(clip, picture, atol=1e-5)
