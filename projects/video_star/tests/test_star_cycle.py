"""The cycle: what is kept, what is never saved, where it goes on."""

import json

import pytest
import star_world
from star_world import COLORS, Parrot, calls, cycles

from omnivl.engine.distributed import init_process_group
from omnivl.errors import OmniVLError
from projects.video_star.page import write_page
from projects.video_star.records import Journal, read_instructions
from tests.forked import run_ranks

CLIPS = [(f'{number}.mp4', color) for number, color in enumerate(('red', 'green', 'blue', 'grey', 'green'))]
HELD_OUT = [('a.mp4', 'green'), ('b.mp4', 'blue')]


def provenance(folder, number):
    return [json.loads(line) for line in (folder / f'cycle_{number}/provenance.jsonl').read_text().splitlines()]


def verdicts(folder, number):
    return [row['verdict'] for row in provenance(folder, number)]


def test_three_cycles(tmp_path):
    run = cycles(tmp_path, CLIPS, HELD_OUT)
    results = list(run.run())
    # Green is rationalised at first, and known from then on; blue follows no hint; nothing decodes grey.
    assert verdicts(run.out, 1) == ['direct', 'rationalised', 'rejected', 'broken', 'rationalised']
    assert verdicts(run.out, 2) == ['direct', 'direct', 'rejected', 'broken', 'direct']
    assert [result.figures['held_out']['all'] for result in results] == [0.0, 50.0, 50.0, 50.0]
    assert results[1].figures['yield'] == {'class': dict(direct=1, rationalised=2, rejected=1, broken=1)}
    assert json.loads((run.out / 'cycle_1/figures.json').read_text()) == results[1].figures
    # The last cycle does not rationalise, as in the paper.
    prompts = [text for _, text, seed in calls(run.generator.log, 'answer') if seed is not None]
    assert sum('Answer:' in text for text in prompts) == 3 + 1 + 0
    # Each cycle begins at the pretrained weights, and asks with those of the cycle before.
    assert [weights for (weights,) in calls(run.generator.log, 'load')][:3] == [None, None, '["green", "red"]']


@pytest.mark.parametrize('keep', ['verified', 'all'])
def test_a_held_out_clip_that_cannot_be_read_is_wrong_for_a_reason(tmp_path, monkeypatch, keep):
    run = cycles(tmp_path, CLIPS[:1], [*HELD_OUT[:1], ('c.mp4', 'grey')], cycles=1, keep=keep)
    told = []
    monkeypatch.setattr('projects.video_star.cycle.print_log', lambda text, *_: told.append(text))
    assert next(run.run()).figures['held_out']['all'] == 0.0
    row = Journal(run.folder(0), 'held_out').read()['held_out/1']
    assert (row['verdict'], row['reason']) == ('broken', 'no frame')
    assert told == [
        'cycle 0: 1 of 2 held-out questions are about clips that cannot be read and count as wrong, as c.mp4: no frame'
    ]


def test_the_hint_is_in_the_prompt_and_never_in_what_is_saved(tmp_path):
    run = cycles(tmp_path, CLIPS, cycles=1, rationalise='{question} SECRET {hint}')
    run.generator.say = lambda prompt: star_world.Said('It is green.' if 'SECRET green' in prompt.text else 'Dark.')
    list(run.run())
    assert any('SECRET' in text for _, text, _ in calls(run.generator.log, 'answer'))
    assert 'rationalised' in verdicts(run.out, 1)
    for name in ('provenance.jsonl', 'instructions.json'):
        assert 'SECRET' not in (run.out / 'cycle_1' / name).read_text()
    assert 'SECRET' not in json.dumps(calls(run.generator.log, 'finetune'))


def test_instructions_are_in_the_published_form(tmp_path):
    run = cycles(tmp_path, CLIPS, cycles=1)
    list(run.run())
    rows = json.loads((run.out / 'cycle_1/instructions.json').read_text())
    question = run.questions[0].text
    assert rows[0] == {
        'question_id': 'clips/0',
        'video_path': '0.mp4',
        'question': question,
        'label': {'class': 'red'},
        'label_type': ['class'],
        'verifier_type': ['ClassName'],
        'output': 'The picture is red.',
        'conversations': [
            {'from': 'human', 'value': f'<video>\n{question}'},
            {'from': 'gpt', 'value': 'The picture is red.'},
        ],
        'rationale': True,
        'cls_correct': True,
    }
    assert [row['rationale'] for row in rows] == [True, False, False]
    first = read_instructions(str(run.out / 'cycle_1/instructions.json'))[0]
    assert (first.question, first.answer) == (question, 'The picture is red.')


def test_a_run_that_dies_goes_on_where_it_was_and_gives_the_same(tmp_path):
    whole = cycles(tmp_path, CLIPS, HELD_OUT, out='whole', cycles=2)
    list(whole.run())
    deaths = 0
    while True:
        parrot = Parrot([*CLIPS, *HELD_OUT], tmp_path / 'log', dies_after=4)
        try:
            list(cycles(tmp_path, CLIPS, HELD_OUT, parrot=parrot, cycles=2).run())
            break
        except KeyboardInterrupt:
            deaths += 1
            for journal in (tmp_path / 'out').glob('cycle_*/answers.0.jsonl'):
                with journal.open('a') as file:
                    file.write('{"question_id": "cli')  # as a kill in the middle of a write leaves it
    assert deaths > 2
    for number in (1, 2):
        assert provenance(tmp_path / 'out', number) == provenance(whole.out, number)
    before = (tmp_path / 'log').read_text()
    list(cycles(tmp_path, CLIPS, HELD_OUT, parrot=Parrot(CLIPS, tmp_path / 'log'), cycles=2).run())
    assert (tmp_path / 'log').read_text() == before  # nothing is asked, loaded or tuned again


def test_draws_depend_on_the_question_alone(tmp_path):
    one = cycles(tmp_path, CLIPS, out='one', cycles=1)
    other = cycles(tmp_path, CLIPS[::-1], out='other', cycles=1)
    other.questions = one.questions[::-1]
    for run in (one, other):
        list(run.run())
    asked = [sorted(calls(run.generator.log, 'answer')) for run in (one, other)]
    assert asked[0] == asked[1] and len({seed for _, _, seed in asked[0]}) == len(asked[0])


def as_rank(folder, clips, held_out):
    init_process_group('pytorch')
    run = cycles(folder, clips, held_out, out='both', cycles=2)
    list(run.run())


def test_two_processes_give_what_one_gives(tmp_path):
    one = cycles(tmp_path, CLIPS, HELD_OUT, out='one', cycles=2)
    list(one.run())
    run_ranks(as_rank, tmp_path, CLIPS, HELD_OUT)
    for number in (1, 2):
        assert provenance(tmp_path / 'both', number) == provenance(one.out, number)
        figures = [(tmp_path / name / f'cycle_{number}/figures.json').read_text() for name in ('both', 'one')]
        assert figures[0] == figures[1]
    assert sorted(path.name for path in (tmp_path / 'both/cycle_1').glob('answers.*')) == [
        'answers.0.jsonl',
        'answers.1.jsonl',
    ]


def test_rows_of_another_number_of_processes_are_not_asked_again(tmp_path):
    run = cycles(tmp_path, CLIPS, cycles=1)
    journal = Journal(run.folder(1), 'answers')
    journal.path = run.folder(1) / 'answers.7.jsonl'
    journal.append(run.row(1, question, 'direct', 'It is red.', 'names it') for question in run.questions[:4])
    list(run.run())
    assert {video for video, _, _ in calls(run.generator.log, 'answer')} == {'4.mp4'}


@pytest.mark.parametrize(
    'settings, kept',
    [
        (dict(keep='all'), ['The picture is red.', 'It is dark.', 'It is dark.', 'It is dark.']),
        (dict(keep='labels'), ['red', 'green', 'blue', 'grey', 'green']),
        (dict(rationalise=None), ['The picture is red.']),
    ],
)
def test_arms_of_a_study(tmp_path, settings, kept):
    run = cycles(tmp_path, CLIPS, cycles=1, **settings)
    list(run.run())
    ((samples, _),) = calls(run.generator.log, 'finetune')
    assert [sample['answer'] for sample in samples] == kept


def test_other_data_joins_in_the_last_cycle(tmp_path):
    said = [{'from': 'human', 'value': '<video>\nHow many?'}, {'from': 'gpt', 'value': 'Two.'}]
    (tmp_path / 'mix.json').write_text(json.dumps([{'video': 'x.mp4', 'conversations': said}]))
    run = cycles(tmp_path, CLIPS, cycles=2, mix=str(tmp_path / 'mix.json'), mix_root='videos')
    list(run.run())
    first, last = (samples for samples, _ in calls(run.generator.log, 'finetune'))
    mixed = dict(id='0/0', video='videos/x.mp4', clip=None, question='How many?', answer='Two.')
    assert mixed not in first and last[-1] == mixed
    alone = cycles(tmp_path / 'alone', CLIPS, cycles=1, keep='none', mix=str(tmp_path / 'mix.json'), mix_root='videos')
    result = list(alone.run())[-1]
    assert [samples for samples, _ in calls(alone.generator.log, 'finetune')] == [[mixed]]
    assert result.figures['reasons'] == {'not asked': len(CLIPS)}
    (tmp_path / 'mix.json').write_text(json.dumps([{'video': 'x.mp4', 'conversations': said[:1]}]))
    with pytest.raises(OmniVLError, match='row 0: a row has video_path'):  # before the first cycle
        cycles(tmp_path, CLIPS, mix=str(tmp_path / 'mix.json'))
    with pytest.raises(OmniVLError, match=r'there is no file of instructions .*none\.json; see mix in the settings'):
        cycles(tmp_path, CLIPS, mix=str(tmp_path / 'none.json'))


def test_more_attempts_end_at_the_first_that_passes(tmp_path):
    run = cycles(tmp_path, CLIPS[:1], cycles=1, attempts=3, rationalise=None)
    said = iter(('Dark.', 'It is red.'))
    run.generator.say = lambda prompt: star_world.Said(next(said))
    list(run.run())
    (row,) = provenance(run.out, 1)
    assert row['verdict'] == 'direct' and [one['answer'] for one in row['attempts']] == ['Dark.', 'It is red.']
    assert row['attempts'][0]['reason'] == 'not named: red'


def test_what_cannot_be_is_refused(tmp_path):
    with pytest.raises(OmniVLError, match=r'0\.mp4 is held out, and would be generated from, too'):
        cycles(tmp_path, CLIPS, CLIPS[:1])
    run = cycles(tmp_path, CLIPS)
    run.questions *= 2
    with pytest.raises(OmniVLError, match="questions: the id 'clips/0' is there twice"):
        run.__post_init__()
    with pytest.raises(OmniVLError, match='cycle 1: no answer was kept, so there is nothing to tune on'):
        list(cycles(tmp_path, [('0.mp4', 'grey')]).run())
    for settings, message in (
        (dict(keep='some'), 'keep must be one of'),
        (dict(cycles=0), 'cycles and attempts must be at least 1, got 0 and 1'),
        (dict(answer='What?'), 'the prompt answer must hold {question}'),
        (dict(rationalise='{question}'), 'the prompt rationalise must hold {question} and {hint}'),
    ):
        with pytest.raises(OmniVLError, match=message):
            cycles(tmp_path, CLIPS, **settings)


def test_the_page_shows_yield_samples_and_the_curve(tmp_path):
    clips = star_world.write_clips(tmp_path, 4)
    run = cycles(tmp_path, clips, HELD_OUT, cycles=2)
    results = list(run.run())
    text = write_page(run, results).read_text()
    assert 'Cycle 2 of 2' in text and 'The picture is red.' in text and 'names it' in text
    assert '<td>2</td><td>0</td><td>1</td><td>1</td><td>50.0%</td>' in text
    assert text.count('<polyline') == 2 and 'held_out 50.0%' in text
    assert 'data:image/jpeg' in text and len(COLORS) == text.count('class="card caption')
    empty = cycles(tmp_path, clips, out='empty', cycles=1)
    assert 'No questions are held out.' in write_page(empty, list(empty.run())).read_text()
