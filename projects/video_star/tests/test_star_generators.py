"""The two kinds of generators run each phase of the cycle, at toy size."""

import importlib.util
import json

import pytest
import torch
from star_models import MODELS, write_model
from star_world import questions_about, write_clips

from omnivl.errors import OmniVLError
from projects.video_star.cycle import Cycles, Settings
from projects.video_star.generators import Prompt, Sample, VideoLanguageModel
from projects.video_star.generators.video_language import Training, import_peft

HAS_PEFT = importlib.util.find_spec('peft') is not None
TRAIN = dict(lr=1e-2, batch_size=2, save_every=1)


@pytest.fixture(scope='module')
def clips(tmp_path_factory):
    return write_clips(tmp_path_factory.mktemp('clips'), 3)


@pytest.fixture(scope='module')
def video_llava(tmp_path_factory):
    return write_model('VideoLlava', tmp_path_factory.mktemp('video_llava'))


def generator(model, **options):
    options = dict(dict(num_frames=2, max_new_tokens=3, temperature=1.0, train=TRAIN, device='cpu'), **options)
    return VideoLanguageModel(model, **options)


def samples_of(clips):
    return [
        Sample(str(number), video, None, 'What is it?', f'It is {color}.')
        for number, (video, color) in enumerate(clips)
    ]


@pytest.mark.parametrize('name', MODELS)
def test_two_steps_of_every_class_of_the_family(name, tmp_path, clips, video_llava):
    folder = video_llava if name == 'VideoLlava' else write_model(name, tmp_path / 'model')
    model = generator(folder)
    model.load(None)
    prompts = [Prompt(video, None, 'What is it?', seed) for seed, (video, _) in enumerate(clips)]
    said = model.answer(prompts)
    assert [model.answer([prompt])[0] for prompt in prompts] == said
    assert {len(one.text.split()) > 0 for one in said} == {True}
    weights = model.finetune(samples_of(clips), tmp_path / 'train', seed=0)
    before, after = (model._pretrained(path).state_dict() for path in (folder, weights))
    changed = [key for key in before if not torch.equal(before[key], after[key])]
    assert any('lm_head' in key for key in changed)
    model.load(weights)
    assert len(model.answer(prompts)) == 3


def test_the_cycle_runs_with_a_video_language_model(tmp_path, clips, video_llava):
    """Two steps of each phase; random words hold no color, so the arm without a verifier keeps them."""
    for keep in ('verified', 'all'):
        model = generator(video_llava)
        asked = questions_about(clips[:2])
        run = Cycles(model, asked, questions_about(clips[2:], 'held'), Settings(cycles=2, keep=keep), tmp_path / keep)
        if keep == 'all':
            results = list(run.run())
            assert results[-1].figures['yield'] == {'class': {'direct': 2}}
        else:
            rows = run.generate(1, None)
            assert [[one['phase'] for one in row['attempts']] for row in rows] == [['direct', 'rationalised']] * 2


def test_only_the_answer_is_learnt(clips, video_llava):
    model = generator(video_llava)
    model.load(None)
    example = model._example(samples_of(clips)[0])
    learnt = example['labels'][0] != -100
    words = model.processor.tokenizer.convert_ids_to_tokens(example['input_ids'][0][learnt].tolist())
    assert words == ['It', 'is', 'red', '.', '</s>']


def test_a_training_that_was_killed_gives_the_same_weights(tmp_path, clips, video_llava, monkeypatch):
    train = dict(TRAIN, epochs=3)
    whole = generator(video_llava, train=train).finetune(samples_of(clips), tmp_path / 'whole', seed=3)
    monkeypatch.setattr(Training, 'steps', lambda self, samples: 5)

    class Killed(VideoLanguageModel):
        left = 2

        def _step(self, *arguments):
            if self.left == 0:
                raise KeyboardInterrupt
            self.left -= 1
            return super()._step(*arguments)

    killed = Killed(video_llava, num_frames=2, train=train, device='cpu')
    with pytest.raises(KeyboardInterrupt):
        killed.finetune(samples_of(clips), tmp_path / 'broken', seed=3)
    again = generator(video_llava, train=train)
    broken = again.finetune(samples_of(clips), tmp_path / 'broken', seed=3)
    one, other = (again._pretrained(path).state_dict() for path in (whole, broken))
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_weights_of_bfloat16_take_small_steps(tmp_path, clips, video_llava):
    """They are float32 while they are tuned, and bfloat16 again when they are saved."""
    train = dict(lr=1e-4, batch_size=1, epochs=3, recompute=True)
    model = generator(video_llava, dtype='bfloat16', train=train)
    weights = model.finetune(samples_of(clips), tmp_path, seed=0)
    before, after = (model._pretrained(path).state_dict() for path in (video_llava, weights))
    assert {value.dtype for value in after.values()} == {torch.bfloat16}
    changed = [(before[key] != after[key]).float().mean() for key in before if 'lm_head' in key]
    assert min(changed) > 0


def test_lora_tunes_an_adapter(tmp_path, clips, video_llava):
    if not HAS_PEFT:
        with pytest.raises(OmniVLError, match=r"LoRA needs peft, .*: pip install 'omnivl\[lora\]'"):
            import_peft()
        pytest.skip('peft is not installed')
    model = generator(video_llava, lora=dict(r=2, lora_alpha=4, target_modules=['q_proj', 'v_proj']))
    weights = model.finetune(samples_of(clips), tmp_path, seed=0)
    assert json.loads((tmp_path / 'model/adapter_config.json').read_text())['r'] == 2
    assert not list((tmp_path / 'model').glob('model*.safetensors'))
    model.load(weights)
    assert type(model.model).__name__.startswith('Peft')
    assert len(model.answer([Prompt(clips[0][0], None, 'What is it?')])) == 1


def test_a_clip_that_cannot_be_read_is_told(tmp_path, video_llava):
    (tmp_path / 'broken.mp4').write_bytes(b'no video')
    model = generator(video_llava)
    model.load(None)
    (said,) = model.answer([Prompt(str(tmp_path / 'broken.mp4'), None, 'What is it?')])
    assert said.text == '' and said.error


def test_models_that_are_none(tmp_path, video_llava):
    with pytest.raises(OmniVLError, match='none is neither a folder nor a name on the hub'):
        generator(str(tmp_path / 'none')).load(None)
    with pytest.raises(OmniVLError, match="has no 'VideoDream'; set architecture to a video language model"):
        generator(video_llava, architecture='VideoDream').load(None)
