"""The software layer: stacks, targets, sources, EasyBuild runs and the change sets that they leave."""
