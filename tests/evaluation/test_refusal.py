"""An evaluation that the model cannot serve is refused when the loop is built, before any data is looked for."""

import pytest
from mmengine.config import Config

from omnivl.engine import OmniVLRunner

NOWHERE = dict(
    batch_size=2,
    dataset=dict(
        type='RetrievalDataset', name='nowhere', pipeline=[],
        annotations=dict(type='BLIPCaptionJSON', ann_file='nowhere.json', visual_root='nowhere'),
    ),
)  # fmt: skip
WITHOUT_MATCHING = [dict(type='UniVLCLoss'), dict(type='LanguageLoss')]
CASES = {
    'a captioner has no shared space': (
        dict(type='OmniVLCaption'),
        dict(type='RetrievalEvaluation'),
        r'image\.x \(RetrievalEvaluation\) needs a model that compares .* this OmniVLCaption does not: its trunk was '
        r'built without temperature, text_encoder, text_proj, visual_proj',
    ),
    'what was not trained to match does not re-rank': (
        dict(losses=WITHOUT_MATCHING),
        dict(type='RetrievalEvaluation', rerank_k=4),
        r'needs a model that scores pairs .* OmniVLPretrain does not: its trunk was built without alignment_decoder, '
        'matching_head',
    ),
    'nor does it choose by match': (
        dict(losses=WITHOUT_MATCHING),
        dict(type='MultipleChoiceEvaluation', score_with='match+similarity'),
        'its trunk was built without alignment_decoder, matching_head',
    ),
    'a classifier knows no texts': (
        dict(type='OmniVLClassifier', num_classes=3),
        dict(type='ZeroShotEvaluation', templates=['{}']),
        'needs a model that compares .* OmniVLClassifier does not',
    ),
    'a pretrained model has no head': (
        dict(),
        dict(type='ClassificationEvaluation'),
        r'needs a model that scores the classes of one data set, .* it has no classify, num_classes',
    ),
    'nor does it answer': (
        dict(),
        dict(type='QAEvaluation', protocol='exact', methods=('generate',)),
        'needs a model that answers questions about visuals, .* it has no generate_answers, rank_answers',
    ),
    'one that answers writes no captions': (
        dict(type='OmniVLQA'),
        dict(type='CaptionEvaluation'),
        'needs a model that writes texts about visuals, .* its trunk was built without generation_decoder',
    ),
}


def runner_of(model, evaluation, stage, tmp_path, **more):
    return OmniVLRunner.from_cfg(
        Config(
            {
                'model': model, 'work_dir': str(tmp_path), 'experiment_name': tmp_path.name, 'log_level': 'WARNING',
                f'{stage}_dataloader': {'image.x': NOWHERE}, f'{stage}_evaluator': {'image.x': evaluation},
                f'{stage}_cfg': dict(type='EvaluationLoop'), **more,
            }
        )
    )  # fmt: skip


@pytest.mark.parametrize('case', CASES)
def test_it_is_refused_before_the_data(case, tiny_config, tmp_path):
    options, evaluation, message = CASES[case]
    with pytest.raises(TypeError, match=message):
        runner_of(tiny_config(**options), evaluation, 'test', tmp_path).test()


def test_a_validation_is_refused_before_the_training(tiny_config, tmp_path):
    training = dict(
        train_dataloader=dict(
            image=dict(NOWHERE, dataset=dict(NOWHERE['dataset'], type='PairDataset', lazy_init=True))
        ),
        train_cfg=dict(type='AlternatingTrainLoop', max_iters=1),
        optim_wrapper=dict(type='PrecisionOptimWrapper', optimizer=dict(type='AdamW')),
        param_scheduler=[],
    )
    runner = runner_of(tiny_config('OmniVLCaption'), dict(type='RetrievalEvaluation'), 'val', tmp_path, **training)
    with pytest.raises(TypeError, match='its trunk was built without'):
        runner.build_val_loop(runner._val_loop)


@pytest.mark.parametrize(
    ('options', 'evaluation'),
    [
        (dict(losses=WITHOUT_MATCHING), dict(type='RetrievalEvaluation', rerank_k=None)),
        (dict(losses=WITHOUT_MATCHING), dict(type='MultipleChoiceEvaluation', score_with='similarity')),
        (dict(type='OmniVLCaption'), dict(type='CaptionEvaluation')),
        (dict(type='OmniVLClassifier', num_classes=3), dict(type='LinearProbeEvaluation', train={})),
    ],
)
def test_what_the_model_has_the_parts_for_goes_on_to_the_data(options, evaluation, tiny_config, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'nowhere\.json'):
        runner_of(tiny_config(**options), evaluation, 'test', tmp_path).test()
