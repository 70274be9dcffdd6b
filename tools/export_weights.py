"""Write a trained model as plain files: ``python tools/export_weights.py [CONFIG] CHECKPOINT --out FOLDER``."""

import argparse

from omnivl.apis import export_blip, export_folder
from omnivl.apis.export import load_for_use
from omnivl.apis.export_blip import ARCHITECTURES
from omnivl.engine import ConfigError
from omnivl.engine.command_line import add_cfg_options, one_line_errors, read_changed_config
from omnivl.engine.identity import allowed_differences, knows_itself
from omnivl.weights.report import grouped


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line, or ``arguments`` instead of it."""
    parser = argparse.ArgumentParser(description='Write a model as safetensors, config, vocabulary, pixel statistics.')
    parser.add_argument('config', help='a checkpoint, or a work directory, whose last one is taken; or a config')
    parser.add_argument('checkpoint', nargs='?', help='after a config: what would otherwise stand alone')
    parser.add_argument('--out', required=True, help='folder to write')
    parser.add_argument(
        '--to',
        choices=('omnivl', 'blip'),
        default='omnivl',
        help="omnivl: all of the model, for omnivl.apis; blip: the image-only parts in Hugging Face's form",
    )
    parser.add_argument(
        '--kind', choices=list(ARCHITECTURES), default='retrieval', help="which of Hugging Face's BLIP models"
    )
    add_cfg_options(parser)
    return parser.parse_args(arguments)


def export(arguments: argparse.Namespace) -> None:
    """Write the folder and say what it holds."""
    cfg = read_changed_config(arguments)
    checkpoint = arguments.checkpoint or cfg.get('load_from')
    if arguments.checkpoint is None and not knows_itself(arguments.config):
        raise ConfigError(f'the config {arguments.config} alone has no weights: name a checkpoint after it')
    if arguments.to == 'omnivl':
        model = export_folder(cfg, checkpoint, arguments.out)
        print(f'{type(model).__name__} written to {arguments.out}')
        return
    model = load_for_use(cfg.model, checkpoint, allowed_differences(cfg))
    rest = export_blip(model, arguments.kind, arguments.out)
    print(f'{ARCHITECTURES[arguments.kind]} written to {arguments.out}; without a place in it:')
    print('\n'.join(f'  {line}' for line in grouped(rest)))


def main() -> None:
    """Export."""
    arguments = parse_arguments()
    with one_line_errors():
        export(arguments)


if __name__ == '__main__':
    main()
