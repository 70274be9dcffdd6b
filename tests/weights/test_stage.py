"""From a pretraining checkpoint into every task, wherever the task keeps its parts."""

import pytest
import torch

from omnivl.models.omnivl import PARTS
from omnivl.storage import CheckpointError, save_checkpoint
from omnivl.weights import load_weights

CONTRAST, MATCH = dict(type='UniVLCLoss'), dict(type='MatchingLoss')
TASKS = dict(
    OmniVLPretrain=dict(),
    OmniVLRetrieval=dict(losses=[CONTRAST, MATCH]),
    OmniVLCaption=dict(),
    OmniVLQA=dict(),
    OmniVLClassifier=dict(num_classes=3),
    TrunkModel=dict(),
)


@pytest.fixture
def checkpoint(tiny_model, tmp_path):
    """A function that writes the checkpoint of a model of its own."""

    def write(**options):
        model = tiny_model(seed=1, shake=True, **options)
        save_checkpoint(dict(state_dict=model.state_dict()), tmp_path / 'iter_1.pth')
        return model, dict(type='stage', file=str(tmp_path / 'iter_1.pth'), start_video_from_image=False)

    return write


def assert_equal_parts(model, source, names):
    for name in names:
        theirs = source.parts[name].state_dict()
        for key, value in model.parts[name].state_dict().items():
            assert torch.equal(value, theirs[key]), f'{name}.{key}'


@pytest.mark.parametrize('share', ['blip', 'none'])
@pytest.mark.parametrize('task', TASKS)
def test_a_pretrained_checkpoint_fills_every_part_of_every_task(task, share, checkpoint, tiny_model):
    source, reader = checkpoint(trunk=dict(share=share))
    model = tiny_model(seed=2, type=task, trunk=dict(share=share), **TASKS[task])
    (report,) = load_weights(model, reader)
    assert report.left == []
    assert {key.split('.')[0] for key in report.filled} == set(model.parts) - {'head'}
    # What is not used belongs to parts that the task does not hold.
    assert {key.split('.')[1] for key in report.unused} == set(PARTS) - set(model.parts)
    assert_equal_parts(model, source, set(model.parts) - {'head'})


def test_a_work_directory_whose_checkpoint_holds_no_weights(tiny_model, tmp_path):
    save_checkpoint(dict(meta=dict(iter=1)), tmp_path / 'iter_1.pth')
    with pytest.raises(CheckpointError, match=r'iter_1.pth holds no weights'):
        load_weights(tiny_model(type='OmniVLQA'), dict(type='stage', file=str(tmp_path)))


def test_the_decoder_that_answers_starts_from_the_one_that_writes(checkpoint, tiny_model):
    source, reader = checkpoint()
    model = tiny_model(seed=2, type='OmniVLQA')
    load_weights(model, reader)
    own, theirs = model.answer_decoder.state_dict(), source.trunk.generation_decoder.state_dict()
    assert own.keys() == theirs.keys() and all(torch.equal(own[key], theirs[key]) for key in own)


def test_answers_look_at_questions_of_another_width_than_visuals_with_weights_of_their_own(checkpoint, tiny_model):
    wide = dict(encoder=dict(width=32))
    source, reader = checkpoint(trunk=wide)
    model = tiny_model(seed=2, type='OmniVLQA', trunk=wide)
    before = {key: value.clone() for key, value in model.answer_decoder.state_dict().items()}
    with pytest.raises(ValueError, match=r'no value for 2 keys of the model: generation_decoder.layers.0.cross'):
        load_weights(model, reader)
    (report,) = load_weights(model, dict(reader, allow='generation_decoder.*.key_value.weight'))
    assert report.left == [f'generation_decoder.layers.{i}.cross_attention.attention.key_value.weight' for i in (0, 1)]
    theirs = source.trunk.generation_decoder.state_dict()
    for key, value in model.answer_decoder.state_dict().items():
        expected = before if key.endswith('cross_attention.attention.key_value.weight') else theirs
        assert torch.equal(value, expected[key]), key


@pytest.mark.parametrize(('task', 'options'), TASKS.items())
def test_a_task_continues_from_its_own_checkpoint(task, options, checkpoint, tiny_model):
    source, reader = checkpoint(type=task, **options)
    model = tiny_model(seed=2, type=task, **options)
    (report,) = load_weights(model, reader)
    assert report.left == report.elsewhere == report.unused == []
    assert_equal_parts(model, source, model.parts)


def test_a_head_for_other_classes_starts_anew(checkpoint, tiny_model):
    _, reader = checkpoint(type='OmniVLClassifier', num_classes=5)
    model = tiny_model(seed=2, type='OmniVLClassifier', num_classes=3)
    head = model.head.weight.clone()
    (report,) = load_weights(model, reader)
    assert report.elsewhere == ['head.weight', 'head.bias'] and torch.equal(model.head.weight, head)


def test_what_another_task_has_and_this_one_has_not_is_named(checkpoint, tiny_model):
    _, reader = checkpoint(type='OmniVLQA')
    with pytest.raises(ValueError, match=r'keys without a place in the model: answer_decoder.\* \(\d+ keys\)'):
        load_weights(tiny_model(type='OmniVLCaption'), reader)


def test_the_momentum_encoder_follows_the_loaded_weights(checkpoint, tiny_model):
    source, reader = checkpoint()
    model = tiny_model(seed=2, type='OmniVLRetrieval', losses=[CONTRAST], queue_length=4)
    load_weights(model, reader)
    own = model.momentum_encoder.averages['text_encoder'].state_dict()
    theirs = source.trunk.text_encoder.state_dict()
    assert all(torch.equal(own[key], theirs[key]) for key in own) and int(model.queues.fill) == 0


def test_a_bert_fills_the_text_models_that_a_task_holds(tiny_model, tmp_path):
    from transformers import BertConfig, BertModel

    config = BertConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, vocab_size=32,
        max_position_embeddings=24,
    )  # fmt: skip
    BertModel(config).save_pretrained(tmp_path)
    reader = dict(type='bert', file=str(tmp_path))
    for task, options in TASKS.items():
        model = tiny_model(type=task, **options)
        held = {'text_encoder', 'alignment_decoder', 'generation_decoder'} & set(model.parts)
        if not held:
            with pytest.raises(ValueError, match=r"the model holds \['head', 'visual_encoder'\]"):
                load_weights(model, reader)
            continue
        (report,) = load_weights(model, reader)
        assert {key.split('.')[0] for key in report.filled} == held
    with pytest.raises(
        ValueError, match=r"BERT fills \['text_encoder'\], and the model holds \['generation_decoder', "
    ):
        load_weights(tiny_model(type='OmniVLCaption'), dict(reader, models=['text_encoder']))
