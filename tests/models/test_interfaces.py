"""What each task offers and what it lacks, without anybody looking at its class."""

import pytest
import torch
from torch import nn

from omnivl.models.interfaces import (
    Answers,
    Classifies,
    Contrasts,
    Encodes,
    HasParts,
    Matches,
    TakesWeights,
    Trains,
    Writes,
    offered_by,
    serving,
)
from omnivl.registry import MODELS

CONTRAST, MATCH, LANGUAGE = dict(type='UniVLCLoss'), dict(type='MatchingLoss'), dict(type='LanguageLoss')
# (task, its options) -> what it serves beside Encodes, of what evaluations and inference ask for.
SERVED = {
    'pretraining': (dict(type='OmniVLPretrain'), {Contrasts, Matches, Writes}),
    'retrieval': (dict(type='OmniVLRetrieval', losses=[CONTRAST, MATCH]), {Contrasts, Matches}),
    'contrast alone': (dict(type='OmniVLPretrain', losses=[CONTRAST]), {Contrasts}),
    'language alone': (dict(type='OmniVLPretrain', losses=[LANGUAGE]), {Writes}),
    'captioning': (dict(type='OmniVLCaption'), {Writes}),
    'questions': (dict(type='OmniVLQA'), {Answers}),
    'classes': (dict(type='OmniVLClassifier', num_classes=3), {Classifies}),
    'a trunk': (dict(type='TrunkModel'), {Contrasts, Matches, Writes}),
}
ASKED = (Contrasts, Matches, Writes, Answers, Classifies)


@pytest.mark.parametrize('task', SERVED)
def test_each_task_serves_what_it_has_the_parts_for(task, tiny_model):
    options, served = SERVED[task]
    model = tiny_model(**options)
    assert {interface for interface in ASKED if offered_by(model, interface) is not None} == served
    for interface in (Encodes, HasParts, TakesWeights, Trains):
        assert serving(model, interface, 'the test') is model
    for interface in set(ASKED) - served:
        with pytest.raises(TypeError, match=rf'the test needs a model that .* which this {type(model).__name__} does '):
            serving(model, interface, 'the test')


def test_a_trunk_serves_what_its_task_does_not_repeat(tiny_model):
    model = tiny_model()
    assert serving(model, Contrasts, 'x') is serving(model, Matches, 'x') is serving(model, Writes, 'x') is model.trunk
    # A task that writes in its own way, behind its prompt, goes first.
    caption = tiny_model(type='OmniVLCaption', prompt='w1')
    assert serving(caption, Writes, 'x') is caption and caption.prompt == 'w1'


@pytest.mark.parametrize(
    ('options', 'interface', 'message'),
    [
        (
            dict(type='OmniVLCaption'),
            Contrasts,
            r'image\.retrieval needs a model that compares visuals and texts as unit vectors of one space, which this '
            r'OmniVLCaption does not: its trunk was built without temperature, text_encoder, text_proj, visual_proj '
            r'\(see Contrasts in omnivl/models/interfaces\.py, or take a config of another task\)',
        ),
        (dict(losses=[CONTRAST]), Matches, 'does not: its trunk was built without alignment_decoder, matching_head '),
        (dict(type='OmniVLQA'), Writes, 'does not: its trunk was built without generation_decoder '),
        (dict(), Answers, r'does not: it has no generate_answers, rank_answers, read_questions \(see Answers in'),
        (dict(), Classifies, r'does not: it has no classify, num_classes \(see Classifies in'),
    ],
)
def test_the_message_says_what_is_missing(options, interface, message, tiny_model):
    with pytest.raises(TypeError, match=message):
        serving(tiny_model(**options), interface, 'image.retrieval')


class Foreign(nn.Module):
    """Somebody else's network: it inherits nothing of ours and has the methods."""

    tokenizer, prompt = object(), ''

    def __init__(self):
        super().__init__()
        self.num_classes = 3

    def encode(self, batch):
        return batch

    def classify(self, batch):
        return torch.zeros(1, 3)

    def project_visual(self, pooled, modality=None):
        return pooled

    def embed_text(self, text_ids, text_mask):
        return text_ids


def test_a_foreign_model_serves_without_inheriting():
    model = Foreign()
    assert serving(model, Encodes, 'x') is serving(model, Classifies, 'x') is model
    with pytest.raises(TypeError, match=r'this Foreign does not: it has no temperature_value \(see Contrasts'):
        serving(model, Contrasts, 'x')
    model.temperature_value = lambda: 0.07  # one may be made of functions, too
    assert serving(model, Contrasts, 'x') is model
    assert offered_by(model, HasParts) is None and offered_by(model, Trains) is None


def test_a_foreign_trunk_is_asked_as_well():
    model = nn.Module()
    model.trunk = Foreign()
    assert serving(model, Classifies, 'x') is model.trunk


def test_a_model_says_itself_what_it_cannot_do_without_a_part():
    model = Foreign()
    model.lacks = {Classifies: 'its head was left out'}
    with pytest.raises(TypeError, match='this Foreign does not: its head was left out'):
        serving(model, Classifies, 'x')


def test_nobody_reads_a_vocabulary_to_find_out(tiny_config):
    """A tokenizer reads its file at first use, and a model may be asked before there is one."""
    config = tiny_config()
    config['trunk']['tokenizer']['vocab_file'] = 'nowhere.txt'
    model = MODELS.build(config)
    assert all(offered_by(model, interface) is not None for interface in (Contrasts, Matches, Writes))
    with pytest.raises(FileNotFoundError):
        serving(model, Writes, 'x').tokenizer.encode('w1', 5)
