"""All metrics of codes whose factors are known, at once."""

import jax
import numpy as np

from .. import checks
from ..protocol import Array, Key
from .codes import codes_and_factors
from .dci import Predictor, dci
from .fixed_factor import beta_vae_score, factor_vae_score
from .information import mig
from .modularity import explicitness, modularity
from .sap import sap

SHUFFLES = 20


def code_scores(
    key: Key, codes: Array, factors: Array, *, predictor: Predictor | None = None
) -> dict[str, float]:
    """Each metric of `metrics.codes` of codes [n, d] and factors [n, k], by the published protocol.

    betavae_score, factorvae_score, mig, modularity, explicitness, sap, and of DCI dci (its
    disentanglement), completeness and informativeness. mig and modularity are there twice, also as
    mig_adjusted and modularity_adjusted: without the bias of finite samples, in bins of equally
    many rows, as many as the factor with most states has, 20 at least. sap standardises codes
    first. All rows serve for mig and modularity, up to 15,000 for the others. predictor: of `dci`.
    Cost: about 15 s on one core for 46,080 rows of 10 units and dSprites' factors.
    """
    checks.key(key)
    _, states = codes_and_factors(codes, factors)
    adjusted = {"num_bins": max(20, int(np.max(states)) + 1), "num_shuffles": SHUFFLES}
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
