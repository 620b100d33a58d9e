"""What papers report, beside which our numbers are put.

The figures of a table are in the order of its sets. All are of the published splits; those of a
source that is `recalled` were not read again in the paper: check them before you cite them. How
many masks the ensembles on adult and mushrooms have is not known here; bsds300_patches are patches
drawn anew by the recipe of those published.
"""

from typing import NamedTuple


class Figure(NamedTuple):
    value: float
    source: str


class Table(NamedTuple):
    source: str
    unit: str
    sets: tuple[str, ...]
    figures: dict[str, tuple[float, ...]]  # model -> a figure for each of the sets


UCI = ("power", "gas", "hepmass", "miniboone", "bsds300_patches")
TABLES = (
    Table(
        "Papamakarios et al. 2017",
        "nats",
        UCI,
        {
            "MADE": (-3.08, 3.56, -20.98, -15.59, 148.85),
            "MADE MoG": (0.40, 8.47, -15.15, -12.27, 153.71),
            "RealNVP (10)": (0.17, 8.33, -18.71, -13.84, 153.28),
            "MAF (5)": (0.14, 9.07, -17.70, -11.75, 155.69),
        },
    ),
    Table(
        "Papamakarios et al. 2017",
        "nats",
        UCI[:4],
        {
            "Gaussian": (-7.74, -3.58, -27.93, -37.24),
        },
    ),
    Table("Papamakarios et al. 2017", "nats", UCI[:2], {"MAF (10)": (0.24, 10.08)}),
    Table(
        "Papamakarios et al. 2017, recalled",
        "nats",
        UCI[2:],
        {
            "MAF (10)": (-17.73, -12.24, 154.93),
        },
    ),
    Table("Papamakarios et al. 2017, recalled", "nats", UCI[4:], {"Gaussian": (96.67,)}),
    Table(
        "Durkan et al. 2019",
        "nats",
        UCI,
        {
            "RQ-NSF (C)": (0.64, 13.09, -14.75, -9.67, 157.54),
            "RQ-NSF (AR)": (0.66, 13.09, -14.01, -9.22, 157.31),
        },
    ),
    Table(
        "Grathwohl et al. 2019",
        "nats",
        UCI,
        {
            "FFJORD": (0.46, 8.59, -14.92, -10.43, 157.40),
        },
    ),
    Table(
        "Germain et al. 2015, recalled",
        "nats",
        ("binarized_mnist", "adult", "mushrooms"),
        {
            "MADE": (-88.40, -13.12, -9.68),
            "MADE, 32 masks": (-88.04, -13.13, -9.69),
        },
    ),
    Table(
        "Germain et al. 2015, recalled",
        "nats",
        ("binarized_mnist",),
        {
            "MADE, 2 layers, 32 masks": (-86.64,),
        },
    ),
    Table(
        "Germain et al. 2015, recalled",
        "nats",
        ("adult", "mushrooms"),
        {
            "NADE": (-13.19, -9.81),
            "mixture of Bernoullis": (-20.44, -14.46),
        },
    ),
    Table(
        "Grathwohl et al. 2019",
        "bits/dim",
        ("mnist",),
        {
            "RealNVP": (1.06,),
            "Glow": (1.05,),
            "FFJORD": (0.99,),
        },
    ),
    Table("Dinh et al. 2017", "bits/dim", ("cifar10",), {"RealNVP": (3.49,)}),
    Table("Kingma & Dhariwal 2018", "bits/dim", ("cifar10",), {"Glow": (3.35,)}),
    Table("Ho et al. 2019", "bits/dim", ("cifar10",), {"Flow++": (3.08,)}),
    Table("Grathwohl et al. 2019", "bits/dim", ("cifar10",), {"FFJORD": (3.40,)}),
    Table("van den Oord et al. 2016a", "nats", ("binarized_mnist",), {"PixelCNN": (-81.30,)}),
    Table("van den Oord et al. 2016a", "bits/dim", ("cifar10",), {"PixelCNN": (3.14,)}),
    Table("van den Oord et al. 2016b", "bits/dim", ("cifar10",), {"Gated": (3.03,)}),
    Table("Salimans et al. 2017", "bits/dim", ("cifar10",), {"PixelCNN++": (2.92,)}),
    Table("Chen et al. 2018", "bits/dim", ("cifar10",), {"PixelSNAIL": (2.85,)}),
)


def of(data: str, unit: str) -> dict[str, Figure]:
    """All figures of a set, by model."""
    return {
        name: Figure(values[table.sets.index(data)], table.source)
        for table in TABLES
        if table.unit == unit and data in table.sets
        for name, values in table.figures.items()
    }


def find(data: str, unit: str, model: str) -> Figure | None:
    """The figure of a model, whose name may differ in capitals."""
    return {name.lower(): figure for name, figure in of(data, unit).items()}.get(model.lower())
