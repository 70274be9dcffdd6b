"""How many steps both stages of pretraining take: as many as fit into the quickstart's minutes, at most their configs'.

Figures grow with the steps, and machines differ by a factor of four. So the time of a step is measured before stage 1
and known from stage 1 before stage 2, and what does not fit is cut, at the same share of both stages. What was decided
is kept in ``steps.json`` of the work directory, with the minutes that it was decided for.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SHORTEST = 0.1  # of the steps of a config, whatever the time
WARMUP = 100  # steps, of the configs


@dataclass(frozen=True)
class Cost:
    """What a stage takes, in steps on images, by the logs of a few runs on two cores, free and busy.

    Attributes:
        step: Of one of its steps.
        fixed: Of start, validation and checkpoints.
    """

    step: float
    fixed: float


# By operations a step of stage 2 costs 1.44 of one of stage 1 (configs/_base_/budget.py); by the clock 1.5 to 1.85,
# since the workers that decode clips share the cores.
COSTS = {'stage1': Cost(1.0, 110), 'stage2': Cost(1.6, 180)}
# Test and report take half to four fifths of what these take.
BEFORE, AFTER = ('corpus', 'vocabulary'), 0.8
MARGIN = 0.06  # of the minutes: the start of the script and of its steps, and the measurement itself


class Lengths:
    """Decides the number of steps of a stage when the one before it has run.

    Args:
        work_dir: Has ``seconds.json`` and gets ``steps.json``.
        minutes: What all steps of the quickstart but the installation should take; 0: all steps of the configs.
        full: Stage -> steps of its config.
    """

    def __init__(self, work_dir: Path, minutes: float, full: Mapping[str, int]) -> None:
        self.file = work_dir / 'steps.json'
        self.seconds_file = work_dir / 'seconds.json'
        self.minutes = minutes
        self.full = full

    def known(self) -> dict[str, int]:
        """Read what was decided for these minutes: stage -> steps; nothing where all steps are taken."""
        kept = _read(self.file)
        return kept['steps'] if self.minutes and kept.get('minutes') == self.minutes else {}

    def of(self, stage: str) -> int:
        """Return the steps of a stage, as decided; those of its config before that."""
        return min(self.known().get(stage, self.full[stage]), self.full[stage])

    def decide(self, stage: str, step_seconds: float) -> str:
        """Decide the steps of a stage, unless they are known.

        Args:
            stage: Its name.
            step_seconds: Measured time of a training step on images; used where stage 1 has not told it.

        Returns:
            The line that says what was decided and why.
        """
        known = self.known()
        if stage not in known:
            steps = self._fit(stage, step_seconds)
            self.file.write_text(json.dumps(dict(minutes=self.minutes, steps={**known, stage: steps}), indent=1) + '\n')
        steps, full = self.of(stage), self.full[stage]
        if steps == full:
            return f'length: all {full} steps fit into {self.minutes:g} minutes'
        return (
            f'length: {steps} of {full} steps, to end within {self.minutes:g} minutes on this machine; fewer steps, '
            'lower figures (QUICKSTART_MINUTES=N takes N, 0 takes all steps)'
        )

    def note(self) -> tuple[str, ...]:
        """Return the report's option that says what was cut, if anything was."""
        cut = [f'{self.of(stage)} of {full} steps' for stage, full in self.full.items() if self.of(stage) < full]
        if not cut:
            return ()
        text = f'Cut to {self.minutes:g} minutes ({" and ".join(cut)}). QUICKSTART_MINUTES=0 takes all.'
        return ('--note', text)

    def _fit(self, stage: str, step_seconds: float) -> int:
        if not step_seconds:  # a GPU computes
            return self.full[stage]
        seconds = _read(self.seconds_file)
        left = 60 * self.minutes * (1 - MARGIN) - (1 + AFTER) * sum(seconds.get(name, 0) for name in BEFORE)
        stages = list(COSTS)[list(COSTS).index(stage) :]
        for done in COSTS.keys() - set(stages):
            spent = seconds.get(done, 0)
            left -= spent
            step_seconds = spent / (COSTS[done].fixed + COSTS[done].step * self.of(done)) or step_seconds
        room = left / step_seconds - sum(COSTS[name].fixed for name in stages)
        share = room / sum(COSTS[name].step * self.full[name] for name in stages)
        return round(self.full[stage] * min(1.0, max(SHORTEST, share)))


def shortened(steps: int) -> tuple[str, ...]:
    """Return the options that make a stage as long as this: its rate falls to zero over the last half.

    Args:
        steps: Its number of steps; the warm-up takes at most a quarter.
    """
    return (
        '--cfg-options',
        f'train_cfg.max_iters={steps}',
        f'param_scheduler.0.end={min(WARMUP, steps // 4)}',
        f'param_scheduler.1.begin={steps // 2}',
        f'param_scheduler.1.end={steps}',
    )


def _read(file: Path) -> dict[str, dict[str, int]]:
    return json.loads(file.read_text()) if file.is_file() else {}
