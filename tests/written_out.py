"""The paper's losses as sums, a term at a time: what the layers are compared with."""

import numpy as np


def written_out_squared(z, y):
    """The squared loss, a sum at a time."""
    total = 0.0
    for scores, labels in zip(z, y):
        exponentials = [np.exp(s) for s in scores]
        for e, label in zip(exponentials, labels):
            total += (e / sum(exponentials) - label / sum(labels)) ** 2
    return total / (2 * len(z))


def written_out_cross_entropy(scores, mask, labels):
    """J(f, S), a pixel at a time; 0 if no image has a pixel that counts."""
    means = []
    for f, S, y in zip(scores, mask, labels):
        allowed = {0} | {c + 1 for c, present in enumerate(y) if present}
        terms = []
        for (row, column), value in np.ndenumerate(S):
            if value in allowed:
                pixel = f[:, row, column]
                terms.append(-np.log(np.exp(pixel[int(value)]) / np.exp(pixel).sum()))
        if terms:
            means.append(np.mean(terms))
    return np.mean(means) if means else 0.0
