"""Probe the reading of real recordings: a folder of sounds whose names begin with their class, as ``bd_haus.flac``.

Every file is read by LoadAudio, turned into a log-mel spectrogram, and told by the mean and the spread of its bins: a
logistic regression on four fifths names the others, five times, beside the share of the largest class. Nothing is
learned before, so the figure says that sounds arrive as they are, and no more.

    npm pack supersonic-scsynth-samples && tar xzf supersonic-scsynth-samples-*.tgz   # 206 sounds, CC0
    python tools/benchmarks/real_sounds.py package/samples
"""

import argparse
import time
from collections import Counter
from pathlib import Path

import numpy as np
import torch

from omnivl.datasets import BrokenVisualError
from omnivl.datasets.transforms import LoadAudio
from omnivl.evaluation.logistic import count_correct, fit_logistic
from omnivl.models.layers import LogMel
from omnivl.structures import AUDIO, modality_of_path

FOLDS = 5
LEAST = 8  # sounds of a class that is told


def read_sounds(folder: Path, load: LoadAudio) -> dict[str, np.ndarray]:
    """Read all sounds below a folder, and say which cannot be read."""
    found, start = {}, time.perf_counter()
    for path in sorted(path for path in folder.rglob('*') if modality_of_path(path.name) == AUDIO.name):
        try:
            found[path.stem] = load({'visual': str(path), 'rng': np.random.default_rng(0)})['waveform']
        except BrokenVisualError as error:
            print(f'{error.path}: {error.reason}')
    seconds = sum(int((~np.isnan(waveform)).sum()) for waveform in found.values()) / load.rate
    print(f'{len(found)} sounds, {seconds:.0f} s, read in {time.perf_counter() - start:.1f} s')
    return found


def features_of(waveform: np.ndarray, log_mel: LogMel) -> torch.Tensor:
    """Mean and spread over time of each bin, float64 (2 * bins,)."""
    spectrogram = log_mel(torch.from_numpy(waveform[~np.isnan(waveform)])[None])[0].double()
    return torch.cat([spectrogram.mean(0), spectrogram.std(0, correction=0)])


def main() -> None:
    """Read, and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path)
    parser.add_argument('--rate', type=int, default=16000, help='samples per second; by default 16000')
    parser.add_argument('--seconds', type=float, default=10.0, help='the longest part of a sound; by default 10')
    args = parser.parse_args()
    sounds = read_sounds(args.folder, LoadAudio(args.seconds, args.rate, max_seconds=args.seconds))
    counts = Counter(name.partition('_')[0] for name in sounds)
    classes = sorted(name for name, count in counts.items() if count >= LEAST)
    kept = [name for name in sounds if name.partition('_')[0] in classes]
    if len(classes) < 2:
        parser.error(f'{args.folder} has no two classes of {LEAST} sounds; it has {dict(counts)}')
    log_mel = LogMel(args.rate, bins=64, floor=1e-6)
    features = torch.stack([features_of(sounds[name], log_mel) for name in kept])
    features = (features - features.mean(0)) / features.std(0).clamp(min=1e-6)
    labels = torch.tensor([classes.index(name.partition('_')[0]) for name in kept])
    fold = torch.from_numpy(np.random.default_rng(0).permutation(len(kept)) % FOLDS)
    right = 0
    for part in range(FOLDS):
        train, test = fold != part, fold == part
        classifier = fit_logistic(features[train], labels[train], len(classes), strength=10.0)
        right += count_correct(features[test], labels[test], classifier)
    largest = max(counts[name] for name in classes)
    print(f'{len(kept)} sounds of {len(classes)} classes: {100 * right / len(kept):.1f} % named', end=', ')
    print(f'{100 * largest / len(kept):.1f} % by the largest class')


if __name__ == '__main__':
    main()
