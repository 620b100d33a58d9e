"""The metrics that all losses of this chapter report."""

from ..objectives.aggregate import ElboTerms
from ..protocol import Metrics


def told(terms: ElboTerms) -> Metrics:
    """The metrics of `objectives.elbo`, and the three parts of the KL, in nats per example."""
    return {
        "neg_elbo": terms.distortion + terms.kl,
        "distortion": terms.distortion,
        "kl": terms.kl,
        "mutual_information": terms.mutual_information,
        "total_correlation": terms.total_correlation,
        "dimension_kl": terms.dimension_kl,
    }
