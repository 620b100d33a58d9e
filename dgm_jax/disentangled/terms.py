"""The metrics that all losses of this chapter report."""

from ..objectives.aggregate import ElboTerms
from ..protocol import Metrics


def told(terms: ElboTerms) -> Metrics:
    """The metrics of the losses of this package: scalars in nats per example, by name.

    terms: of `objectives.elbo_terms`. neg_elbo, distortion (-E log p(x | z)), kl, and its parts
        mutual_information, total_correlation and dimension_kl.
    """
    return {
        "neg_elbo": terms.distortion + terms.kl,
        "distortion": terms.distortion,
        "kl": terms.kl,
        "mutual_information": terms.mutual_information,
        "total_correlation": terms.total_correlation,
        "dimension_kl": terms.dimension_kl,
    }
