"""All metrics of codes with known factors, at once."""

from typing import Any

import jax
import numpy as np

from .. import checks
from ..protocol import Key, Rows
from .codes import codes_and_factors
from .dci import Predictor, dci
from .fixed_factor import beta_vae_score, factor_vae_score
from .information import mig
from .modularity import explicitness, modularity
from .sap import sap

SHUFFLES = 20


def code_scores(
    key: Key, codes: Rows, factors: Rows, *, predictor: Predictor | None = None
) -> dict[str, float]:
    """{name: score} of all metrics of disentanglement that need factors, for codes z and factors v.

    codes: [n, d], usually means of q(z | x); factors: [n, k], integers that number the states of
        each factor of the same rows
    key: draws rows, batches and shuffles
    predictor: for dci, completeness and informativeness, a function (z [m, d], v [m], z_test) ->
        (importance of each unit [d], v of z_test); by default `random_forest()`

    The names are those of the functions: betavae_score, factorvae_score, mig, dci (the
    disentanglement of DCI), completeness, informativeness, modularity, explicitness, sap. Each is
    computed as published, but sap standardises codes first; mig_adjusted and modularity_adjusted
    are also corrected for the bias of finite samples, with 20 shuffles and quantile bins, as many
    as the factor with most states has, at least 20. All are in 0..1, higher is better; noise scores
    about 1/k in the first two, 0.67 in modularity, ½ in explicitness, the accuracy of guessing in
    informativeness, and about 0 in the others. mig and modularity use all rows, the others up to
    15,000. Cost: seconds for tens of thousands of rows. Locatello et al. (2019), "Challenging
    common assumptions in the unsupervised learning of disentangled representations".
    """
    checks.key(key)
    _, states = codes_and_factors(codes, factors)
    num_bins = max(20, int(np.max(states)) + 1)
    adjusted: dict[str, Any] = {"num_bins": num_bins, "num_shuffles": SHUFFLES}
    adjusted |= {"binning": "quantile"}
    keys, given = jax.random.split(key, 5), (codes, factors)
    pairs = dci(keys[0], *given, predictor=predictor)
    return {
        "betavae_score": beta_vae_score(keys[1], *given).accuracy,
        "factorvae_score": factor_vae_score(keys[2], *given).accuracy,
        "mig": mig(*given).score,
        "mig_adjusted": mig(*given, **adjusted).score,
        "dci": pairs.disentanglement,
        "completeness": pairs.completeness,
        "informativeness": pairs.informativeness,
        "modularity": modularity(*given).score,
        "modularity_adjusted": modularity(*given, **adjusted).score,
        "explicitness": explicitness(keys[3], *given).score,
        "sap": sap(keys[4], *given).score,
    }
