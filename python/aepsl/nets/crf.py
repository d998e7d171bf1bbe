"""The dense CRF (reference [11] of the paper) by pydensecrf, with DeepLab-LargeFOV's values from experiment.yaml."""

import numpy as np
from pydensecrf import densecrf

from aepsl.base.errors import InputError
from aepsl.settings.typed import Crf

NORMALIZATIONS = dict(  # how filtered values are divided by each pixel's sum of weights
    symmetric=densecrf.NORMALIZE_SYMMETRIC,  # by its root, before and after: pydensecrf, Krähenbühl's later code
    after=densecrf.NORMALIZE_AFTER,  # by the sum, after: DeepLab, CRF-RNN
)
FINEST = 2**15  # most cells of the CRF's lattice across an image: it numbers them with 16 bits


def refined(
    image: np.ndarray,
    probabilities: np.ndarray,
    settings: Crf,
    name: str = "the image",
    normalization: str = "symmetric",
    least: float = 0,
) -> np.ndarray:
    """Mean-field marginals after `settings.iterations`.

    image: H x W x 3 uint8 BGR; probabilities: K x H x W float32, not negative; settings: the experiment's `crf`;
    name: of the image, for messages; normalization: one of NORMALIZATIONS; least: smaller probabilities become it.
    Returns K x H x W float32. A channel that is zero everywhere stays zero and does not influence the others. Raises
    InputError if the CRF's widths are too small for the image.
    """
    height, width = image.shape[:2]
    probabilities = np.maximum(probabilities, np.float32(least))
    alive = probabilities.max(axis=(1, 2)) > 0
    if alive.sum() < 2:
        return probabilities
    wide, near = settings.bilateral, settings.gaussian
    reach = 6 * max(max(height, width) / wide.xy + 255 / wide.rgb, max(height, width) / near.xy)
    if reach > FINEST:
        line = f"{width} x {height} pixels are too many for a CRF as narrow as `crf` in experiment.yaml says"
        raise InputError(f"{name}: {line}; raise xy and rgb, or scale the image down")
    energy = -np.log(np.maximum(probabilities[alive], 1e-8))
    crf = densecrf.DenseCRF2D(width, height, int(alive.sum()))
    crf.setUnaryEnergy(np.ascontiguousarray(energy.reshape(len(energy), -1), np.float32))
    kind, rgb = NORMALIZATIONS[normalization], np.ascontiguousarray(image[:, :, ::-1])
    crf.addPairwiseGaussian(sxy=near.xy, compat=near.weight, normalization=kind)
    crf.addPairwiseBilateral(sxy=wide.xy, srgb=wide.rgb, rgbim=rgb, compat=wide.weight, normalization=kind)
    marginals = np.zeros_like(probabilities, dtype=np.float32)
    marginals[alive] = np.array(crf.inference(settings.iterations)).reshape(-1, height, width)
    return marginals
