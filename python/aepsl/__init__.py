"""AE-PSL in Caffe: adversarial erasing and online prohibitive segmentation learning (Wei et al., CVPR 2017)."""

import importlib
import sys
import types

import skimage

__version__ = "1.0.0"


class _Later(types.ModuleType):
    """A module that is loaded when something of it is used."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules[self.__name__] is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


# Caffe imports it, and it imports matplotlib: a third of a second in each process, for reading images in a way that we
# do not use.
if "skimage.io" not in sys.modules:
    skimage.io = sys.modules["skimage.io"] = _Later("skimage.io")
