"""Versions in pickles: the version of fastbp that wrote one, and defaults for parameters that an older version did not have."""

import sys
import warnings
from typing import Any

from sklearn.exceptions import InconsistentVersionWarning

from fastbp.estimators.parameters import constructor_defaults

VERSION_KEY = "_fastbp_version"


class OtherVersionWarning(InconsistentVersionWarning):
    """An estimator was pickled by another version of fastbp. Its attributes give versions of fastbp, not of scikit-learn."""

    def __str__(self) -> str:
        return (
            f"This {self.estimator_name} was kept by fastbp {self.original_sklearn_version}, and this is fastbp"
            f" {self.current_sklearn_version}. Parameters that the other version does not have are at their defaults. Compare a"
            " few predictions with known ones, or train again."
        )


def current_version() -> str:
    """Return the version of fastbp."""
    return str(sys.modules["fastbp"].__version__)


class Versioned:
    """Keeps the version in pickles and copies. A base class of estimators, before scikit-learn's own."""

    def __getstate__(self) -> dict[str, Any]:
        """Add the version to the attributes."""
        state: Any = super().__getstate__()
        return {**state, VERSION_KEY: current_version()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        kind: Any = type(self)
        state = {**constructor_defaults(kind), **state}
        version = state.pop(VERSION_KEY, "0.1.0 or older")
        if version != current_version():
            told = {"current_sklearn_version": current_version(), "original_sklearn_version": version}
            warnings.warn(OtherVersionWarning(estimator_name=kind.__name__, **told), stacklevel=2)
        super().__setstate__(state)  # type: ignore[misc]
