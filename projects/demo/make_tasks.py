"""Make the demo corpus of the downstream tasks: the world of data/demo, each task in the form of its benchmark.

Give it the seed and the number of evaluation scenes that the pretraining corpus was made with: then what is tested here
is not seen in training, neither here nor there.

Examples:
    python -m projects.demo.make_tasks --out data/demo_tasks
    python -m projects.demo.make_tasks --out data/demo_tasks_smoke --smoke
"""

from projects.demo.corpus.command import make_corpus
from projects.demo.corpus.tasks import write_tasks
from projects.demo.corpus.tasks.parameters import SMOKE_TASKS

HELPS = {
    'seed': 'of every draw; as of data/demo',
    'size': 'height and width in pixels',
    'num_eval': 'scenes of each of val and test; as of data/demo',
    'num_images': 'captioned training pictures',
    'num_clips': 'captioned training clips, and labelled ones, as many of each',
    'num_long': 'long training videos',
    'num_lone': 'labelled training pictures',
}

if __name__ == '__main__':
    make_corpus(__doc__, 'data/demo_tasks', HELPS, SMOKE_TASKS, write_tasks)
