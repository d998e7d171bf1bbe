"""AE-PSL in Caffe: adversarial erasing and online prohibitive segmentation learning (Wei et al., CVPR 2017)."""

import importlib
import sys
import types
from typing import Any

import skimage

__version__ = "1.0.0"


class _Later(types.ModuleType):
    """A module that is loaded when one of its names is used."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules[self.__name__] is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


# Caffe imports skimage.io, which imports matplotlib: a third of a second in each process, for a function not used here.
if "skimage.io" not in sys.modules:
    skimage.io = sys.modules["skimage.io"] = _Later("skimage.io")
