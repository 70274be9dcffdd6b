"""Make the demo corpus: a small world of coloured shapes as JPEG and MP4 files with annotations in published formats.

Examples:
    python -m projects.demo.make_corpus --out data/demo
    python -m projects.demo.make_corpus --out data/demo_smoke --smoke
    python -m projects.demo.make_corpus --out data/demo_sound --sound 1
"""

from projects.demo.corpus.command import make_corpus
from projects.demo.corpus.manifest import SMOKE_PARAMETERS
from projects.demo.corpus.write import write_corpus

HELPS = {
    'seed': 'of every draw',
    'size': 'height and width in pixels',
    'num_images': 'training pictures, three quarters with a caption, the others with a label',
    'num_videos': 'training clips, seven tenths with a caption, the others with a label',
    'num_eval': 'scenes of each of val, test and test_unseen',
    'num_frames': 'frames of a clip',
    'fps': 'frames per second of a clip',
    'sound': '1 = clips have a sound, and some videos of several clips a narration',
    'hard': '1 = more colours, shapes and relations, and two shapes of each colour never seen in training',
}

if __name__ == '__main__':
    make_corpus(__doc__, 'data/demo', HELPS, SMOKE_PARAMETERS, write_corpus)
