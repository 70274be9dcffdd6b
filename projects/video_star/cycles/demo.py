"""Cycles on the demo world: clips of which the action and the color are known, and no more.

The data is made by ``python -m projects.video_star.demo_questions``, the first model by ``omnivl train
projects/video_star/configs/demo_answers.py --work-dir work_dirs/star_seed``.
"""

environment = dict(__import__('os').environ)
data_root = environment.get('OMNIVL_DEMO_DATA', 'data/demo')
questions_root = environment.get('OMNIVL_STAR_QUESTIONS', 'data/demo_star')
seed_model = environment.get('OMNIVL_STAR_SEED', 'work_dirs/star_seed')
del environment

generator = dict(
    type='OmniVLAnswers',
    config='projects/video_star/configs/demo_answers.py',
    weights=seed_model,
    sampling=dict(temperature=0.5),
    max_length=24,
    steps=200,
)

# Kind of question -> its first words, and all that may be the answer.
actions = ['moving left', 'moving right', 'moving up', 'moving down']
actions += ['growing', 'shrinking', 'appearing', 'disappearing']
colors = ['red', 'yellow', 'green', 'blue', 'purple', 'black']
shapes = ['circle', 'square', 'triangle', 'cross']
kinds = {
    'action': ('what is the shape doing', actions),
    'color': ('what color', colors),
    'shape': ('what shape', shapes),
    'near': ('what is near', [f'{color} {shape}' for color in colors for shape in shapes]),
}


questions = {
    name: dict(
        type='QuestionLabels',
        annotations=dict(
            type='VideoQAList', ann_file=f'{questions_root}/labels.json', visual_root=f'{data_root}/videos'
        ),
        label='class',
        pattern=kinds[name][0],
        verifier=dict(type='ClassName', classes=kinds[name][1]),
    )
    for name in ('action', 'color')
}
held_out = {
    name: dict(
        type='QuestionLabels',
        annotations=dict(
            type='VideoQAList', ann_file=f'{questions_root}/held_out.json', visual_root=f'{data_root}/videos'
        ),
        label='class',
        pattern=pattern,
        verifier=dict(type='ClassName', classes=answers),
    )
    for name, (pattern, answers) in kinds.items()
}
# The vocabulary of the demo has few words: the prompts are the question, and the question with the label behind it.
settings = dict(
    cycles=3,
    answer='{question}',
    rationalise='{question} {hint}',
    mix=f'{questions_root}/instructions.json',
    mix_root=f'{data_root}/videos',
)
del kinds
