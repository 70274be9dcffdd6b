"""The config of a finetuning, as a Python file that a person can read and change."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from omnivl import registry
from omnivl.structures import MODALITIES, VIDEO

from .splitting import FEW
from .starts import Start

WIDTH = 110  # characters of a line
MARGIN = 1.15  # pictures are loaded that much larger than they are shown, so that a crop has something to choose
MODELS_OF: dict[str, tuple[str, dict[str, Any]]] = {
    'caption': ('OmniVLCaption', dict(label_smoothing=0.0)),
    'vqa': ('OmniVLQA', dict(label_smoothing=0.0)),
    'classify': ('OmniVLClassifier', dict(label_smoothing=0.0)),
    'retrieval': (
        'OmniVLRetrieval',
        dict(
            losses=[dict(type='UniVLCLoss'), dict(type='MatchingLoss')],
            negatives=dict(type='HardNegatives', uniform_share=0.5),
            queue_length=256,
            momentum=0.99,
            momentum_ramp=True,
        ),
    ),
}
DATASETS_OF: dict[str, tuple[str, dict[str, Any], str]] = {
    'caption': ('PairDataset', {}, 'CaptionDataset'),
    'retrieval': ('PairDataset', dict(positives='visual'), 'RetrievalDataset'),
    'vqa': ('QADataset', {}, 'QADataset'),
    'classify': ('LabelDataset', {}, 'LabelDataset'),
}
# How the evaluation of a task is called behind the modality, as in image.caption.
NAMES = {'caption': 'caption', 'retrieval': 'retrieval', 'vqa': 'qa', 'classify': 'classification'}


@dataclass
class Settings:
    """All that a config needs to know.

    Attributes:
        task: ``'caption'``, ``'retrieval'``, ``'vqa'`` or ``'classify'``.
        folder: The data of one's own, that the paths of the records are relative to; absolute.
        work_dir: The work directory, absolute.
        setup: Folder of the lists, the vocabulary and the start, absolute.
        modalities: What is trained on.
        start: What the training starts from.
        classes: Number of classes; 0 for other tasks.
        tested: Files that are held out.
        batch: Visuals of a step.
        accumulate: Batches of a step.
        iterations: Steps of the training.
        save_every: Steps between checkpoints.
        lr: The largest learning rate.
        workers: Processes that load.
        seed: Of the training.
        header: Lines for the top of the file.
    """

    task: str
    folder: Path
    work_dir: Path
    setup: Path
    modalities: list[str]
    start: Start
    classes: int = 0
    tested: int = 0
    batch: int = 16
    accumulate: int = 1
    iterations: int = 100
    save_every: int = 100
    lr: float = 5e-4
    workers: int = 1
    seed: int = 0
    header: list[str] = field(default_factory=list)


def config_text(settings: Settings) -> str:
    """Write the config of a finetuning; MMEngine reads it as Python, and it needs no file beside those of ``setup``."""
    one = settings
    warmup = max(1, one.iterations // 10)
    sections = [
        '"""' + '\n'.join(one.header).replace('\\', '/').replace('"""', "'''") + '\n"""',
        _assign('own_folder', str(one.folder)) + '  # where the pictures and clips are',
        _assign('setup', str(one.setup)) + '  # where the lists, the vocabulary and the start are',
        _assign('batch', one.batch),
        _assign('iterations', one.iterations),
        _assign('warmup', warmup) + '\n',
        '# How a file becomes what the model sees; `omnivl caption` and the others use the pipeline of the test, too.',
        *_pipelines(one),
        '',
        '# The lists are lines of JSON that may be changed; a picture or clip must not be in both.',
        *_datasets(one),
        '',
        '# What the model is made of. Its size is that of the start, which it cannot leave.',
        _assign('trunk', _short(one.start.trunk)),
        _assign('model', _model(one), raw=('trunk',)),
        _assign('load_from', _load_from(one)),
        '',
        '# How it is trained.',
        _assign('train_cfg', dict(type='AlternatingTrainLoop', max_iters='iterations'), raw=('iterations',)),
        _assign('optim_wrapper', _optimizer(one)),
        _assign(
            'param_scheduler',
            [
                dict(type='LinearLR', start_factor=0.01, by_epoch=False, end='warmup'),
                dict(
                    type='LinearLR', start_factor=1.0, end_factor=0.01, by_epoch=False, begin='warmup', end='iterations'
                ),
            ],
            raw=('warmup', 'iterations'),
        ),
        _assign(
            'default_hooks',
            dict(
                logger=dict(interval=max(1, one.iterations // 20)),
                checkpoint=dict(interval=one.save_every, max_keep_ckpts=1),
            ),
        ),
        '',
        '# How it is tested, on what was held out.',
        *_tests(one),
        '',
        "runner_type = 'OmniVLRunner'",
        "default_scope = 'omnivl'",
        f'randomness = dict(seed={one.seed})',
        "env_cfg = dict(mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0))",
        _assign('work_dir', str(one.work_dir)),
    ]
    return '\n'.join(sections) + '\n'


def _pipelines(one: Settings) -> list[str]:
    size = one.start.size[0]
    text: list[dict[str, Any]] = []
    if one.task != 'classify':
        clean = dict(type='CleanQuestion' if one.task == 'vqa' else 'CleanCaption', max_words=50)
        room = one.start.text_length - (len(one.start.options.get('prompt', '').split()) + 2) * (one.task == 'caption')
        text = [clean, dict(type='TokenizeText', max_length=min(room, 64))]
    lines = [_assign('size', size), _assign('texts', [*text, dict(type='PackSample')])]
    for name in one.modalities:
        load: dict[str, Any] = dict(type=MODALITIES[name].loader, short_side=round(size * MARGIN))
        training = dict(load)
        if MODALITIES[name].has_time:
            load['num_frames'] = training['num_frames'] = one.start.trunk['visual_encoder'].get('num_frames', 8)
            training['random'] = True
        # Nothing is mirrored: a text may speak of left and right, and pictures may show writing.
        crop = dict(type='RandomResizedCrop', size='size', scale=[0.6, 1.0])
        lines.append(_assign(f'{name}_pipeline', [training, crop, '*texts'], raw=('size', '*texts')))
        resize = dict(type='Resize', size='size')
        lines.append(_assign(f'{name}_test_pipeline', [load, resize, '*texts'], raw=('size', '*texts')))
    return lines


def _datasets(one: Settings) -> list[str]:
    kind, options, _ = DATASETS_OF[one.task]
    loaders = {}
    for name in one.modalities:
        dataset = _dataset(one, kind, name, 'train', f'{name}_pipeline', 'replace', 0.05) | options
        loaders[name] = dict(
            batch_size='batch', num_workers=one.workers, sampler=dict(type='EpochSampler'), dataset=dataset
        )
    return [_assign('train_dataloader', loaders, raw=_names(one))]


def _dataset(
    one: Settings, kind: str, modality: str, part: str, pipeline: str, broken: str, max_broken_share: float
) -> dict[str, Any]:
    annotations = dict(
        type='RecordList', ann_file=f"f'{{setup}}/{part}.jsonl'", visual_root='own_folder', modality=modality
    )
    if one.task == 'classify':
        annotations['classes_file'] = "f'{setup}/classes.txt'"
    return dict(
        type=kind,
        name=f'own_{modality}_{part}',
        annotations=annotations,
        pipeline=pipeline,
        broken=broken,
        max_broken_share=max_broken_share,
    )


def _tests(one: Settings) -> list[str]:
    _, _, kind = DATASETS_OF[one.task]
    loaders = {}
    for name in one.modalities:
        dataset = _dataset(one, kind, name, 'held_out', f'{name}_test_pipeline', 'skip', 1.0)
        sampler = dict(type='EpochSampler', shuffle=False)
        loaders[f'{name}.{NAMES[one.task]}'] = dict(batch_size='batch', num_workers=0, sampler=sampler, dataset=dataset)
    return [
        _assign('evaluation', _evaluation(one), raw=_names(one)),
        _assign('test_dataloader', loaders, raw=_names(one)),
        _assign('test_evaluator', dict.fromkeys(loaders, 'evaluation'), raw=('evaluation',)),
        "test_cfg = dict(type='EvaluationLoop')",
    ]


def _names(one: Settings) -> tuple[str, ...]:
    files = [f"f'{{setup}}/{file}'" for file in ('train.jsonl', 'held_out.jsonl', 'classes.txt', 'answers.json')]
    pipelines = [f'{name}{end}' for name in one.modalities for end in ('_pipeline', '_test_pipeline')]
    return ('own_folder', 'batch', *files, *pipelines)


def _evaluation(one: Settings) -> dict[str, Any]:
    if one.task == 'caption':
        methods = dict(greedy={}, beam=dict(num_beams=3))
        # CIDEr weighs words by how many files have them, which means nothing of a few files; it needs a library, too.
        official = one.tested >= FEW and find_spec('pycocoevalcap') is not None
        return dict(
            type='CaptionEvaluation', methods=methods, max_length=min(one.start.text_length, 30), official=official
        )
    if one.task == 'retrieval':
        return dict(type='RetrievalEvaluation', rerank_k=16, rerank_with='match+scaled_similarity')
    if one.task == 'vqa':
        answers = "f'{setup}/answers.json'"
        return dict(type='QAEvaluation', protocol='exact', answer_list=answers, methods=['rank', 'generate'])
    return dict(type='ClassificationEvaluation', top_k=[1, 5] if one.classes > 5 else [1])


def _model(one: Settings) -> dict[str, Any]:
    kind, options = MODELS_OF[one.task]
    model = dict(type=kind, trunk='trunk', **options, **_short(one.start.options))
    return model | (dict(num_classes=one.classes) if one.task == 'classify' else {})


def _load_from(one: Settings) -> dict[str, Any] | None:
    if one.start.weights is None:
        return None
    from_image = VIDEO.name not in one.start.knows
    return dict(
        type='StageReader',
        file=str(one.start.weights.absolute()),
        allow_unused=True,
        start_video_from_image=from_image,
    )


def _optimizer(one: Settings) -> dict[str, Any]:
    wrapper = dict(
        type='PrecisionOptimWrapper',
        constructor='DecayGroupsConstructor',
        optimizer=dict(type='AdamW', lr=one.lr, betas=[0.9, 0.98], weight_decay=0.05),
        clip_grad=dict(max_norm=1.0),
    )
    return wrapper | (dict(accumulative_counts=one.accumulate) if one.accumulate > 1 else {})


def _short(value: Any) -> Any:
    """Name registered components by their last names alone, as people write them."""
    if isinstance(value, Mapping):
        return {key: _short_name(item) if key == 'type' else _short(item) for key, item in value.items()}
    return [_short(item) for item in value] if isinstance(value, list | tuple) else value


def _short_name(name: str) -> str:
    last = name.rpartition('.')[2]
    known = any(last in one.module_dict for one in (registry.MODELS, registry.TOKENIZERS, registry.TRANSFORMS))
    return last if known else name


def _assign(name: str, value: Any, raw: Sequence[str] = ()) -> str:
    return f'{name} = {written(value, raw)}'


def written(value: Any, raw: Sequence[str] = (), indent: int = 0, used: int = 20) -> str:
    """Write a value as Python, in one line if it fits.

    Args:
        value: Dicts, lists, strings and numbers.
        raw: Strings that are expressions: names of the file, and f-strings.
        indent: Spaces before the line that the value begins on.
        used: Characters of that line that are taken.

    Returns:
        The text, without a line break at its end.
    """
    if isinstance(value, str):
        return value if value in raw else repr(value)
    if not isinstance(value, Mapping | list | tuple):
        return repr(value)
    inner, begin = indent + 4, ' ' * (indent + 4)
    if isinstance(value, Mapping):
        plain = all(re.fullmatch(r'[A-Za-z_]\w*', str(key)) for key in value)
        keys = [f'{key}=' if plain else f'{key!r}: ' for key in value]
        parts = [key + written(item, raw, inner, inner + len(key)) for key, item in zip(keys, value.values())]
        left, right = ('dict(', ')') if plain else ('{', '}')
    else:
        parts = [written(item, raw, inner, inner) for item in value]
        left, right = '[', ']'
    line = left + ', '.join(parts) + right
    if '\n' not in line and indent + used + len(line) <= WIDTH:
        return line
    return left + '\n' + ''.join(f'{begin}{part},\n' for part in parts) + ' ' * indent + right
