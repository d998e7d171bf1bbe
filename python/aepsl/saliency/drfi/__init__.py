"""The paper's detector of salient objects: features, forest, training."""
