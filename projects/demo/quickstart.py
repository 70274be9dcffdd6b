"""OmniVL from nothing to a report: corpus, vocabulary, both stages of pretraining, evaluation, report.

``bash tools/quickstart.sh`` prepares the environment and runs this; the variables that it takes are explained there.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from .lengths import Lengths, shortened
from .steps import Step, StepRunner, count_steps, find_folder, last_checkpoint, read_settings, say
from .threads import choose_threads

STAGE1 = 'projects/demo/configs/pretrain_image.py'
STAGE2 = 'projects/demo/configs/pretrain_joint.py'
CORPUS_CODE = ('projects/demo/make_corpus.py', 'projects/demo/corpus/*.py')
VOCABULARY_CODE = ('projects/demo/make_vocabulary.py', 'omnivl/models/tokenizers/text.py')
# All that may change a weight: validation only watches, and what shows or uses a model comes later.
TRAINING_CODE = (
    'tools/train.py',
    'omnivl/commands/train/*.py',
    'omnivl/*.py',
    *(f'omnivl/{name}/**/*.py' for name in ('datasets', 'engine', 'models', 'storage', 'structures', 'weights')),
)
TEST_CODE = (*TRAINING_CODE, 'tools/test.py', 'omnivl/commands/test/*.py', 'omnivl/evaluation/**/*.py')
PAGE_CODE = ('projects/demo/report/*.py', 'projects/demo/report/templates/**/*.*', 'omnivl/commands/pages/**/*.*')
REPORT_CODE = ('projects/demo/make_report.py', *PAGE_CODE)
SMOKE_NOTE = ('--note', 'A smoke run: a tiny corpus and a handful of steps. The figures mean nothing.')
SMOKE_STEPS = 8
MINUTES = 6.0  # all but the installation, unless QUICKSTART_MINUTES says otherwise


@dataclass(frozen=True)
class Quickstart:
    """The steps, in folders and at a size that the caller chooses.

    Attributes:
        data: Folder of the corpus.
        work_dir: Folder of everything else.
        smoke: Whether the corpus is tiny and the training a handful of steps.
        settings: Config -> its settings with all that it inherits.
        lengths: How many steps a stage takes.
    """

    data: Path
    work_dir: Path
    smoke: bool
    settings: Mapping[str, str]
    lengths: Lengths

    def steps(self) -> Iterator[Step]:
        """Plan the steps in their order, each when the one before it has run."""
        corpus = self.draw_corpus()
        yield corpus
        vocabulary = self.make_vocabulary(corpus)
        yield vocabulary
        what = 'Pretrains on image-text and image-label data: contrast (UniVLC), matching (VLM), captioning (LM).'
        stage1 = self.pretrain('stage1', 'Stage 1: images', what, STAGE1, minutes=2, start=vocabulary)
        yield stage1
        what = 'Starts from stage 1 and alternates batches of images and of videos.'
        stage2 = self.pretrain('stage2', 'Stage 2: images and videos', what, STAGE2, minutes=2, start=stage1)
        yield stage2
        test = self.test(stage2)
        yield test
        yield self.write_report(test)

    def stage2(self) -> Step:
        """Return the joint stage, as far as is known how long it is."""
        return next(step for step in self.steps() if step.name == 'stage2')

    def draw_corpus(self) -> Step:
        """Draw the corpus."""
        return Step(
            'corpus',
            'Demo corpus',
            'Draws a small world of coloured shapes as JPEG and MP4 files, with captions, labels and questions.',
            minutes=1,
            command=(sys.executable, '-m', 'projects.demo.make_corpus', '--out', str(self.data)),
            output=self.data,
            options=('--smoke',) if self.smoke else (),
            code=CORPUS_CODE,
            is_kept=True,
        )

    def make_vocabulary(self, corpus: Step) -> Step:
        """Learn the vocabulary of the corpus."""
        output = self.data / 'vocab.txt'
        files = ('--data', str(self.data), '--out', str(output))
        return Step(
            'vocabulary',
            'Vocabulary',
            'Learns a word-piece vocabulary from the training captions, since nothing is downloaded.',
            minutes=1,
            command=(sys.executable, '-m', 'projects.demo.make_vocabulary', *files),
            output=output,
            code=VOCABULARY_CODE,
            needs=(corpus.key,),
        )

    def pretrain(self, name: str, title: str, what: str, config: str, minutes: int, start: Step) -> Step:
        """Train one stage, from what the step before it has left."""
        output = self.work_dir / name
        options = ()
        if self.smoke:
            options = (*shortened(SMOKE_STEPS), 'default_hooks.logger.interval=2')
        elif self.lengths.of(name) < self.lengths.full[name]:
            options = shortened(self.lengths.of(name))
        return Step(
            name,
            title,
            what,
            minutes=1 if self.smoke else minutes,
            command=(sys.executable, 'tools/train.py', config, '--work-dir', str(output)),
            output=output,
            options=options,
            code=TRAINING_CODE,
            settings=self.settings[config],
            needs=(start.key,),
            is_kept=True,
            can_resume=True,
        )

    def test(self, stage2: Step) -> Step:
        """Evaluate the joint stage."""
        output = self.work_dir / 'test'
        checkpoint = last_checkpoint(stage2.output)
        return Step(
            'test',
            'Evaluation',
            'Retrieval, captions and zero-shot classes on the held-out test set, and on combinations never seen in '
            'training.',
            minutes=1,
            command=(sys.executable, 'tools/test.py', STAGE2, checkpoint, '--work-dir', str(output)),
            output=output,
            code=TEST_CODE,
            needs=(stage2.key,),
        )

    def write_report(self, test: Step) -> Step:
        """Write the report of it all."""
        folders = ('--work-dir', str(self.work_dir), '--data', str(self.data))
        return Step(
            'report',
            'Report',
            'One page with figures, curves, pictures and captions, and the same numbers as JSON.',
            minutes=1,
            command=(sys.executable, '-m', 'projects.demo.make_report', *folders),
            output=self.work_dir / 'report.html',
            options=SMOKE_NOTE if self.smoke else self.lengths.note(),
            code=REPORT_CODE,
            needs=(test.key,),
        )


def main() -> None:
    """Run it all, in the folders that the variables of the shell name."""
    smoke = os.environ.get('QUICKSTART_SMOKE') == '1'
    suffix = '_smoke' if smoke else ''
    data = find_folder('QUICKSTART_DATA', f'data/demo{suffix}')
    work_dir = find_folder('QUICKSTART_WORK_DIR', f'work_dirs/demo{suffix}')
    # The configs find the corpus, and stage 2 the weights of stage 1, through these (MMEngine's --cfg-options would
    # take the spaces out of a path).
    os.environ.update(OMNIVL_DEMO_DATA=str(data), OMNIVL_DEMO_WORK_DIR=str(work_dir))
    say(f'OmniVL quickstart: corpus in {data}, everything else in {work_dir}')
    # Read first: a config that cannot be read stops it before anything is set aside.
    settings = {config: read_settings(config) for config in (STAGE1, STAGE2)}
    lengths = find_lengths(work_dir, smoke)
    runner = StepRunner('quickstart', 6, work_dir, data)
    for step in Quickstart(data, work_dir, smoke, settings, lengths).steps():
        runner.run(step)
        if step.name == 'vocabulary':  # which the model needs before it can be measured
            threads = choose_threads(work_dir, STAGE1, is_timed=lengths.minutes > 0)
            say(threads.line)
        following = {'vocabulary': 'stage1', 'stage1': 'stage2'}.get(step.name)
        if following and lengths.minutes:
            say(lengths.decide(following, threads.step_seconds))
    say(f'\nFinished.\n  report:  {work_dir / "report.html"}\n  figures: {work_dir / "metrics.json"}')


def find_lengths(work_dir: Path, smoke: bool) -> Lengths:
    """Read how long the quickstart may take; the program ends where that is no number.

    Args:
        work_dir: Keeps what was decided.
        smoke: Whether a handful of steps is taken whatever the time.
    """
    given = os.environ.get('QUICKSTART_MINUTES', '')
    try:
        minutes = float(given or MINUTES)
    except ValueError:
        minutes = -1.0
    if not 0 <= minutes < float('inf'):
        sys.exit(
            f'error: QUICKSTART_MINUTES is {given}; allowed is a number of minutes, such as {MINUTES:g}, or 0 for all '
            'steps of the configs'
        )
    steps = {'stage1': count_steps(STAGE1), 'stage2': count_steps(STAGE2)}
    return Lengths(work_dir, 0.0 if smoke else minutes, steps)


if __name__ == '__main__':
    main()
