"""Bijections with their log-determinants, as distrax objects: the parts of flows.

    laws            τ of one number: affine, additive, rational_quadratic_spline,
                    mixture_logistic_cdf
    triangular      Autoregressive, Coupling
    linear          Diagonal, Triangular, Orthogonal, Permutation
    shapes          squeeze, checkerboard, flatten, FactorOut
    continuous      Continuous, the solution of an ODE with options from ode_solver
    chains          Scan, of layers that have one program

Each has forward and inverse with their log-determinants; `combinators.compose` chains flows.
"""

from .autoregressive import Autoregressive as Autoregressive
from .cdf import Mixture as Mixture
from .cdf import MixtureLogisticCDF as MixtureLogisticCDF
from .cdf import mixture_logistic_cdf as mixture_logistic_cdf
from .continuous import Continuous as Continuous
from .continuous import Field as Field
from .continuous import Solver as Solver
from .continuous import divergence_by_autodiff as divergence_by_autodiff
from .continuous import ode_solver as ode_solver
from .coupling import Coupling as Coupling
from .factor_out import FactorOut as FactorOut
from .laws import Law as Law
from .laws import additive as additive
from .laws import affine as affine
from .laws import contraction as contraction
from .linear import Diagonal as Diagonal
from .linear import Orthogonal as Orthogonal
from .linear import Triangular as Triangular
from .linear import householder as householder
from .normal_cdf import NormalLogitCDF as NormalLogitCDF
from .permutation import Permutation as Permutation
from .roots import increasing_root as increasing_root
from .scan import Scan as Scan
from .spline import rational_quadratic_spline as rational_quadratic_spline
from .squeeze import Rearrangement as Rearrangement
from .squeeze import checkerboard as checkerboard
from .squeeze import flatten as flatten
from .squeeze import squeeze as squeeze
from .sylvester import Sylvester as Sylvester
