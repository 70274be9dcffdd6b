"""BLIP in both of its public forms: converted, it says what it said before."""

import pytest
import torch
import torch.nn.functional as F
from foreign import BASE, BLIP, CLS, DEC, ENC, SEP, SMALL, blip, images, omnivl, original_layout, texts

from omnivl.models.generation import beam_search
from omnivl.storage import CheckpointError
from omnivl.weights import WeightsError, load_weights

HF_EPS = dict(norm_eps=1e-5)


def load(model, file, **options):
    (report,) = load_weights(model, dict(type='blip', file=str(file), **options))
    return report


def first(ids, token):
    return torch.cat([torch.full_like(ids[:, :1], token), ids[:, 1:]], dim=1)


def check_retrieval(model, reference, seed, side=32, first_token=CLS, tolerance=1e-4):
    """Embeddings and matching logits; ``first_token`` is what the reference reads for matching."""
    pixels, (ids, mask) = images(seed, side=side), texts(seed)
    with torch.no_grad():
        visual = reference.vision_model(pixels).last_hidden_state
        text = reference.text_encoder(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        matching = reference(
            input_ids=first(ids, first_token), pixel_values=pixels, attention_mask=mask.long(), use_itm_head=True
        ).itm_score
        trunk = model.trunk
        got = trunk.visual_encoder(pixels[:, None], 'image')
        assert (got.tokens - visual).abs().max() <= tolerance
        features = trunk.project_visual(got.pooled), trunk.embed_text(ids, mask)
        expected = reference.vision_proj(visual[:, 0]), reference.text_proj(text[:, 0])
        for ours, theirs in zip(features, expected):
            assert (ours - F.normalize(theirs, dim=-1)).abs().max() <= tolerance
        logits = trunk.match_logits(ids, mask, trunk.matching_key_values(got.tokens))
        assert (logits - matching).abs().max() <= tolerance


def check_captions(model, reference, seed, side=32, decoder_id=DEC, tolerance=1e-4, max_length=8):
    """Logits at every position, and the ids of captions by beam search; returns the captions."""
    pixels, (ids, mask) = images(seed, side=side), texts(seed)
    with torch.no_grad():
        tokens = model.trunk.visual_encoder(pixels[:, None], 'image').tokens
        inputs = first(ids, decoder_id)
        expected = reference(pixel_values=pixels, input_ids=inputs, attention_mask=mask.long()).logits
        got = model.trunk.generation_decoder(inputs, model.trunk.writing_key_values(tokens))
        assert (got - expected)[mask].abs().max() <= tolerance
        generated = reference.generate(pixel_values=pixels, num_beams=3, max_new_tokens=max_length, do_sample=False)
        writing = model.trunk.begin_writing(tokens)
        assert torch.equal(writing.start_ids, torch.full((len(pixels), 1), decoder_id))
        assert (writing.end_id, writing.pad_id) == (reference.config.text_config.sep_token_id, 0)
        captions = beam_search(writing, max_length, num_beams=3).ids
    assert captions == [until_end(row[1:].tolist(), writing.end_id) for row in generated]
    return captions


def until_end(ids, end_id):
    return ids[: ids.index(end_id)] if end_id in ids else [token for token in ids if token]


def likely_end(reference):
    """Let captions end at different lengths, which random weights seldom do."""
    with torch.no_grad():
        reference.text_decoder.cls.predictions.bias[SEP] += 0.4
    return reference


@pytest.mark.parametrize('share', ['blip', 'none'])
@pytest.mark.parametrize('seed', [0, 1, 2])
def test_retrieval_model_of_hugging_face(seed, share, vocab_file, tmp_path):
    reference = blip('retrieval', seed)
    reference.save_pretrained(tmp_path)
    model = omnivl(vocab_file, encoder=HF_EPS, share=share, matching_token='[CLS]')
    report = load(model, tmp_path)
    assert report.left == [] and report.unused == []
    check_retrieval(model, reference, seed)
    # The original puts [ENC] in the place of [CLS]; Hugging Face leaves that to the caller.
    trained = omnivl(vocab_file, encoder=HF_EPS, share=share)
    load(trained, tmp_path / 'model.safetensors')
    check_retrieval(trained, reference, seed, first_token=ENC)


@pytest.mark.parametrize('share', ['blip', 'none'])
def test_caption_model_of_hugging_face(share, vocab_file, tmp_path):
    lengths = set()
    for seed in range(4):
        reference = likely_end(blip('caption', seed, noise=0.3))
        reference.save_pretrained(tmp_path)
        model = omnivl(vocab_file, encoder=HF_EPS, share=share)
        report = load(model, tmp_path)
        assert report.left == [] and report.unused == []
        lengths |= {len(caption) for caption in check_captions(model, reference, seed)}
    assert len(lengths) > 1  # otherwise nothing was said about where a caption ends


@pytest.mark.slow
@pytest.mark.parametrize('size', [BASE | dict(depth=2, vocab=1002), BASE | dict(width=96)], ids=['as wide', 'as deep'])
def test_base_size(size, tmp_path):
    """In width, and in depth and words, one at a time: all at once take ten times as long and no other path."""
    from pathlib import Path

    vocab = tmp_path / 'vocab.txt'
    special = {0: '[PAD]', 100: '[UNK]', 101: '[CLS]', 102: '[SEP]', 103: '[MASK]'}
    vocab.write_text('\n'.join(special.get(index, f'w{index}') for index in range(size['vocab'] - 2)))
    for kind in ('retrieval', 'caption'):
        folder = Path(tmp_path / kind)
        reference = blip(kind, 0, size, noise=0.02)
        reference.config.text_config.sep_token_id = 102
        reference.save_pretrained(folder)
        model = omnivl(vocab, size=size, encoder=HF_EPS)
        load(model, folder)
        if kind == 'retrieval':
            check_retrieval(model, reference, 0, side=224, first_token=size['vocab'] - 1)
        else:
            check_captions(model, reference, 0, side=224, decoder_id=size['vocab'] - 2)
        del model, reference


def pretraining_layout(seed):
    """What the BLIP repository saves after pretraining: two tied text models, a momentum encoder and queues."""
    retrieval, caption = blip('retrieval', seed, norm_eps=1e-6), blip('caption', seed + 50, norm_eps=1e-6)
    tied = {
        key: value
        for key, value in retrieval.text_encoder.state_dict().items()
        if '.attention.' not in key  # all but self-attention
    }
    caption.vision_model.load_state_dict(retrieval.vision_model.state_dict())
    caption.text_decoder.bert.load_state_dict(tied, strict=False)
    weights = original_layout(caption, retrieval, tied_output=True)
    twin = {key.replace('.', '_m.', 1): value + 1 for key, value in original_layout(retrieval).items()}
    twin = {key: value for key, value in twin.items() if not key.startswith('itm_head_m')}
    positions = {
        f'{name}.embeddings.position_ids': torch.arange(24)[None] for name in ('text_encoder', 'text_decoder.bert')
    }
    queues = dict(
        image_queue=torch.randn(8, 5), text_queue=torch.randn(8, 5), queue_ptr=torch.zeros(1, dtype=torch.long)
    )
    return retrieval, caption, weights | twin | positions | queues | dict(temp=torch.tensor([0.031]))


@pytest.mark.parametrize('seed', [0, 1])
def test_pretrained_file_of_the_original_repository(seed, tiny_model, vocab_file, tmp_path):
    retrieval, caption, weights = pretraining_layout(seed)
    torch.save(dict(model=weights, epoch=19), tmp_path / 'model_base.pth')
    model = omnivl(vocab_file)
    report = load(model, tmp_path / 'model_base.pth')
    assert report.left == [] and report.elsewhere == []
    assert {key.split('.')[0] for key in report.unused} == {
        'visual_encoder_m', 'text_encoder_m', 'vision_proj_m', 'text_proj_m', 'image_queue', 'text_queue', 'queue_ptr',
        'text_encoder', 'text_decoder',
    }  # fmt: skip
    assert all('_m.' in key or 'queue' in key or 'position_ids' in key for key in report.unused)
    check_retrieval(model, retrieval, seed, first_token=ENC)
    check_captions(model, caption, seed)
    pretrain = tiny_model()
    assert load(pretrain, tmp_path / 'model_base.pth').left == []
    assert torch.allclose(pretrain.trunk.temperature.value, torch.tensor(0.031))
    word = pretrain.momentum_encoder.averages['text_encoder'].embeddings.word.weight
    assert torch.equal(word, pretrain.trunk.text_encoder.embeddings.word.weight)


TASKS = dict(
    OmniVLPretrain=dict(losses=[dict(type='UniVLCLoss'), dict(type='MatchingLoss'), dict(type='LanguageLoss')]),
    OmniVLRetrieval=dict(losses=[dict(type='UniVLCLoss'), dict(type='MatchingLoss')]),
    OmniVLCaption=dict(),
    OmniVLQA=dict(),
)


@pytest.mark.parametrize('task', TASKS)
def test_pretrained_file_starts_finetuning_at_another_resolution(task, vocab_file, tmp_path):
    retrieval, caption, weights = pretraining_layout(0)
    torch.save(dict(model=weights), tmp_path / 'model_base.pth')
    model = omnivl(vocab_file, encoder=dict(image_size=48), type=task, **TASKS[task])
    report = load(model, tmp_path / 'model_base.pth')
    assert report.left == [] and report.elsewhere == []
    if 'generation_decoder' in model.parts:
        head = caption.text_decoder.cls.predictions
        assert torch.equal(model.parts['generation_decoder'].head.transform.weight, head.transform.dense.weight)
    if 'alignment_decoder' in model.parts:
        query = retrieval.text_encoder.encoder.layer[1].crossattention.self.query
        decoder = model.parts['alignment_decoder']
        assert torch.equal(decoder.layers[1].cross_attention.attention.query.weight, query.weight)


@pytest.mark.parametrize('kind', list(BLIP))
@pytest.mark.parametrize('task', TASKS)
def test_every_kind_enters_every_task(task, kind, vocab_file, tmp_path):
    """Each part of the task that this BLIP has is filled, as a whole; what the task has no part for is left out."""
    blip(kind, 0).save_pretrained(tmp_path)
    model = omnivl(vocab_file, encoder=HF_EPS, share='none', type=task, **TASKS[task])
    report = load(model, tmp_path)
    assert report.left == []
    held = dict(
        retrieval={'text_encoder', 'alignment_decoder', 'visual_proj', 'text_proj', 'matching_head'},
        caption={'generation_decoder'},
        vqa={'text_encoder', 'alignment_decoder', 'generation_decoder'},
    )
    assert {key.split('.')[0] for key in report.filled} == ({'visual_encoder'} | held[kind]) & set(model.parts)


def test_text_models_that_do_not_share_need_a_model_that_does_not(vocab_file, tmp_path):
    weights = original_layout(blip('vqa', 0, norm_eps=1e-6))
    torch.save(dict(model=weights), tmp_path / 'vqa.pth')
    with pytest.raises(ValueError, match=r"are one in the model: set share='none'"):
        load(omnivl(vocab_file), tmp_path / 'vqa.pth')
    assert load(omnivl(vocab_file, share='none'), tmp_path / 'vqa.pth').left == []


def test_an_output_matrix_of_its_own_is_refused(vocab_file, tmp_path):
    weights = original_layout(blip('caption', 0), tied_output=True)
    weights['text_decoder.cls.predictions.decoder.weight'] += 1
    torch.save(dict(model=weights), tmp_path / 'caption.pth')
    with pytest.raises(ValueError, match=r'decoder\.weight is not text_decoder\.bert\.embeddings\.word_embeddings'):
        load(omnivl(vocab_file), tmp_path / 'caption.pth')


@pytest.mark.parametrize('kind', list(BLIP))
def test_a_size_or_a_setting_that_differs_is_an_error_that_changes_nothing(kind, vocab_file, tmp_path):
    from foreign import SMALL

    blip(kind, 0).save_pretrained(tmp_path / 'right')
    blip(kind, 0, SMALL | dict(width=32)).save_pretrained(tmp_path / 'wide')
    blip(kind, 0, SMALL | dict(heads=4)).save_pretrained(tmp_path / 'heads')
    blip(kind, 0, SMALL | dict(depth=3)).save_pretrained(tmp_path / 'deep')
    blip(kind, 0, SMALL | dict(depth=1)).save_pretrained(tmp_path / 'shallow')
    model = omnivl(vocab_file, encoder=HF_EPS, share='none')
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for folder, message in (
        ('wide', r'is of another size than the model .*got \(1, 1, 32\)'),
        ('heads', r'num_heads is 4 there and 2 in the model; text_num_heads is 4 there and 2'),
        ('deep', r"the model has no \['"),
        ('shallow', r'no value for \d+ keys of the model'),
    ):
        with pytest.raises(ValueError, match=message):
            load(model, tmp_path / folder)
    with pytest.raises(ValueError, match=r'norm_eps is 1e-05 there and 1e-06 in the model.*--allow'):
        load(omnivl(vocab_file, share='none'), tmp_path / 'right')
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    load(omnivl(vocab_file, share='none'), tmp_path / 'right', allow=['norm_eps'])


def test_what_does_not_fit_is_one_line_when_a_run_begins_with_it(vocab_file, tmp_path):
    blip('retrieval', 0, SMALL | dict(width=32)).save_pretrained(tmp_path)
    with pytest.raises(WeightsError, match='is of another size') as raised:
        load(omnivl(vocab_file, encoder=HF_EPS), tmp_path)
    assert isinstance(raised.value, CheckpointError)  # which tools/train.py shows as a line


def test_what_is_no_blip_says_so(vocab_file, tmp_path):
    torch.save(dict(something=torch.zeros(2)), tmp_path / 'other.pth')
    with pytest.raises(ValueError, match=r"does not fit BLIPReader: its keys are \['something'\]"):
        load(omnivl(vocab_file), tmp_path / 'other.pth')
    weights = original_layout(blip('caption', 0))
    del weights['text_decoder.bert.encoder.layer.1.crossattention.self.key.bias']
    torch.save(dict(model=weights), tmp_path / 'incomplete.pth')
    with pytest.raises(ValueError, match=r'has no text_decoder.bert.encoder.layer.1.crossattention.self.key.bias'):
        load(omnivl(vocab_file), tmp_path / 'incomplete.pth')


def test_another_resolution_is_interpolated(vocab_file, tmp_path):
    from foreign import SMALL

    blip('retrieval', 0, SMALL | dict(image=48)).save_pretrained(tmp_path)
    assert load(omnivl(vocab_file, encoder=HF_EPS), tmp_path).left == []


@pytest.mark.parametrize('frames', [1, 4, 7])
def test_a_clip_of_equal_frames_has_the_features_of_the_image(frames, vocab_file, tmp_path):
    blip('retrieval', 0).save_pretrained(tmp_path)
    model = omnivl(vocab_file, encoder=HF_EPS)
    load(model, tmp_path)
    image = images(1)[:, None]
    with torch.no_grad():
        expected = model.trunk.visual_encoder(image, 'image').pooled
        assert (
            model.trunk.visual_encoder(image.expand(-1, frames, -1, -1, -1), 'video').pooled - expected
        ).abs().max() <= 1e-5
