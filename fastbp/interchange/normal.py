"""Quantiles of the normal distribution as a formula, for languages that have none."""

from typing import Any

# P. J. Acklam, An algorithm for computing the inverse normal cumulative distribution function, 2003, to 1.2e-9
_CENTRE = (
    (
        -3.969683028665376e1,
        2.209460984245205e2,
        -2.759285104469687e2,
        1.383577518672690e2,
        -3.066479806614716e1,
        2.506628277459239,
    ),
    (-5.447609879822406e1, 1.615858368580409e2, -1.556989798598866e2, 6.680131188771972e1, -1.328068155288572e1, 1.0),
)
_TAIL = (
    (-7.784894002430293e-3, -3.223964580411365e-1, -2.400758277161838, -2.549732539343734, 4.374664141464968, 2.938163982698783),
    (7.784695709041462e-3, 3.224671290700398e-1, 2.445134137142996, 3.754408661907416, 1.0),
)
_START_OF_TAIL = 0.02425


def normal_quantile(f: Any, share: Any) -> Any:
    """Return the quantile of the normal distribution for a share above 0 and below 1, in a language that has log and sqrt."""
    centred = f.add(share, -0.5)
    of_centre = f.multiply(_quotient(f, _CENTRE, f.multiply(centred, centred)), centred)
    outside = f.minimum(share, f.subtract(1.0, share))
    of_tail = _quotient(f, _TAIL, f.sqrt(f.multiply(f.log(outside), -2.0)))
    of_tail = f.where_less(centred, 0.0, of_tail, f.multiply(of_tail, -1.0))
    return f.where_less(outside, _START_OF_TAIL, of_tail, of_centre)


def _quotient(f: Any, polynomials: tuple[tuple[float, ...], tuple[float, ...]], x: Any) -> Any:
    """Return the quotient of two polynomials, the highest power first."""
    values = []
    for factors in polynomials:
        value: Any = factors[0]
        for factor in factors[1:]:
            value = f.add(f.multiply(x, value), factor)
        values.append(value)
    return f.divide(*values)
