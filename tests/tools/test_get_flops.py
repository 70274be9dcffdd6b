import json
from pathlib import Path

import pytest
import torch
from data_config import call_tool
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from omnivl.commands.flops import counting as flops
from omnivl.models import OmniVLClassifier

ROOT = Path(__file__).parents[2]
TOOL = vars(flops)
Sizes, Meter = TOOL['Sizes'], TOOL['Meter']
SMALL = Sizes(32, 4, 9)  # for the tiny model
BASE = ROOT / 'configs/_base_/models/omnivl_base.py'


@pytest.fixture(scope='module')
def base():
    """The lines of the base model for texts of 21 word pieces, without training steps, which take most of the time."""
    from mmengine.config import Config

    model = TOOL['build_model'](Config.fromfile(BASE).model)
    parts = TOOL['count_parameters'](model)
    for modality in ('image', 'video'):
        for name, count in Meter(model, modality, Sizes(224, 8, 21), False).run().items():
            parts[name].flops[f'{modality} forward'] = count
    return parts


def test_the_image_path_is_vit_base(base):
    """17.6 billion multiply-adds, the figure that everyone gives for ViT-B/16 at 224 pixels."""
    width, tokens = 768, 197
    block = 12 * tokens * width**2 + 2 * tokens**2 * width  # qkv 3, projection 1, feed-forward 8; q k^T and weights v
    patches = (tokens - 1) * width * 3 * 16**2
    found = base['image tokenizer'].flops['image forward'] + base['visual encoder'].flops['image forward']
    assert found == 2 * (12 * block + patches)
    assert found / 2e9 == pytest.approx(17.6, abs=0.05)


def test_the_video_path_by_hand(base):
    width, time, patches = 768, 8, 196
    spatial = time * (12 * (patches + 1) * width**2 + 2 * (patches + 1) ** 2 * width)
    temporal = patches * (4 * time * width**2 + 2 * time**2 * width)  # qkv and projection, attention over 8 positions
    assert base['visual encoder'].flops['video forward'] == 2 * 12 * (spatial + temporal)
    assert base['video tokenizer'].flops['video forward'] == 2 * time * patches * width * 3 * 3 * 16**2


def test_the_text_models_by_hand(base):
    width, words, visual, vocabulary = 768, 21, 197, 30524
    layer = 12 * words * width**2 + 2 * words**2 * width
    # [CLS] and [ENC] are all that is wanted of the last layer: keys and values of every word, the rest of one.
    last = (2 * words + 2 + 8) * width**2 + 2 * words * width
    assert base['text encoder'].flops['image forward'] == 2 * (11 * layer + last)
    cross = 2 * words * width**2 + 2 * words * visual * width  # query and projection, attention
    keys = 2 * visual * width**2
    cross_last = 2 * width**2 + 2 * visual * width
    found = base['alignment decoder'].flops['image forward']
    assert found == 2 * (11 * (layer + cross) + last + cross_last + 12 * keys)
    head = (words - 1) * (width**2 + width * vocabulary)
    assert base['heads and losses'].flops['image forward'] == 2 * (head + 2 * width * 256 + 2 * width)


def test_parameters_are_counted_once(base):
    """ViT-B without head, BERT without pooler and token types: the numbers of timm and Hugging Face."""
    shared_by_image = 85_798_656 - 590_592  # timm's vit_base_patch16_224 without head, without patches
    assert base['image tokenizer'].parameters == 590_592
    temporal = 12 * (4 * 768**2 + 4 * 768 + 2 * 768) + 8 * 768
    assert base['visual encoder'].parameters == shared_by_image + temporal
    bert = 109_482_240 - 590_592 - 2 * 768 + 2 * 768  # its pooler and token types; [DEC] and [ENC]
    assert base['text encoder'].parameters == bert
    cross = 12 * (4 * 768**2 + 4 * 768 + 2 * 768)
    assert base['alignment decoder'].parameters == cross and base['alignment decoder'].shared == bert
    assert base['momentum encoder'].parameters > 2e8


def made_again(modality: str, size: int) -> int:
    """Count both products of attention over 4 frames at 16 places, width 16, 2 blocks: on a CPU they are made again."""
    return 2 * 2 * size * 16 * 4**2 * 16 * 2 if modality == 'video' else 0


@pytest.mark.parametrize('modality', ['image', 'video'])
@pytest.mark.parametrize(
    'options',
    [
        {},
        dict(trunk=dict(share='none')),
        dict(losses=[dict(type='UniVLCLoss'), dict(type='LanguageLoss')]),
        dict(losses=[dict(type='UniVLCLoss'), dict(type='MatchingLoss')]),
    ],
)
def test_the_parts_are_the_whole_step(tiny_config, tiny_model, random_batch, modality, options):
    """The sum over the parts is what a real training step does."""
    size = 4
    batch = random_batch(size, modality)
    batch.text_mask = torch.ones_like(batch.text_mask)
    model = tiny_model(**options).train()
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        losses = model(batch, mode='loss')
        sum(loss for name, loss in losses.items() if 'loss' in name).backward()
    meter = Meter(TOOL['build_model'](tiny_config(**options)), modality, Sizes(32, 4, batch.text_ids.shape[1]), True)
    queue, width = 12, 8
    # A batch is compared with the features of all of it, not of one sample; so is the product that chooses negatives.
    comparisons = 2 * 2 * 2 * (size - 1) * width * size  # two directions, forward and backward
    choice = 2 * size * (size - 1) * width if 'vlm' in model.loss_names else 0
    assert queue == model.queues.length
    expected = meter.run().total() * size + comparisons + choice + made_again(modality, size)
    assert expected == pytest.approx(counter.get_total_flops(), rel=2e-4)


@pytest.mark.parametrize('modality', ['image', 'video'])
@pytest.mark.parametrize(
    ('task', 'loss'), [(dict(type='OmniVLCaption'), 'lm'), (dict(type='OmniVLClassifier', num_classes=3), 'class')]
)
def test_the_parts_are_the_whole_step_of_other_tasks(tiny_config, tiny_model, random_batch, modality, task, loss):
    batch = random_batch(4, modality)
    batch.text_mask = torch.ones_like(batch.text_mask)
    batch.labels = torch.zeros(4, dtype=torch.int64)
    model = tiny_model(**task).train()
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model(batch, mode='loss')[f'loss_{loss}'].backward()
    sizes = Sizes(32, 4, batch.text_ids.shape[1])
    meter = Meter(TOOL['build_model'](tiny_config(**task)), modality, sizes, True)
    expected = meter.run().total() * 4 + made_again(modality, 4)
    assert expected == pytest.approx(counter.get_total_flops(), rel=2e-4)


def test_every_line_of_a_step_is_three_times_its_forward_pass(tiny_config):
    """Of all matrices both factors take a gradient, but for pixels, and for the three pairs of VLM."""
    parts = TOOL['measure'](TOOL['build_model'](tiny_config(trunk=dict(share='none'))), SMALL)
    for name, factor in {'image tokenizer': 2, 'visual encoder': 3, 'text encoder': 3, 'generation decoder': 3}.items():
        assert parts[name].flops['image step'] == factor * parts[name].flops['image forward'], name
    assert parts['momentum encoder'].flops['image step'] == pytest.approx(
        sum(parts[name].flops['image forward'] for name in ('image tokenizer', 'visual encoder', 'text encoder')),
        rel=0.01,  # and its projections
    )


def test_sizes_matter_as_they_should(tiny_config):
    model = TOOL['build_model'](tiny_config())

    def visual(modality, *sizes):
        return Meter(model, modality, Sizes(*sizes), False).run()

    assert visual('image', 32, 4, 9)['image tokenizer'] * 4 == visual('image', 64, 4, 9)['image tokenizer']
    assert visual('video', 32, 4, 9)['video tokenizer'] * 2 == visual('video', 32, 8, 9)['video tokenizer']
    assert visual('image', 32, 4, 9)['visual encoder'] == visual('image', 32, 8, 12)['visual encoder']
    assert visual('image', 32, 4, 9)['text encoder'] < visual('image', 32, 4, 12)['text encoder']


def test_checkpointing_costs_another_forward_pass(tiny_config):
    plain, again = (
        Meter(
            TOOL['build_model'](tiny_config(trunk=dict(encoder=dict(activation_checkpointing=kept)))),
            'video',
            SMALL,
            True,
        ).run()
        for kept in (False, True)
    )
    not_needed = 2 * 2 * (4 * 17) * 64 * 16  # torch stops before the last product of each of the two blocks
    assert again['visual encoder'] == plain['visual encoder'] * 4 / 3 - not_needed


def test_answers_look_at_the_question_whatever_is_seen(tiny_config):
    parts = TOOL['measure'](TOOL['build_model'](tiny_config('OmniVLQA')), SMALL)
    assert parts['generation decoder'].flops['image forward'] == parts['generation decoder'].flops['video forward'] > 0
    assert 'video step' in parts['total'].flops and 'momentum encoder' not in parts
    assert parts['total'].parameters == sum(part.parameters for name, part in parts.items() if name != 'total')


def test_a_model_without_losses_has_its_features_counted(tiny_config):
    parts = TOOL['measure'](TOOL['build_model'](tiny_config('TrunkModel')), SMALL)
    assert list(parts['total'].flops) == ['image forward', 'video forward']
    assert parts['visual encoder'].flops['image forward'] > 0 and not parts['generation decoder'].flops


def test_parts_that_this_tool_does_not_know_are_counted(tiny_config):
    """A model of a project: any parts under any names, whatever its class."""

    class Pooler(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.proj = torch.nn.Linear(16, 4, bias=False)

    class Pooled(OmniVLClassifier):
        def __init__(self, **options):
            super().__init__(**options)
            self.pooler, self.head = Pooler(), torch.nn.Linear(4, self.num_classes)

        @property
        def parts(self):
            return {**super().parts, 'attention_pooler': self.pooler}

        def classify(self, batch):
            return self.head(self.pooler.proj(self.encode(batch).pooled))

    parts = TOOL['measure'](TOOL['build_model'](tiny_config(Pooled, num_classes=3)), SMALL)
    assert parts['attention pooler'].parameters == 16 * 4
    assert parts['attention pooler'].flops['image forward'] == 2 * 16 * 4
    assert parts['attention pooler'].flops['image step'] == 3 * 2 * 16 * 4
    assert parts['heads and losses'].flops['image forward'] == 2 * 4 * 3


@pytest.fixture
def config(tmp_path, tiny_config):
    """The tiny model in a file."""
    path = tmp_path / 'config.py'
    path.write_text(f'model = {tiny_config()!r}')
    return path


def test_table_and_json(monkeypatch, capsys, config):
    assert call_tool(monkeypatch, 'get_flops.py', config, '--size', 64, '--frames', 2, '--words', 5) == 0
    output = capsys.readouterr().out
    assert '64 x 64 pixels, clips of 2 frames, texts of 5 word pieces' in output
    assert 'M parameters are trained' in output and 'video step, GFLOPs' in output
    assert call_tool(monkeypatch, 'get_flops.py', config, '--words', 20, '--json') == 0
    table = json.loads(capsys.readouterr().out)
    assert table['sizes'] == dict(size=32, frames=4, words=20, views=1)
    total = table['parts'].pop('total')
    assert total['flops']['video step'] == sum(part['flops'].get('video step', 0) for part in table['parts'].values())


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--size', '100', '--words', '9'], 'must be multiples of the patch size 8, got 100x100'),
        (['--words', '25'], 'longer than the 24 positions'),
        (['--words', '1'], '--words must be at least 2'),
        (['--frames', '0'], '--frames must be at least 1'),
    ],
)
def test_errors_say_what_is_allowed(monkeypatch, capsys, config, options, message):
    assert call_tool(monkeypatch, 'get_flops.py', config, *options) != 0
    assert message in capsys.readouterr().err


def test_a_config_without_a_model_of_this_project_is_an_error(monkeypatch, tmp_path, capsys):
    path = tmp_path / 'config.py'
    path.write_text('work_dir = "x"')
    assert call_tool(monkeypatch, 'get_flops.py', path) == 1
    assert 'has no model' in capsys.readouterr().err
    path.write_text('model = dict(type="torch.nn.Identity")')
    assert call_tool(monkeypatch, 'get_flops.py', path) == 1
    assert 'model is a Identity' in capsys.readouterr().err


def test_a_module_that_is_not_there_is_named(monkeypatch, tmp_path, capsys):
    path = tmp_path / 'config.py'
    path.write_text('from nowhere import Model\n\nmodel = dict(type=Model)')
    assert call_tool(monkeypatch, 'get_flops.py', path) == 1
    assert 'the config cannot be built: Failed to import nowhere' in capsys.readouterr().err


def test_help_has_an_example(monkeypatch, capsys):
    assert call_tool(monkeypatch, 'get_flops.py', '--help') == 0
    assert 'python tools/get_flops.py configs/' in capsys.readouterr().out
