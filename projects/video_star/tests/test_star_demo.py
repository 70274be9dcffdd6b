"""The demo's questions, OmniVL as the generator, the command and the study, at toy size."""

import csv
import json

import pytest
from star_world import COLORS, write_clip

from omnivl.errors import OmniVLError
from projects.video_star import study
from projects.video_star.cycle import Settings
from projects.video_star.demo_questions import ask, read_captions, write_questions
from projects.video_star.generators import OmniVLAnswers, Prompt, Sample
from projects.video_star.records import read_instructions
from projects.video_star.registry import GENERATORS, LABEL_READERS
from projects.video_star.run import main, read_cycle_config, read_questions

WORDS = ('[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', *COLORS, 'a', 'circle', 'square', 'moving', 'left', 'near')
WORDS += ('what', 'is', 'the', 'shape', 'doing', 'color', '?')
ENCODER = 'model.trunk.visual_encoder.'
CHANGES = {
    'load_from': None,
    'train_dataloader.video.batch_size': 2,
    'train_dataloader.video.num_workers': 0,
    'model.trunk.visual_encoder.depth': 1,
    'default_hooks.logger.interval': 1,
}


@pytest.fixture(scope='module')
def corpus(tmp_path_factory):
    """A corpus of the demo's form with five clips."""
    root = tmp_path_factory.mktemp('demo')
    (root / 'annotations').mkdir()
    (root / 'videos/page').mkdir(parents=True)
    (root / 'vocab.txt').write_text('\n'.join(WORDS))
    for split, numbers in (('train', range(4)), ('test', range(4, 6))):
        with (root / f'annotations/webvid_{split}.csv').open('w', newline='') as file:
            rows = csv.writer(file)
            rows.writerow(('videoid', 'contentUrl', 'duration', 'page_dir', 'name'))
            for number in numbers:
                color = list(COLORS)[number % 3]
                write_clip(root / f'videos/page/{number}.mp4', COLORS[color], size=64)
                rows.writerow((number, '', '', 'page', f'a {color} circle moving left near a blue square'))
    return root


@pytest.fixture
def place(corpus, tmp_path, monkeypatch):
    """The variables by which configs find it, and the questions."""
    monkeypatch.setenv('OMNIVL_DEMO_DATA', str(corpus))
    monkeypatch.setenv('OMNIVL_STAR_QUESTIONS', str(tmp_path / 'questions'))
    monkeypatch.setenv('OMNIVL_STAR_SEED', str(tmp_path / 'seed'))
    return tmp_path


def test_questions_about_a_caption():
    asked = {one.kind: one for one in ask('a red circle moving left near a blue square')}
    assert [(one.question, one.answer, one.label) for one in asked.values()] == [
        ('what is the shape doing?', 'a red circle moving left near a blue square', 'moving left'),
        ('what color is the shape moving left?', 'the circle is red', 'red'),
        ('what shape is moving left?', 'a red circle is moving left', 'circle'),
        ('what is near the red circle?', 'a blue square is near the circle', 'blue square'),
    ]
    with pytest.raises(OmniVLError, match="no caption of a clip of the demo: 'a dog'"):
        ask('a dog')


def test_the_first_model_learns_hints_and_labels_are_of_two_kinds(corpus, tmp_path):
    write_questions(corpus, tmp_path, seed=1, labelled=2, held_out=1)
    rows = {name: json.loads((tmp_path / f'{name}.json').read_text()) for name in ('seed', 'labels', 'held_out')}
    assert {name: len(found) for name, found in rows.items()} == {'seed': 8, 'labels': 4, 'held_out': 4}
    assert rows['seed'][1]['question'] == 'what is the shape doing? moving left'
    assert [row['answer'] for row in rows['labels'][:2]] == ['moving left', 'green']
    mixed = read_instructions(str(tmp_path / 'instructions.json'))
    plain = [(row['question'], row['answer']) for row in rows['seed'] if not row['question_id'].endswith('_hint')]
    assert [(one.question, one.answer) for one in mixed] == plain
    videos = [{row['video'] for row in found} for found in rows.values()]
    assert not set.intersection(*videos)
    with pytest.raises(
        OmniVLError, match=r'has 4 clips for training and 2 to test on; ask for fewer than 3 \+ 2 and 1'
    ):
        write_questions(corpus, tmp_path, seed=3, labelled=2, held_out=1)
    with pytest.raises(OmniVLError, match='no demo corpus in'):
        read_captions(tmp_path, 'train')


def test_omnivl_answers_and_is_tuned(place, corpus):
    """Draws are of the prompt alone; a tuning leaves a checkpoint that answers; a broken clip is told."""
    clip = str(corpus / 'videos/page/0.mp4')
    steps = {'train_cfg.max_iters': 2, 'param_scheduler': []}
    model = OmniVLAnswers(str(study.ANSWERS), weights='', max_length=4, changes=CHANGES | steps)
    model.weights = None
    samples = [Sample('1', clip, None, 'what is the shape doing?', 'moving left')] * 3
    weights = model.finetune(samples, place / 'seed', seed=0)
    assert weights.endswith('iter_2.pth')
    model.load(weights)
    (place / 'broken.mp4').write_bytes(b'no video')
    prompts = [Prompt(clip, (0.0, 1.0), 'what color is the shape ?', seed) for seed in (1, 2, None)]
    said = model.answer([*prompts, Prompt(str(place / 'broken.mp4'), None, 'what is the shape doing?', 3)])
    assert said[:3] == [model.answer([prompt])[0] for prompt in prompts] and said[3].error
    records = [json.loads(line) for line in (place / 'seed/samples.jsonl').read_text().splitlines()]
    assert records[0]['answers'] == ['moving left'] and records[0]['visual'] == clip


def test_the_study_and_the_command(place, capsys, monkeypatch):
    """Two arms of the study; then the command goes on with the folder of one of them, and has nothing left to do."""
    monkeypatch.setitem(study.ARMS, 'no verifier', dict(cycles=1, keep='all'))
    sizes = dict(seed_clips=2, labelled=2, held_out=1, seed_steps=1, tuning_steps=3, changes=CHANGES)
    arms = ('labels as answers', 'no verifier')
    text = study.study(place / 'study', [0], arms, **sizes)
    made = {path: path.stat().st_mtime_ns for path in (place / 'study').rglob('*.jsonl')}
    assert study.study(place / 'study', [0], arms, **sizes) == text
    assert {path: path.stat().st_mtime_ns for path in (place / 'study').rglob('*.jsonl')} == made
    lines = text.splitlines()
    assert lines[0] == '| | seen | new | all | action | color | shape | near |'
    assert [line.split(' | ')[0] for line in lines[2:5]] == [
        '| the first model',
        '| labels as answers',
        '| no verifier',
    ]
    assert '| labels as answers | 1 | 100.0% | 0.0% | 0.0% |' in lines
    arm = place / 'study/seed_0/no_verifier'
    assert {path.name for path in (arm / 'cycle_1').iterdir()} >= {'provenance.jsonl', 'instructions.json', 'page.html'}
    shown = [
        place / 'study/seed_0' / name / 'cycle_0/held_out.0.jsonl' for name in ('no_verifier', 'labels_as_answers')
    ]
    assert shown[0].read_text() == shown[1].read_text()
    capsys.readouterr()
    main([str(study.CYCLES), '--out', str(arm), '--cfg-options', 'settings.keep=all', 'settings.cycles=1'])
    said = capsys.readouterr().out.splitlines()
    assert said[-1].startswith('cycle 1: 4 direct; held-out accuracy ')


def test_the_config_of_the_demo_asks_two_kinds_and_holds_out_four(place, corpus):
    write_questions(corpus, place / 'questions', seed=1, labelled=2, held_out=1)
    cfg = read_cycle_config(str(study.CYCLES))
    assert [question.text for question in read_questions(cfg, 'questions')] == [
        'what is the shape doing?', 'what is the shape doing?',
        'what color is the shape moving left?', 'what color is the shape moving left?',
    ]  # fmt: skip
    held_out = read_questions(cfg, 'held_out')
    assert [question.id.partition('/')[0] for question in held_out] == ['action', 'color', 'shape', 'near']
    assert 'moving right' in held_out[0].verifiers[0]['classes']
    cfg.questions.action.update(first=1, count=1)
    assert len(read_questions(cfg, 'questions')) == 3


@pytest.mark.parametrize('path', sorted(study.CYCLES.parent.glob('*.py')), ids=lambda path: path.stem)
def test_every_config_of_cycles_is_whole(path, tmp_path):
    """What it names is there, and takes the arguments; files are read, and models loaded, later."""
    cfg = read_cycle_config(str(path))
    cfg.dump(tmp_path / 'dumped.py')
    assert read_cycle_config(str(tmp_path / 'dumped.py')).to_dict() == cfg.to_dict()
    assert set(cfg.to_dict()) >= {'generator', 'questions', 'held_out', 'settings'}
    GENERATORS.build(cfg.generator)
    Settings(**cfg.settings)
    for readers in (cfg.questions, cfg.held_out):
        for reader in readers.values():
            LABEL_READERS.build({key: value for key, value in reader.items() if key not in ('first', 'count')})


def test_configs_of_cycles_that_are_none(tmp_path):
    with pytest.raises(SystemExit, match=r'error: there is no config of cycles .*none.py; look at'):
        main([str(tmp_path / 'none.py')])
    (tmp_path / 'empty.py').write_text('settings = dict(cycles=1)')
    with pytest.raises(SystemExit, match=r'empty.py has no generator and no questions; a config of cycles has'):
        main([str(tmp_path / 'empty.py')])
