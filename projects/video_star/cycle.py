"""The cycle: answer, verify, rationalise what failed, verify again, tune from the pretrained weights; and once more.

Video-STaR (2407.06189). Each step leaves a file and is not done again where that is there; answers are written down
batch by batch, so a killed run goes on at the next one. What is drawn depends on seed, cycle and question alone: an
interrupted run, or another number of processes, gives the same rows.
"""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.dist import barrier, get_rank, get_world_size, is_main_process
from mmengine.logging import print_log

from omnivl.errors import OmniVLValueError
from omnivl.storage.files import write_json
from omnivl.storage.progress import ProgressBar

from .generators.base import Generator, Prompt, Said
from .labels import Checker, Question
from .records import (
    BROKEN,
    DIRECT,
    RATIONALISED,
    REJECTED,
    Journal,
    Row,
    read_instructions,
    sample_of,
    write_instructions,
    write_rows,
)

# Our words, with the parts of the published prompts.
ANSWER = 'Question: {question}\nExplain step by step how one comes to the answer.'
RATIONALISE = 'Question: {question}\nAnswer: {hint}.\nExplain step by step how one comes to this answer.'
KEEP = ('verified', 'all', 'labels', 'none')


@dataclass(frozen=True)
class Settings:
    """How the cycles go.

    Attributes:
        cycles: How many.
        seed: Of all draws.
        answer: The prompt that a question is put into.
        rationalise: The prompt that question and label are put into; None = failures are not rationalised.
        rationalise_last: Whether the last of several cycles rationalises, too (not in the paper).
        attempts: The most draws for a question, until one passes.
        keep: ``'verified'`` answers; ``'all'`` of the first draws, without a verifier; ``'labels'``: nothing is
            generated, the bare label is the answer, which is the naive baseline; ``'none'``: no question is asked, and
            the model is tuned on what is mixed in alone, which is the control.
        mix: File of other instruction data, in the form of LLaVA's, that the last cycle has, too; None = none.
        mix_root: Folder of its videos.
        mix_every_cycle: Whether all cycles have it.
        examples: Samples of each verdict on the page of a cycle.
    """

    cycles: int = 3
    seed: int = 0
    answer: str = ANSWER
    rationalise: str | None = RATIONALISE
    rationalise_last: bool = False
    attempts: int = 1
    keep: str = 'verified'
    mix: str | None = None
    mix_root: str = ''
    mix_every_cycle: bool = False
    examples: int = 6

    def __post_init__(self) -> None:
        if self.keep not in KEEP:
            raise OmniVLValueError(f'keep must be one of {KEEP}, got {self.keep!r}')
        if min(self.cycles, self.attempts) < 1:
            raise OmniVLValueError(f'cycles and attempts must be at least 1, got {self.cycles} and {self.attempts}')
        if '{question}' not in self.answer:
            raise OmniVLValueError(f'the prompt answer must hold {{question}}, got {self.answer!r}')
        if self.rationalise is not None and not all(part in self.rationalise for part in ('{question}', '{hint}')):
            raise OmniVLValueError(
                f'the prompt rationalise must hold {{question}} and {{hint}}, got {self.rationalise!r}'
            )


class CycleResult(NamedTuple):
    """What a cycle came to.

    Attributes:
        number: From 1; 0 is the pretrained model.
        figures: ``yield`` by type of label and verdict, ``held_out`` accuracy in percent by type of label, ``reasons``.
        weights: What it was tuned to; None of the pretrained model.
    """

    number: int
    figures: Mapping[str, Any]
    weights: str | None


@dataclass
class Cycles:
    """Runs the cycles of one model on one set of questions.

    Attributes:
        generator: The model.
        questions: What it teaches itself by.
        held_out: Questions that accuracy is measured on. Nothing is generated from their videos, and none may be among
            those of ``questions``.
        settings: See :class:`Settings`.
        out: Folder of all that comes out.
        check: Verifies answers.
    """

    generator: Generator
    questions: Sequence[Question]
    held_out: Sequence[Question]
    settings: Settings
    out: Path
    check: Checker = field(default_factory=Checker)

    def __post_init__(self) -> None:
        for name, asked in (('questions', self.questions), ('held_out', self.held_out)):
            twice = [key for key, count in Counter(one.id for one in asked).items() if count > 1]
            if twice:
                raise OmniVLValueError(
                    f'{name}: the id {twice[0]!r} is there twice; give the sources names of their own'
                )
        seen = {Path(one.video).absolute() for one in self.questions}
        both = next((one.video for one in self.held_out if Path(one.video).absolute() in seen), None)
        if both is not None:
            raise OmniVLValueError(
                f'{both} is held out, and would be generated from, too; take another split, or another part of the list'
            )
        settings = self.settings  # what cannot be read is told before the first cycle, not at the last
        self._mix = [] if settings.mix is None else read_instructions(settings.mix, settings.mix_root)

    def run(self) -> Iterator[CycleResult]:
        """Run what is not done yet, and yield each cycle, the pretrained model first."""
        weights = None
        yield CycleResult(0, {'held_out': self.measure(0, None)}, None)
        for number in range(1, self.settings.cycles + 1):
            rows = self.generate(number, weights)
            weights = self.finetune(number, [row for row in rows if row['verdict'] in (DIRECT, RATIONALISED)])
            figures = dict(**count_yield(rows), held_out=self.measure(number, weights))
            if is_main_process():
                write_json(self.folder(number) / 'figures.json', figures)
            barrier()
            yield CycleResult(number, figures, weights)

    def folder(self, number: int) -> Path:
        """Return the folder of a cycle."""
        return self.out / f'cycle_{number}'

    def generate(self, number: int, weights: str | None) -> list[Row]:
        """Answer and verify all questions; returns a row for each, in their order."""
        folder = self.folder(number)
        merged = folder / 'provenance.jsonl'
        journal = Journal(folder, 'answers')
        is_done = merged.is_file()
        barrier()  # all have looked before anybody writes
        if not is_done:
            if self.settings.keep in ('labels', 'none'):
                if is_main_process():
                    journal.append(self._unasked(number, one) for one in self.questions)
            else:
                self._ask_rest(number, weights, journal)
            barrier()
            if is_main_process():
                found = journal.read()
                rows = [found[question.id] for question in self.questions]
                kept = [row for row in rows if row['verdict'] in (DIRECT, RATIONALISED)]
                write_instructions(folder / 'instructions.json', kept)
                write_rows(merged, rows)
            barrier()
        return [json.loads(line) for line in merged.read_text(encoding='utf-8').splitlines()]

    def _unasked(self, number: int, question: Question) -> Row:
        if self.settings.keep == 'none':
            return self.row(number, question, REJECTED, '', 'not asked')
        return self.row(number, question, DIRECT, question.hint, 'the label itself')

    def _ask_rest(self, number: int, weights: str | None, journal: Journal) -> None:
        done = journal.read()
        barrier()  # all have read before anybody adds to it
        rest = [one for one in self.questions if one.id not in done]
        own = rest[get_rank() :: get_world_size()]
        if rest:
            self.generator.load(weights)
        with ProgressBar(f'cycle {number}: answers', len(own), lines_every=60) as bar:
            for batch in batches_of(own, self.generator.batch_size):
                journal.append(self.answer(number, batch))
                for _ in batch:
                    bar.step()

    def answer(self, number: int, questions: Sequence[Question]) -> list[Row]:
        """Answer some questions, and rationalise what failed."""
        settings = self.settings
        rows: dict[str, Row] = {}
        phases = [(DIRECT, settings.answer)]
        last = number == settings.cycles > 1
        if settings.keep == 'verified' and settings.rationalise and (settings.rationalise_last or not last):
            phases.append((RATIONALISED, settings.rationalise))
        for phase, prompt in phases:
            for attempt in range(settings.attempts):
                left = [one for one in questions if one.id not in rows or rows[one.id]['verdict'] == REJECTED]
                prompts = [
                    Prompt(
                        one.video,
                        one.clip,
                        prompt.format(question=one.text, hint=one.hint),
                        draw_seed(settings.seed, number, one.id, phase, attempt),
                    )
                    for one in left
                ]
                for one, said in zip(left, self.generator.answer(prompts) if left else ()):
                    rows[one.id] = self.judge(number, one, phase, said, rows.get(one.id))
        return [rows[one.id] for one in questions]

    def judge(self, number: int, question: Question, phase: str, said: Said, before: Row | None) -> Row:
        """Verify an answer, and write down what is known of it; ``before`` is the row of the earlier attempts."""
        if self.settings.keep == 'all' and said.text:
            row = self.row(number, question, DIRECT, said.text, 'not verified')
        else:
            row = self.examine(number, question, said)
        if row['verdict'] == BROKEN:
            return row
        if row['verdict'] == DIRECT:
            row['verdict'] = phase
        tried = [*(before or {}).get('attempts', []), {'phase': phase, 'answer': said.text, 'reason': row['reason']}]
        return row | {'attempts': tried}

    def examine(self, number: int, question: Question, said: Said) -> Row:
        """Verify an answer."""
        if said.error:
            return self.row(number, question, BROKEN, '', said.error)
        passed, reason = self.check(question, said.text)
        return self.row(number, question, DIRECT if passed else REJECTED, said.text, reason)

    @staticmethod
    def row(number: int, question: Question, verdict: str, answer: str, reason: str) -> Row:
        """Make the row of a question: the published record, and where its answer is from."""
        row = question.published() | dict(
            kind=question.kind, cycle=number, verdict=verdict, answer=answer, reason=reason, attempts=[]
        )
        return row | ({} if question.clip is None else {'clip': list(question.clip)})

    def finetune(self, number: int, rows: Sequence[Row]) -> str:
        """Tune the pretrained model on what was kept, and return the weights."""
        folder = self.folder(number) / 'train'
        done = folder / 'weights.json'
        is_done = done.is_file()
        barrier()
        if not is_done:
            is_mixed = self.settings.mix_every_cycle or number == self.settings.cycles
            samples = [sample_of(row) for row in rows] + (self._mix if is_mixed else [])
            if not samples:
                raise OmniVLValueError(
                    f'cycle {number}: no answer was kept, so there is nothing to tune on; see the reasons in '
                    f'{self.folder(number) / "provenance.jsonl"}'
                )
            weights = self.generator.finetune(samples, folder, draw_seed(self.settings.seed, number, 'finetune'))
            if is_main_process():
                write_json(done, weights)
            barrier()
        return json.loads(done.read_text(encoding='utf-8'))

    def measure(self, number: int, weights: str | None) -> dict[str, float]:
        """Answer the held-out questions without draws; accuracy in percent, by type of label and of all."""
        if not self.held_out:
            return {}
        journal = Journal(self.folder(number), 'held_out')
        done = journal.read()
        barrier()
        rest = [one for one in self.held_out if one.id not in done]
        if rest:
            self.generator.load(weights)
        for batch in batches_of(rest[get_rank() :: get_world_size()], self.generator.batch_size):
            prompts = [Prompt(one.video, one.clip, self.settings.answer.format(question=one.text)) for one in batch]
            said = self.generator.answer(prompts)
            journal.append(self.examine(number, one, text) for one, text in zip(batch, said))
        barrier()
        found = journal.read()
        broken = [one for one in self.held_out if found[one.id]['verdict'] == BROKEN]
        if broken and is_main_process():
            first = found[broken[0].id]
            print_log(
                f'cycle {number}: {len(broken)} of {len(self.held_out)} held-out questions are about clips that cannot '
                f'be read and count as wrong, as {first["video_path"]}: {first["reason"]}',
                'current',
                logging.WARNING,
            )
        groups: dict[str, list[bool]] = {'all': []}
        for one in self.held_out:
            right = found[one.id]['verdict'] == DIRECT
            for name in ('all', source_of(one), f'{source_of(one)}: {one.kind}'):
                groups.setdefault(name, []).append(right)
        return {name: 100.0 * sum(right) / len(right) for name, right in groups.items()}


def source_of(question: Question) -> str:
    """Return the name of the source that a question is from."""
    return question.id.partition('/')[0]


def draw_seed(*parts: object) -> int:
    """Make a seed of what decides a draw."""
    return int(hashlib.sha256(repr(parts).encode()).hexdigest()[:8], 16)


def batches_of(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Cut into batches."""
    for first in range(0, len(items), size):
        yield items[first : first + size]


def count_verdicts(figures: Mapping[str, Any]) -> Counter[str]:
    """Add up the verdicts of a cycle over all types of label."""
    total: Counter[str] = Counter()
    for verdicts in figures.get('yield', {}).values():
        total.update(verdicts)
    return total


def count_yield(rows: Sequence[Row]) -> dict[str, Any]:
    """Count verdicts by type of label, and the commonest reasons of what was rejected."""
    verdicts: dict[str, Counter[str]] = {}
    for row in rows:
        verdicts.setdefault(row['kind'], Counter())[row['verdict']] += 1
    reasons = Counter(row['reason'] for row in rows if row['verdict'] in (REJECTED, BROKEN))
    return {'yield': {kind: dict(counts) for kind, counts in verdicts.items()}, 'reasons': dict(reasons.most_common(8))}
