"""Pickles: which fastbp wrote them is kept, and what an older one did not know yet gets its default."""

import functools
import inspect
import sys
import warnings
from typing import Any

from sklearn.exceptions import InconsistentVersionWarning

VERSION_KEY = "_fastbp_version"


class OtherVersionWarning(InconsistentVersionWarning):
    """An estimator was kept by another version of fastbp, of which its attributes tell in place of scikit-learn's."""

    def __str__(self) -> str:
        return (
            f"This {self.estimator_name} was kept by fastbp {self.original_sklearn_version}, and this is fastbp"
            f" {self.current_sklearn_version}. What that one did not know yet has its default. Compare a few predictions with"
            " known ones, or train again."
        )


def current_version() -> str:
    """Return the version of fastbp."""
    return str(sys.modules["fastbp"].__version__)


@functools.cache
def _defaults(kind: Any) -> dict[str, Any]:
    """Return the defaults of the parameters of a class of estimators."""
    parameters = inspect.signature(kind).parameters.values()
    return {parameter.name: parameter.default for parameter in parameters if parameter.default is not parameter.empty}


class Versioned:
    """Keeps the version in pickles and copies; a base class of estimators, before scikit-learn's."""

    def __getstate__(self) -> dict[str, Any]:
        """Add the version to the attributes."""
        state: Any = super().__getstate__()
        return {**state, VERSION_KEY: current_version()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        kind: Any = type(self)
        state = {**_defaults(kind), **state}
        version = state.pop(VERSION_KEY, "0.1.0 or older")
        if version != current_version():
            told = {"current_sklearn_version": current_version(), "original_sklearn_version": version}
            warnings.warn(OtherVersionWarning(estimator_name=kind.__name__, **told), stacklevel=2)
        super().__setstate__(state)  # type: ignore[misc]
