"""All commands, in the groups and with the lines that ``omnivl --help`` shows; imports nothing, so that it is fast."""

GROUPS = {
    'Train and test': {
        'train': 'train or finetune the model of a config',
        'test': 'evaluate a checkpoint on the test data of a config',
        'finetune': 'finetune a model on pictures and clips of your own, in one line',
        'study': 'compare configs over seeds and budgets, with error bars',
    },
    'Use a model': {
        'caption': 'write captions of images and videos',
        'answer': 'answer a question about images and videos',
        'retrieve': 'find the images, videos and sounds that fit a text, a picture or a clip',
        'match': 'say how well texts fit images and videos',
        'classify': 'say which class images, videos and sounds are of',
        'features': 'print the features of images, videos and sounds',
        'index': 'encode images, videos and sounds once, to search in them again and again',
        'search': 'search in what index has written',
        'attention': 'draw which word looks where',
        'demo': 'show a model on a web page',
    },
    'Weights': {
        'convert': 'make a checkpoint of the weights of other libraries',
        'export': 'write a trained model as plain files',
    },
    'Data': {
        'browse': 'draw what a model gets, after all transforms',
        'verify': 'read every file of a config once and list the broken ones',
        'shards': 'write the index of tar files, so that trainings read them',
        'pack': 'write the data of a config as shards with an index',
        'vocabulary': 'make a word-piece vocabulary from captions',
    },
    'Look around': {
        'configs': 'list, show and copy the configs that come with the package',
        'flops': 'count parameters and operations of a model, part by part',
        'plan': 'say what a training will take: days, memory, network and disk',
        'doctor': 'say what is installed here, what works and what does not',
    },
}
COMMANDS = {name: line for commands in GROUPS.values() for name, line in commands.items()}
# Files of tools/, which people, scripts and clusters know.
DOORS = {
    'train': 'train.py',
    'test': 'test.py',
    'convert': 'convert_weights.py',
    'export': 'export_weights.py',
    'browse': 'browse_dataset.py',
    'verify': 'verify_data.py',
    'shards': 'index_shards.py',
    'pack': 'make_shards.py',
    'vocabulary': 'train_tokenizer.py',
    'flops': 'get_flops.py',
    'plan': 'plan_run.py',
    'study': 'study.py',
}
