"""The HTML of estimators in notebooks: the layers of a fitted network above scikit-learn's diagram."""

from html import escape
from importlib.metadata import PackageNotFoundError, metadata
from typing import Any

from sklearn.utils import estimator_html_repr

from fastbp.estimators.ordered import OUTPUT


class ShownInNotebooks:
    """The HTML for notebooks: facts about a fitted estimator above scikit-learn's diagram. A base class of the estimators."""

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        bundle = super()._repr_mimebundle_(**kwargs)  # type: ignore[misc]
        return bundle | {"text/html": self._html()} if "text/html" in bundle else bundle

    @property
    def _repr_html_(self) -> Any:
        super()._repr_html_  # type: ignore[misc]  # noqa: B018 - raises AttributeError with set_config(display="text")
        return self._html

    def _facts_html(self) -> str:
        return architecture_html(self)

    def _html(self) -> str:
        return self._facts_html() + documentation_html(self) + estimator_html_repr(self)


def lines_html(title: str, lines: list[str]) -> str:
    """Return lines as a table that can be folded."""
    rows = "".join(f"<tr><td style='text-align:left'>{escape(line)}</td></tr>" for line in lines)
    return f"<details><summary>{escape(title)}</summary><table><tbody>{rows}</tbody></table></details>"


def architecture_html(estimator: Any) -> str:
    """Return a table of the layers of a fitted network, with epochs and loss; "" if it is not fitted."""
    if not hasattr(estimator, "coefs_"):
        return ""
    sizes = [len(estimator.coefs_[0]), *(W.shape[1] for W in estimator.coefs_)]
    chosen = estimator.activation
    hidden = [chosen] * (len(sizes) - 2) if isinstance(chosen, str) else [str(name) for name in chosen]
    output = getattr(estimator, "out_activation_", "")
    activations = [*hidden, output]
    if output == OUTPUT:  # after the score
        activations[-2:] = ["identity", output] if isinstance(chosen, str) else [activations[-2], "identity", output]
    counts = [W.size + b.size * bool(estimator.fit_intercept) for W, b in zip(estimator.coefs_, estimator.intercepts_)]
    layers = [*zip(sizes, sizes[1:], activations, counts)]
    skip = getattr(estimator, "skip_coefs_", None)
    if skip is not None:
        layers.append((*skip.shape, "added before the last", skip.size))
        counts.append(skip.size)
    rows = "".join(
        f"<tr><td>{n_in} → {n_out}</td><td>{escape(name)}</td><td style='text-align:right'>{count:,}</td></tr>"
        for n_in, n_out, name, count in layers
    )
    facts = f"{sum(counts):,} parameters"
    if hasattr(estimator, "loss_"):  # not if a user has set the weights
        facts += f", {estimator.n_iter_} epochs, loss {estimator.loss_:.4g}"
    return (
        f"<details open><summary>{escape(type(estimator).__name__)}: {facts}</summary><table><thead><tr><th>layer</th>"
        f"<th>activation</th><th>parameters</th></tr></thead><tbody>{rows}</tbody></table></details>"
    )


def documentation_html(estimator: Any) -> str:
    """Return a link to the class's page, if the metadata of the installed package have the address of the documentation."""
    try:
        addresses = metadata("fastbp").get_all("Project-URL") or []
    except PackageNotFoundError:
        return ""
    for address in addresses:
        label, _, url = address.partition(", ")
        if label == "Documentation":
            name = type(estimator).__name__
            page = escape(f"{url.rstrip('/')}/reference/fastbp.{name}.html", quote=True)
            return f"<p><a href='{page}' rel='noreferrer' target='_blank'>Documentation of {escape(name)}</a></p>"
    return ""
