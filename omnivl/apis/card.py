"""The card of a published model: what it is, its data, its figures, its licence, its limits, how to use it."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from omnivl.engine.identity import EXPORTED
from omnivl.storage.checkpoint import find_checkpoints, number_in
from omnivl.structures import VIDEO
from omnivl.version import __version__

CARD, RESULTS = 'README.md', 'metrics.json'
FIGURES_OF = ('chance', 'protocol', 'seconds', 'run')  # keys of metrics.json that are no figures
# Task of the model -> what the hub calls it.
PIPELINE_TAGS = {
    'OmniVLCaption': 'image-to-text',
    'OmniVLQA': 'visual-question-answering',
    'OmniVLClassifier': 'image-classification',
}
USES = {
    'OmniVLCaption': 'omnivl caption photo.jpg clip.mp4',
    'OmniVLQA': 'omnivl answer photo.jpg --text "what is on the table?"',
    'OmniVLClassifier': 'omnivl classify photo.jpg clip.mp4',
}
MATCHING, MATCH = 'zero-shot-image-classification', 'omnivl match photo.jpg clip.mp4 --text "a dog runs"'
TEMPLATE = Path(__file__).with_suffix('.md')


def model_card(
    config: Mapping[str, Any],
    results: Mapping[str, Any] | None,
    name: str = 'omnivl',
    address: str = 'FOLDER',
    licence: str | None = None,
) -> str:
    """Write the ``README.md`` of an exported model.

    ``config`` is the ``config.json`` of the export, ``results`` its ``metrics.json``; ``name`` is what the model is
    called, ``address`` what ``--model`` takes for it, ``licence`` that of the weights, as the hub calls it. The card
    says so if there are no results or no licence. It is Markdown, with the hub's metadata as YAML at its beginning.
    """
    from huggingface_hub import ModelCardData

    task = str(config['model']['type']).rpartition('.')[2]
    results, facts = results or {}, config.get('facts') or {}
    rows = list(figures(results))
    tag = PIPELINE_TAGS.get(task, MATCHING)
    data = ModelCardData(
        language='en',
        license=licence or 'other',
        library_name='omnivl',
        pipeline_tag=tag,
        tags=['omnivl', 'vision-language', VIDEO.name],
        datasets=sorted({name for one in results.get('protocol', {}).values() for name in _tested_on(one)}) or None,
        metrics=sorted({metric for _, metric, _, _ in rows}) or None,
        model_name=name,
        eval_results=_headlines(rows, results, tag) or None,
    )
    size, frames = facts.get('image_size'), facts.get('num_frames')
    body = TEMPLATE.read_text(encoding='utf-8').format(
        title=name,
        task=task,
        version=__version__,
        size='any' if size is None else ' x '.join(map(str, size)),
        frames='' if frames is None else f', clips of {frames} frames',
        data=_data(config),
        protocol=_protocols(results),
        figures=_table(rows, results),
        licence=f'`{licence}`' if licence else 'Not stated. Who publishes it chooses one (`--license`).',
        use=USES.get(task, MATCH),
        address=address,
    )
    return f'---\n{data.to_yaml()}\n---\n\n{body}'


def read_results(weights: Path) -> dict[str, Any] | None:
    """Read the figures of weights: those of a test or a validation beside them that was made with this very file.

    ``weights`` is a checkpoint, a work directory, whose last one is meant, or an exported folder, which has its own
    figures. None if there are none.
    """
    if weights.is_dir():
        weights = next(iter(find_checkpoints(weights)), weights / EXPORTED)
    kind, number = number_in(weights)
    for path in (weights.parent / RESULTS, weights.parent / 'test' / RESULTS, weights.parent / 'val' / RESULTS):
        try:
            results = json.loads(path.read_text(encoding='utf-8'))
            run = results['run']
        except (OSError, ValueError, KeyError, TypeError):
            continue
        validated = kind == 'iter_' and run.get('stage') == 'val' and run.get('iteration') == number
        own = weights.name == EXPORTED and path.parent == weights.parent
        if own or validated or Path(str(run.get('checkpoint'))).name == weights.name:
            return results
    return None


def figures(results: Mapping[str, Any]) -> Iterator[tuple[str, str, float, float | None]]:
    """Yield evaluation, metric, figure and chance of each row of a ``metrics.json``."""
    for modality, evaluations in results.items():
        if modality not in FIGURES_OF:
            for name, metrics in evaluations.items():
                chance = results.get('chance', {}).get(modality, {}).get(name, {})
                for metric, value in metrics.items():
                    yield f'{modality}.{name}', metric, value, chance.get(metric)


def _headlines(rows: list[tuple[str, str, float, float | None]], results: Mapping[str, Any], tag: str) -> list[Any]:
    """Make, of the first figure of each evaluation, what the hub shows; the others are in the table."""
    from huggingface_hub import EvalResult

    first = {evaluation: (metric, value) for evaluation, metric, value, _ in reversed(rows)}
    found = []
    for evaluation, (metric, value) in first.items():
        data = ', '.join(_tested_on(results.get('protocol', {}).get(evaluation, {}))) or evaluation
        found.append(EvalResult(tag, data, data, metric, value, metric_name=f'{evaluation} {metric}'))
    return found[::-1]


def _tested_on(protocol: Mapping[str, Any]) -> list[str]:
    return [str(one['name']) for one in protocol.get('annotations') or () if one.get('name')]


def _data(config: Mapping[str, Any]) -> str:
    if made_from := config.get('made_from'):
        return f'Made from the weights of `{made_from}`, without further training; their card says on which data.'
    names = ', '.join(f'`{name}`' for name in config.get('trained_on') or ())
    return f'Trained on: {names}.' if names else 'The weights do not say on which.'


def _protocols(results: Mapping[str, Any]) -> str:
    protocols = results.get('protocol') or {}
    lines = [
        f'- `{name}`: '
        + ', '.join(f'{key} {value}' for key, value in protocol.items() if isinstance(value, int | float | str))
        for name, protocol in protocols.items()
    ]
    return '\n'.join(lines) or 'It was not tested.'


def _table(rows: list[tuple[str, str, float, float | None]], results: Mapping[str, Any]) -> str:
    if not rows:
        return 'None: it was not tested, or the figures are not beside the checkpoint. `omnivl test` makes them.'
    lines = ['| evaluation | metric | figure | chance |', '| --- | --- | ---: | ---: |']
    for evaluation, metric, value, chance in rows:
        lines.append(f'| {evaluation} | {metric} | {value:.2f} | {"" if chance is None else f"{chance:.2f}"} |')
    run = results.get('run', {})
    return '\n'.join(lines) + f'\n\nMeasured {run.get("time")} ({run.get("stage")}); all of it is in `{RESULTS}`.'
