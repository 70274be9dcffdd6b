"""The field's caption metrics, by the package ``pycocoevalcap``: BLEU, ROUGE-L, CIDEr, METEOR and SPICE, in percent.

A row is named like the official figure only if it is that: of captions as the official tokenizer (PTB, which needs
Java) splits them. What cannot be computed here is left out, with the reason. Rows that end in ``_simple`` are of the
same formulas on words split by a regular expression (see ``split_words``); they need no Java and compare with each
other only. CIDEr is what everybody reports under this name, CIDEr-D.
"""

import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from omnivl.errors import OmniVLError, OmniVLRuntimeError, OmniVLValueError

from .caption_scores import split_words

BLEU = ('bleu1', 'bleu2', 'bleu3', 'bleu4')
OFFICIAL = (*BLEU, 'rouge_l', 'cider', 'meteor', 'spice')
SIMPLE = tuple(f'{row}_simple' for row in (*BLEU, 'rouge_l', 'cider'))
INSTALL = "pycocoevalcap is not installed: pip install 'omnivl[caption]'"
# What Java takes for the end of a line, so that a caption would become two; the official code replaces only the first.
LINE_ENDS = re.compile('[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]')
PATIENCE = 600  # seconds that a Java program may take without being thought dead, and one more for every 20 captions

Scores = Callable[[dict[int, list[str]], dict[int, list[str]]], list[float]]  # of references and captions by visual


@dataclass
class CocoMetrics:
    """Figures of some sets of captions of the same visuals.

    Attributes:
        rows: Name of the captions -> row -> figure, in percent.
        skipped: Row -> why there is no such figure.
    """

    rows: dict[str, dict[str, float]]
    skipped: dict[str, str] = field(default_factory=dict)


@dataclass
class _Work:
    """What is to be scored: captions by name, references by visual, and the visuals of each group."""

    captions: Mapping[str, Sequence[str]]
    references: Sequence[Sequence[str]]
    groups: Mapping[str, Sequence[int]]

    def texts(self) -> list[str]:
        """List every text, captions first."""
        written = [text for captions in self.captions.values() for text in captions]
        return written + [text for of_visual in self.references for text in of_visual]

    def replaced(self, texts: Sequence[str]) -> '_Work':
        """Return the same work with other texts in the order of :meth:`texts`."""
        rest = iter(texts)
        captions = {name: [next(rest) for _ in captions] for name, captions in self.captions.items()}
        return _Work(captions, [[next(rest) for _ in of_visual] for of_visual in self.references], self.groups)


def coco_metrics(
    captions: Mapping[str, Sequence[str]],
    references: Sequence[Sequence[str]],
    groups: Mapping[str, Sequence[int]] | None = None,
) -> CocoMetrics:
    """Score captions officially, as far as this machine can, and simply.

    Args:
        captions: Name -> one caption per visual, as written; may be empty ones.
        references: The published captions of each visual, at least one, untouched.
        groups: Suffix of the rows -> the visuals they are of, each a data set of its own (idf of CIDEr and lengths of
            BLEU included); without it one group of all, without suffix.

    Returns:
        ``bleu1`` to ``bleu4``, ``rouge_l``, ``cider``, ``meteor``, ``spice`` and, but for the last two, the same with
        ``_simple``; or for each that is missing the reason.
    """
    work = _Work(captions, references, {'': range(len(references))} if groups is None else groups)
    metrics = CocoMetrics({name: {} for name in captions})
    try:
        from pycocoevalcap.bleu.bleu import Bleu
        from pycocoevalcap.cider.cider import Cider
        from pycocoevalcap.rouge.rouge import Rouge
    except ImportError:
        metrics.skipped = dict.fromkeys((*OFFICIAL, *SIMPLE), INSTALL)
        return metrics
    plain = {BLEU: Bleu, ('rouge_l',): Rouge, ('cider',): Cider}
    simple = work.replaced([' '.join(split_words(text)) for text in work.texts()])
    for rows, scorer in plain.items():
        _add(metrics, [f'{row}_simple' for row in rows], partial(_opened, scorer), simple)
    try:
        official = work.replaced(ptb_tokenize(work.texts()))
    except Exception as error:
        metrics.skipped |= dict.fromkeys(OFFICIAL, f'the official tokenizer (PTB) does not run: {_reason(error)}')
        return metrics
    for rows, scorer in plain.items():
        _add(metrics, rows, partial(_opened, scorer), official)
    seconds = PATIENCE + len(work.texts()) / 20
    _add(metrics, ['meteor'], lambda: _meteor(seconds), official)
    _add(metrics, ['spice'], _spice, official)
    return metrics


def _add(
    metrics: CocoMetrics, rows: Sequence[str], scorer: Callable[[], AbstractContextManager[Scores]], work: _Work
) -> None:
    """Put the rows of one scorer, or the reason why they are missing, into ``metrics``.

    Whatever goes wrong in a foreign program must not cost the captions, so every error is a reason here.
    """
    found: dict[str, dict[str, float]] = {name: {} for name in work.captions}
    skipped = {}
    try:
        with scorer() as compute:
            for suffix, visuals in work.groups.items():
                if rows[0].startswith('cider') and len(visuals) < 2:
                    reason = 'CIDEr weighs words by the share of visuals they occur with, and there is only one visual'
                    skipped[rows[0] + suffix] = reason
                    continue
                references = {visual: list(work.references[visual]) for visual in visuals}
                for name, captions in work.captions.items():
                    scores = compute(references, {visual: [captions[visual]] for visual in visuals})
                    found[name] |= {row + suffix: 100.0 * score for row, score in zip(rows, scores, strict=True)}
        broken = [row for figures in found.values() for row, figure in figures.items() if not np.isfinite(figure)]
        if broken:
            raise OmniVLValueError(f'{broken[0]} is no finite number')
    except Exception as error:
        metrics.skipped |= dict.fromkeys(rows, _reason(error))
        return
    metrics.skipped |= skipped
    for name, figures in found.items():
        metrics.rows[name] |= figures


@contextmanager
def _opened(make: Callable[[], Any]) -> Iterator[Scores]:
    """Open one of the scorers in Python."""
    scorer = make()

    def compute(references: dict[int, list[str]], captions: dict[int, list[str]]) -> list[float]:
        options = dict(verbose=0) if scorer.method() == 'Bleu' else {}
        return np.atleast_1d(scorer.compute_score(references, captions, **options)[0]).tolist()

    yield compute


@contextmanager
def _meteor(seconds: float) -> Iterator[Scores]:
    """Open METEOR, one Java process for all sets of captions, which is ended after some seconds."""
    from pycocoevalcap.meteor.meteor import Meteor

    scorer = Meteor()
    watch = threading.Timer(seconds, scorer.meteor_p.kill)
    watch.start()
    try:
        yield lambda references, captions: [scorer.compute_score(references, captions)[0]]
    except Exception as error:
        scorer.meteor_p.kill()
        with suppress(OSError):  # what it did not read any more; its own clean-up would try again
            scorer.meteor_p.stdin.close()
        said = scorer.meteor_p.stderr.read().decode(errors='replace').strip().splitlines()
        raise OmniVLRuntimeError(f'METEOR stopped: {said[-1] if said else _reason(error)}') from error
    finally:
        watch.cancel()
        if scorer.lock.locked():  # after an error its own clean-up would wait for ever
            scorer.lock.release()


@contextmanager
def _spice() -> Iterator[Scores]:
    """Open SPICE, if its models are there; left to itself it downloads them."""
    from pycocoevalcap.spice import get_stanford_models as models
    from pycocoevalcap.spice.spice import Spice

    folder = Path(models.__file__).parent / models.SPICELIB
    missing = [name for name in (f'{models.JAR}.jar', f'{models.JAR}-models.jar') if not (folder / name).is_file()]
    if missing:
        raise OmniVLRuntimeError(
            f'its models are not there ({folder / missing[0]}); get them with python -c "from '
            'pycocoevalcap.spice.get_stanford_models import get_stanford_models; get_stanford_models()" (400 MB)'
        )
    scorer = Spice()
    yield lambda references, captions: [scorer.compute_score(references, captions)[0]]


def ptb_tokenize(texts: Sequence[str]) -> list[str]:
    """Split texts with the official tokenizer, in lower case and without the punctuation it leaves out.

    As ``pycocoevalcap``'s ``PTBTokenizer``, but nothing is written into its folder, and failures are errors: without
    Java an ``OmniVLRuntimeError``. The words of a text have one space between them.
    """
    from pycocoevalcap.tokenizer import ptbtokenizer as official

    java = shutil.which('java')
    if java is None:
        raise OmniVLRuntimeError('it needs Java, and there is no java on the PATH')
    jar = os.path.join(os.path.dirname(os.path.abspath(official.__file__)), official.STANFORD_CORENLP_3_4_1_JAR)
    command = [java, '-cp', jar, 'edu.stanford.nlp.process.PTBTokenizer', '-preserveLines', '-lowerCase']
    lines = ''.join(f'{LINE_ENDS.sub(" ", text)}\n' for text in texts)
    run = subprocess.run(
        [*command, '-encoding', 'utf-8'],
        input=lines.encode(errors='replace'),
        capture_output=True,
        timeout=PATIENCE + len(texts) / 20,
    )
    split = run.stdout.decode().split('\n')[:-1]
    if run.returncode or len(split) != len(texts):
        said = run.stderr.decode(errors='replace').strip().splitlines()
        raise OmniVLRuntimeError(f'java returned {run.returncode} and {len(split)} of {len(texts)} lines: {said[-1:]}')
    left_out = set(official.PUNCTUATIONS)
    return [' '.join(word for word in line.split(' ') if word and word not in left_out) for line in split]


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, OmniVLError | RuntimeError) else f'{type(error).__name__}: {error}'


def other_captions(references: Sequence[Sequence[str]], seed: int = 0) -> list[str] | None:
    """Draw for each visual a published caption of another; None if there is only one visual.

    That is what captions reach that are good, but of the wrong visual.
    """
    if len(references) < 2:
        return None
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(references))
    chosen: dict[int, str] = {}
    for visual, other in zip(order.tolist(), np.roll(order, 1).tolist()):  # one ring of all, so none keeps its own
        chosen[visual] = references[other][int(rng.integers(len(references[other])))]
    return [chosen[visual] for visual in range(len(references))]
