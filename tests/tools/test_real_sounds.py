"""The probe of real recordings tells high tones from low ones, and names what it cannot read."""

import wave
from pathlib import Path

import numpy as np
from forked import run_program

TOOL = Path(__file__).parents[2] / 'tools' / 'benchmarks' / 'real_sounds.py'


def test_tones_are_told_apart(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(8):
        for name, hertz in (('low', 200), ('high', 2500)):
            times = np.arange(4000) / 8000
            tone = 9000 * np.sin(2 * np.pi * hertz * (1 + rng.uniform(-0.1, 0.1)) * times) + rng.normal(0, 100, 4000)
            with wave.open(str(tmp_path / f'{name}_{number}.wav'), 'wb') as file:
                file.setparams((1, 2, 8000, 4000, 'NONE', ''))
                file.writeframes(tone.astype(np.int16).tobytes())
    (tmp_path / 'low_broken.wav').write_bytes(b'nothing of the kind')
    code, said = run_program(TOOL, tmp_path, '--rate', '8000')
    assert code == 0, said
    assert 'low_broken.wav: it has no sound' in said and '16 sounds, 8 s' in said
    assert '16 sounds of 2 classes: 100.0 % named, 50.0 % by the largest class' in said
