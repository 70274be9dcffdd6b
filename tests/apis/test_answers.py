import pytest
from api_world import write_checkpoint, write_config

from omnivl.apis import OmniVLInferencer


@pytest.fixture
def answerer(tiny_config, world, tmp_path):
    def make(batch_size):
        return OmniVLInferencer(config, checkpoint, device='cpu', batch_size=batch_size)

    model = tiny_config('OmniVLQA')
    tokenize = dict(type='TokenizeText', tokenizer=model['trunk']['tokenizer'], max_length=9)
    size = dict(type='Resize', size=32)
    text = [dict(type='CleanQuestion', max_words=10), tokenize, dict(type='PackSample')]
    config = write_config(
        world.root,
        model,
        image_test_pipeline=[dict(type='LoadImage'), size, *text],
        video_test_pipeline=[dict(type='LoadVideo', num_frames=4), size, *text],
        **dict(test_dataloader=None, test_evaluator=None, test_cfg=None),
    )
    checkpoint = write_checkpoint(tmp_path / 'qa.pth', model)
    return make


@pytest.mark.parametrize('answers', [None, ['w1', 'w2 w3', 'w4 w5 w6', 'w7']])
def test_answers_alone_and_in_batches(answerer, mixture, answers):
    questions = ['W1 w2. w3?', 'w4']
    alone = [answerer(1).answer([item], 'w4', answers)[0] for item in mixture]
    both = answerer(4).answer([*mixture, 'nowhere.png'], questions, answers)
    assert both[-1]['error'] == 'there is no such file'
    for one, row in zip(alone, both):
        first, second = row['answers']
        assert first['question'] == 'w1 w2 w3?' and one['question'] == second['question'] == 'w4'
        assert one['answer'] == second['answer'] and one['score'] == pytest.approx(second['score'], abs=1e-5)
        assert answers is None or second['answer'] in answers
    assert len({row['answers'][0]['score'] for row in both[:-1]}) == len(mixture)


def test_options_of_answers(answerer, world):
    inferencer = answerer(4)
    one = inferencer.answer(world.images[0], 'w1', options=dict(method='greedy', max_length=1))
    assert len(one['answer'].split()) <= 1
    with pytest.raises(ValueError, match=r"method must be one of .*'best'"):
        inferencer.answer(world.images[0], 'w1', options=dict(method='best'))
    with pytest.raises(ValueError, match='answers must hold at least one answer'):
        inferencer.answer(world.images[0], 'w1', answers=[])
    with pytest.raises(ValueError, match=r'there is no word in it|empty after cleaning'):
        inferencer.answer(world.images[0], '!')
