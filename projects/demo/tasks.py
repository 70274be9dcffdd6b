"""Every downstream task on the demo corpus: trained from the pretrained model and from random weights, and tested.

``bash tools/demo_tasks.sh`` prepares the environment and runs this; the variables that it takes are explained there.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .quickstart import (
    CORPUS_CODE,
    PAGE_CODE,
    SMOKE_NOTE,
    STAGE1,
    STAGE2,
    TEST_CODE,
    TRAINING_CODE,
    Quickstart,
    find_lengths,
)
from .steps import Step, StepRunner, explain, find_folder, is_done, last_checkpoint, read_settings, say
from .threads import choose_threads

# Task -> the task whose training it is tested on, or None where nothing is trained. Each has a config of its name.
TRAINED_BY: dict[str, str | None] = {
    'image_retrieval': 'image_retrieval',
    'video_retrieval': 'video_retrieval',
    'image_caption': 'image_caption',
    'video_caption': 'video_caption',
    'vqa': 'vqa',
    'video_qa': 'video_qa',
    'video_multiple_choice': 'video_retrieval',
    'image_classification': 'image_classification',
    'linear_probe': None,
    'action_recognition': 'action_recognition',
}
VARIANTS = {'from_scratch': 'from random weights', 'finetuned': 'from the pretrained model'}
TASKS_CODE = ('projects/demo/make_tasks.py', *CORPUS_CODE[1:], 'projects/demo/corpus/tasks/*.py')
TABLE_CODE = ('projects/demo/collect_tasks.py', *PAGE_CODE)
# A batch of image classification is larger than the set of the tiny corpus.
SMOKE_CORPUS = ('--smoke', '--num-lone', '40')
SMOKE_TRAINING = ('train_cfg.max_iters=4', 'default_hooks.logger.interval=2', 'param_scheduler=[]')


@dataclass(frozen=True)
class DemoTasks:
    """The steps after pretraining, in folders and at a size that the caller chooses.

    Attributes:
        tasks: Tasks to do.
        data: Folder of the corpus of the tasks.
        work_dir: Folder of everything else.
        stage2: The step of the quickstart that trained the pretrained model.
        smoke: Whether the corpus is tiny and a training a handful of steps.
        settings: Task -> settings of its config with all that it inherits.
    """

    tasks: Sequence[str]
    data: Path
    work_dir: Path
    stage2: Step
    smoke: bool
    settings: Mapping[str, str]

    def steps(self) -> Iterator[Step]:
        """Plan the steps in their order, each when the one before it has run."""
        corpus = self.draw_corpus()
        yield corpus
        # The tasks do not depend on each other: each goes on from the pretrained model and the corpus.
        base = (corpus.key, self.stage2.key)
        trainings: dict[str, dict[str, Step]] = {}
        tests = []
        for task in self.tasks:
            owner = TRAINED_BY[task]
            if owner is not None and owner not in trainings:
                trainings[owner] = {variant: self.train(owner, variant, base) for variant in VARIANTS}
                yield from trainings[owner].values()
            for variant in VARIANTS:
                training = None if owner is None else trainings[owner][variant]
                tests.append(self.test(task, variant, training, base))
                yield tests[-1]
        yield self.collect(tests)

    def draw_corpus(self) -> Step:
        """Draw the corpus of the tasks."""
        return Step(
            'corpus',
            'Corpus of the tasks',
            "Draws the quickstart's world again, in the published form of each benchmark: several captions, longer "
            'videos, choices.',
            minutes=1,
            command=(sys.executable, '-m', 'projects.demo.make_tasks', '--out', str(self.data)),
            output=self.data,
            options=SMOKE_CORPUS if self.smoke else (),
            code=TASKS_CODE,
            is_kept=True,
        )

    def train(self, task: str, variant: str, base: tuple[str, ...]) -> Step:
        """Train for a task."""
        config, output = config_of(task), self.work_dir / task / variant
        changes = SMOKE_TRAINING if self.smoke else ()
        if variant == 'from_scratch':
            changes = (*changes, 'load_from=None')
        return Step(
            f'{task}/{variant}',
            f'{task}: training {VARIANTS[variant]}',
            f'By {config}; checkpoints go to {output}',
            minutes=1 if self.smoke else 2,
            command=(sys.executable, 'tools/train.py', config, '--work-dir', str(output)),
            output=output,
            options=('--cfg-options', *changes) if changes else (),
            code=TRAINING_CODE,
            settings=self.settings[task],
            needs=base,
            is_kept=True,
            can_resume=True,
        )

    def test(self, task: str, variant: str, training: Step | None, base: tuple[str, ...]) -> Step:
        """Test what was trained for a task, or what was there before any training."""
        if training is not None:
            checkpoint, what = last_checkpoint(training.output), f'model trained {VARIANTS[variant]}'
        elif variant == 'finetuned':
            checkpoint, what = last_checkpoint(self.stage2.output), 'pretrained model as it is'
        else:
            checkpoint, what = 'random', 'random weights as they are'
        output = self.work_dir / task / variant / 'test'
        return Step(
            f'{task}/{variant}/test',
            f'{task}: test, {what}',
            'Scores it on held-out scenes, and on shuffled frames where the config has such a test.',
            minutes=1,
            command=(sys.executable, 'tools/test.py', config_of(task), checkpoint, '--work-dir', str(output)),
            output=output,
            code=TEST_CODE,
            settings=self.settings[task],
            needs=base if training is None else (training.key,),
        )

    def collect(self, tests: Sequence[Step]) -> Step:
        """Gather the figures of all tests."""
        folders = ('--work-dir', str(self.work_dir), '--data', str(self.data))
        return Step(
            'report',
            'Table and report',
            'One page with the figures and predictions of every task, the same figures as JSON, and a table to paste.',
            minutes=1,
            command=(sys.executable, '-m', 'projects.demo.collect_tasks', *folders),
            output=self.work_dir / 'report.html',
            options=SMOKE_NOTE if self.smoke else (),
            code=TABLE_CODE,
            needs=tuple(test.key for test in tests),
        )


def config_of(task: str) -> str:
    """Return the path of a task's config."""
    return f'projects/demo/configs/{task}.py'


def chosen_tasks() -> list[str]:
    """Read which tasks to do; the program ends if there is no such task."""
    tasks = os.environ.get('DEMO_TASKS', '').split() or list(TRAINED_BY)
    for task in tasks:
        if task not in TRAINED_BY:
            sys.exit(f'error: DEMO_TASKS has {task}; there are: {" ".join(TRAINED_BY)}')
    return tasks


def pretrain(runner: StepRunner, quickstart: Quickstart, minutes: int) -> Step:
    """Run the quickstart, unless its joint stage is finished; returns that stage."""
    runner.say_title('The pretrained model')
    stage2 = quickstart.stage2()
    if is_done(stage2, stage2.output.parent):
        say(f'      {stage2.output} is finished, skipped')
        return stage2
    what = 'Both stages of pretraining, as bash tools/quickstart.sh does them; it can be stopped and goes on, too.'
    explain(what, minutes)
    runner.execute('quickstart', [sys.executable, '-m', 'projects.demo.quickstart'])
    return quickstart.stage2()  # only now is known how long it is


def main() -> None:
    """Run it all, in the folders that the variables of the shell name."""
    tasks = chosen_tasks()
    smoke = os.environ.get('DEMO_TASKS_SMOKE') == '1'
    suffix = '_smoke' if smoke else ''
    data = find_folder('DEMO_TASKS_DATA', f'data/demo_tasks{suffix}')
    work_dir = find_folder('DEMO_TASKS_WORK_DIR', f'work_dirs/demo_tasks{suffix}')
    start_data = find_folder('QUICKSTART_DATA', f'data/demo{suffix}')
    start = find_folder('QUICKSTART_WORK_DIR', f'work_dirs/demo{suffix}')
    # The configs find the corpora and the pretrained model through these; the quickstart reads its own.
    os.environ.update(OMNIVL_DEMO_DATA=str(start_data), OMNIVL_DEMO_WORK_DIR=str(start), OMNIVL_DEMO_TASKS=str(data))
    if smoke:
        os.environ['QUICKSTART_SMOKE'] = '1'
    settings = {config: read_settings(config) for config in (STAGE1, STAGE2)}
    quickstart = Quickstart(start_data, start, smoke, settings, find_lengths(start, smoke))
    trained = {owner for task in tasks if (owner := TRAINED_BY[task]) is not None}
    # Pretraining, corpus, report; and of each variant the trainings and the tests.
    runner = StepRunner('demo_tasks', 3 + len(VARIANTS) * (len(trained) + len(tasks)), work_dir, data)
    say(f"OmniVL's downstream tasks: corpus in {data}, everything else in {work_dir}\nTasks: {' '.join(tasks)}")
    settings = {task: read_settings(config_of(task)) for task in {*tasks, *trained}}
    stage2 = pretrain(runner, quickstart, minutes=2 if smoke else 6)
    say(choose_threads(start, STAGE1, is_timed=False).line)
    for step in DemoTasks(tasks, data, work_dir, stage2, smoke, settings).steps():
        runner.run(step)
    names = {'report': 'report.html', 'table': 'table.md', 'figures': 'metrics.json'}
    say('\nFinished.')
    for title, name in names.items():
        say(f'  {title + ":":<8} {work_dir / name}')


if __name__ == '__main__':
    main()
