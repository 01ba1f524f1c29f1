"""Where the codecs of this store find the unchecked way to build a model."""

from lash_core.model.fast_build import fast_build

__all__ = ["fast_build"]
