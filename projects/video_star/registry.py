"""What a cycle is made of, by name: each registry knows the modules that fill it, and a config may bring its own."""

from omnivl.registry import Registry

VERIFIERS = Registry('verifier', scope='omnivl', locations=['projects.video_star.verifiers'])
TEMPLATES = Registry('question template', scope='omnivl', locations=['projects.video_star.templates'])
LABEL_READERS = Registry('label reader', scope='omnivl', locations=['projects.video_star.readers'])
GENERATORS = Registry('generator', scope='omnivl', locations=['projects.video_star.generators'])
