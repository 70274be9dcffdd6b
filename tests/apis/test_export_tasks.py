"""Each task as an exported folder, and as BLIP where it has such a form: read back, it is what it was."""

import json

import pytest
import torch
from mmengine.config import Config
from torch.testing import assert_close

from omnivl.apis import export_blip, export_folder, load_exported
from omnivl.models.interfaces import Answers, Classifies, Contrasts, Matches, Writes, offered_by
from omnivl.weights import load_weights

CONTRAST, MATCH, LANGUAGE = dict(type='UniVLCLoss'), dict(type='MatchingLoss'), dict(type='LanguageLoss')
TASKS = {
    'pretraining': dict(type='OmniVLPretrain', losses=[CONTRAST, MATCH, LANGUAGE], queue_length=4),
    'contrast alone': dict(type='OmniVLPretrain', losses=[CONTRAST], queue_length=4),
    'retrieval': dict(type='OmniVLRetrieval', losses=[CONTRAST, MATCH], queue_length=4),
    'captioning': dict(type='OmniVLCaption', prompt='w1 w2'),
    'questions': dict(type='OmniVLQA'),
    'classes': dict(type='OmniVLClassifier', num_classes=3),
    'a trunk': dict(type='TrunkModel'),
}
INTERFACES = (Contrasts, Matches, Writes, Answers, Classifies)
BLIP = {
    'retrieval': ('pretraining', 'retrieval', 'a trunk'),
    'caption': ('pretraining', 'captioning', 'a trunk'),
    'vqa': ('pretraining', 'questions', 'a trunk'),
}


@pytest.mark.parametrize('share', ['blip', 'none'])
@pytest.mark.parametrize('task', TASKS)
def test_an_exported_task_is_what_it_was(task, share, tiny_config, tiny_model, random_batch, tmp_path):
    options = TASKS[task] | dict(trunk=dict(share=share))
    model = tiny_model(shake=True, **options).eval()
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'model.pth')
    export_folder(Config(dict(model=tiny_config(**options))), tmp_path / 'model.pth', tmp_path / 'folder')
    read, _ = load_exported(tmp_path / 'folder')
    assert not read.training and not {'momentum_encoder', 'queues'} & dict(read.named_children()).keys()
    assert read.parts.keys() == model.parts.keys()
    for name, part in model.parts.items():
        theirs = read.parts[name].state_dict()
        assert all(torch.equal(value, theirs[key]) for key, value in part.state_dict().items()), name
    served = {interface for interface in INTERFACES if offered_by(model, interface) is not None}
    assert {interface for interface in INTERFACES if offered_by(read, interface) is not None} == served
    for modality in ('image', 'video'):
        batch = random_batch(modality=modality)
        with torch.no_grad():
            assert_close(read.features(batch), model.features(batch), rtol=0, atol=0)
            if Answers in served:
                assert read.generate_answers(batch) == model.generate_answers(batch)
            if Classifies in served:
                assert torch.equal(read.classify(batch), model.classify(batch))
    if task == 'captioning':
        assert read.prompt == 'w1 w2'
    json.loads((tmp_path / 'folder' / 'config.json').read_text())  # which holds plain values only


@pytest.mark.parametrize(('kind', 'task'), [(kind, task) for kind, tasks in BLIP.items() for task in tasks])
def test_a_task_that_was_written_as_blip_reads_itself_again(kind, task, tiny_model, tmp_path):
    options = TASKS[task] | dict(trunk=dict(share='blip'))
    model = tiny_model(seed=1, shake=True, **options)
    rest = export_blip(model, kind, tmp_path)
    again = tiny_model(seed=2, **options)
    (report,) = load_weights(again, dict(type='blip', file=str(tmp_path)))
    assert report.left == [] and report.unused == []
    for key in report.filled:
        if key in rest or (key.startswith('visual_encoder.') and ('time' in key or 'video' in key)):
            continue  # of videos, which BLIP does not have; their path starts from that of the images
        part, inner = key.split('.', 1)
        assert torch.equal(again.parts[part].state_dict()[inner], model.parts[part].state_dict()[inner]), key
    filled = {key.split('.')[0] for key in report.filled}
    needed = dict(
        retrieval={'text_encoder', 'alignment_decoder', 'visual_proj', 'text_proj', 'matching_head'},
        caption={'generation_decoder'},
        vqa={'alignment_decoder', 'generation_decoder'},
    )
    assert needed[kind] | {'visual_encoder'} <= filled <= set(model.parts)


@pytest.mark.parametrize(
    ('task', 'kind', 'missing'),
    [
        ('captioning', 'retrieval', 'text_encoder'),
        ('questions', 'retrieval', 'text_encoder'),
        ('contrast alone', 'retrieval', 'matching_head'),
        ('retrieval', 'caption', 'generation_decoder'),
        ('retrieval', 'vqa', 'generation_decoder'),
        ('classes', 'vqa', 'alignment_decoder'),
    ],
)
def test_a_kind_of_blip_that_a_task_has_no_parts_for_is_refused(task, kind, missing, tiny_model, tmp_path):
    with pytest.raises(ValueError, match=rf"kind '{kind}' needs .*'{missing}'.*, which this OmniVL\w+ does not hold"):
        export_blip(tiny_model(**TASKS[task]), kind, tmp_path)
    assert not list(tmp_path.iterdir())


def test_weights_that_are_not_finite_are_not_exported(tiny_config, tiny_model, tmp_path):
    state = tiny_model(type='TrunkModel').state_dict()
    first = next(key for key, value in state.items() if value.is_floating_point())
    state[first] = torch.full_like(state[first], float('nan'))
    torch.save(dict(state_dict=state), tmp_path / 'model.pth')
    with pytest.raises(FloatingPointError, match=r'is not written: 1 weights are not finite \('):
        export_folder(Config(dict(model=tiny_config(type='TrunkModel'))), tmp_path / 'model.pth', tmp_path / 'folder')
