"""The tables and sweeps of the paper: which runs each row is, and the figures that the paper publishes for it.

`python -m man_jax.reproduce --what table4 --transfer demo` runs one and writes ours beside theirs. A row names its
changes of the transfer's experiment: variants of configs/variants.py, KEY=VALUE, or KEY*=FACTOR. Published figures are
in percent, in the order of `columns`, by transfer; those of a real transfer stand beside the drawn one of the same
direction too, and say so.

Source: Sheng et al., "Multi-level alignment network for unsupervised domain adaptive multi-modality object
re-identification", Tables 1 to 9. The values of the sweeps are ours, as the paper only draws them.
"""

from typing import Literal, NamedTuple

FORWARD, BACK = "rgbnt100_to_wmveid863", "wmveid863_to_rgbnt100"
MSVR = "msvr310_to_wmveid863"
TO_MARKET, FROM_MARKET = "rgbnt201_to_market1501mm", "market1501mm_to_rgbnt201"

DRAWN = {"demo": FORWARD, "demo_reversed": BACK}
"""The transfer that a drawn one is made after."""

Figures = tuple[float, ...]
Picture = Literal["labels", "planes", "rankings"]


class Row(NamedTuple):
    """A row of a table: its name in the paper, its changes, and its published figures by transfer."""

    name: str
    changes: tuple[str, ...]
    published: dict[str, Figures]


class Table(NamedTuple):
    """A table or a sweep of the paper."""

    title: str
    transfers: tuple[str, ...]
    """Those of the paper; any other can be run too."""
    columns: tuple[str, ...]
    """Published figures have these, once for each of `subsets`, and then seconds and MB where `costs` are shown."""
    rows: tuple[Row, ...]
    subsets: tuple[str, ...] = ()
    """Modalities at test; each has the columns once, of the same run (Table 9). (): all modalities."""
    costs: bool = False
    """Whether time and memory are shown beside (Table 8)."""
    pictures: Picture | None = None
    """What is drawn of each row: the accuracy of its labels, its features on a plane, or its ranking lists."""


def _rows(transfers: tuple[str, ...], *rows: tuple) -> tuple[Row, ...]:
    """Make rows of (name, changes, figures of the first transfer, of the second, …); None: not published."""
    return tuple(
        Row(
            name,
            (changes,) if isinstance(changes, str) else changes,
            {transfer: each for transfer, each in zip(transfers, figures, strict=False) if each is not None},
        )
        for name, changes, *figures in rows
    )


def _by_modality(method: str, published: dict[str, tuple[Figures, Figures]]) -> list[tuple]:
    """Make a row of each subset of the modalities that a method trains on (Table 1)."""
    names = {"R": "RGB", "N": "NIR", "T": "TIR"}
    rows = []
    for subset in ("R", "N", "T", "RN", "RT", "NT", "RNT"):
        name = "full" if len(subset) == 3 else " + ".join(names[each] for each in subset)
        key = f"model.modalities={tuple(subset)!r}"
        rows.append((f"{method.upper()}, {name}", (_TYPED[method], key), *published.get(subset, ())))
    return rows


_TYPED = {"dhccn": "dhccn+us", "p2lr": "p2lr"}

VEHICLES, PERSONS = (FORWARD, BACK, MSVR), (TO_MARKET, FROM_MARKET)
BOTH = (FORWARD, BACK)
ONE = (BACK, FROM_MARKET)
TESTED = (FORWARD, BACK, MSVR, FROM_MARKET)
FULL = ("mAP", "R1", "R5", "R10")
SHORT = ("mAP", "R1")

_STAGES = _rows((), ("source only", "source_only"), ("baseline", "baseline"), ("MAN", "paper"))
_LABELS = Table(
    "Accuracy of the pseudo-labels, in the first epoch and in the last one",
    BOTH,
    SHORT,
    _rows((), ("MAN", "paper")),
    pictures="labels",
)

TABLES = {
    "table1": Table(
        "Modalities that are trained on",
        ONE,
        SHORT,
        _rows(
            ONE,
            *_by_modality(
                "dhccn",
                {
                    "R": ((27.50, 50.20), (13.71, 12.32)),
                    "N": ((17.70, 35.51), (11.46, 9.09)),
                    "T": ((23.50, 49.39), (18.45, 16.99)),
                    "RN": ((29.02, 52.01), (18.23, 17.46)),
                    "RT": ((37.78, 74.99), (24.85, 23.86)),
                    "NT": ((34.10, 70.44), (21.89, 21.41)),
                    "RNT": ((41.09, 69.91), (27.75, 26.32)),
                },
            ),
            *_by_modality(
                "p2lr",
                {
                    "N": ((20.29, 39.48), (9.60, 8.13)),
                    "T": ((26.01, 55.80), (19.69, 15.67)),
                    "RN": ((34.70, 63.03), (15.98, 13.76)),
                    "RT": ((39.80, 74.93), (22.33, 18.42)),
                    "NT": ((34.04, 69.56), (17.69, 14.35)),
                    "RNT": ((45.96, 80.47), (21.38, 17.22)),
                },
            ),
        ),
    ),
    "table2": Table(
        "Methods, vehicles",
        VEHICLES,
        FULL,
        _rows(
            VEHICLES,
            (
                "O2CAP, US",
                "o2cap+us",
                (29.78, 32.42, 46.7, 54.21),
                (33.79, 62.04, 65.25, 67.76),
                (30.04, 31.32, 47.80, 55.68),
            ),
            (
                "RTMem, US",
                "rtmem+us",
                (36.33, 39.19, 52.93, 60.26),
                (35.74, 70.50, 72.30, 73.29),
                (40.11, 43.41, 56.41, 63.37),
            ),
            (
                "LP, US",
                "lp+us",
                (47.87, 51.83, 62.82, 69.41),
                (39.16, 69.21, 71.49, 73.18),
                (52.17, 57.14, 68.68, 75.46),
            ),
            (
                "DHCCN, US",
                "dhccn+us",
                (48.05, 51.47, 63.74, 69.41),
                (41.09, 69.91, 72.48, 73.70),
                (35.88, 37.55, 53.11, 60.99),
            ),
            (
                "3C, US",
                "three_c+us",
                (38.44, 43.04, 53.48, 59.71),
                (36.18, 65.83, 68.86, 70.26),
                (37.34, 39.74, 53.48, 61.90),
            ),
            (
                "IDM, UDA",
                "idm",
                (46.94, 50.18, 63.19, 73.08),
                (40.12, 75.63, 78.54, 80.12),
                (39.20, 40.84, 55.68, 64.84),
            ),
            (
                "SECRET, UDA",
                "secret",
                (43.89, 47.62, 61.90, 70.88),
                (41.74, 77.55, 79.94, 81.63),
                (43.89, 44.14, 63.55, 69.96),
            ),
            (
                "P2LR, UDA",
                "p2lr",
                (41.63, 45.24, 57.88, 67.03),
                (45.96, 80.47, 81.87, 82.39),
                (40.50, 43.77, 56.59, 63.55),
            ),
            (
                "IDM + MSINet, UDA",
                "idm+msinet",
                (41.36, 44.32, 55.89, 64.47),
                (37.68, 75.39, 77.96, 79.42),
                (39.19, 40.66, 56.96, 64.29),
            ),
            ("LRIMV, UDA", "lrimv", None, (39.23, 74.40, 76.09, 77.32), None),
            (
                "DSSM, UDA",
                "dssm",
                (37.10, 40.66, 53.85, 59.89),
                (40.18, 74.81, 76.73, 77.43),
                (40.44, 42.12, 58.06, 64.10),
            ),
            (
                "MAN, UDA",
                "paper",
                (53.91, 59.16, 71.98, 75.46),
                (50.86, 89.15, 89.97, 90.44),
                (55.32, 62.09, 72.71, 77.47),
            ),
            ("MMT, UDA", "mmt"),
            ("cluster contrast, UDA", "cluster_contrast"),
            ("plus (beyond the paper)", "plus"),
            ("source only", "source_only", (32.45, 34.43), (33.01, 68.63), (32.92, 35.53)),
            ("baseline + XBM", "baseline", (40.33, 44.14), (39.64, 76.85)),
            ("oracle", "oracle", (62.84, 68.86), (69.03, 94.34)),
        ),
    ),
    "table3": Table(
        "Methods, persons",
        PERSONS,
        FULL,
        _rows(
            PERSONS,
            ("O2CAP, US", "o2cap+us", (4.81, 14.40, 28.59, 36.13), (8.01, 7.06, 11.84, 16.27)),
            ("RTMem, US", "rtmem+us", (14.07, 36.13, 50.33, 57.01), (18.60, 15.67, 19.98, 25.96)),
            ("LP, US", "lp+us", (12.51, 31.92, 47.68, 55.49), (26.01, 22.13, 31.34, 36.72)),
            ("DHCCN, US", "dhccn+us", (8.65, 24.82, 41.48, 49.38), (27.75, 26.32, 36.96, 44.14)),
            ("3C, US", "three_c+us", (5.79, 17.10, 31.83, 39.64), (9.32, 8.73, 14.23, 19.74)),
            ("MMT, UDA", "mmt", (12.63, 32.13, 46.29, 52.52), (15.43, 12.08, 21.89, 27.87)),
            ("IDM, UDA", "idm", (9.82, 27.35, 40.65, 47.33), (16.24, 13.64, 20.81, 30.74)),
            ("SECRET, UDA", "secret", (12.63, 32.13, 46.29, 52.52), (15.70, 11.36, 22.97, 31.70)),
            ("P2LR, UDA", "p2lr", (18.14, 39.85, 55.29, 61.34), (21.38, 17.22, 28.11, 34.93)),
            ("IDM + MSINet, UDA", "idm+msinet", (11.16, 28.62, 43.59, 50.68), (19.26, 14.95, 26.67, 33.97)),
            ("LRIMV, UDA", "lrimv", (16.98, 39.99, 58.88, 67.81), None),
            ("DSSM, UDA", "dssm", (10.67, 28.44, 44.03, 51.40), (18.07, 14.00, 24.64, 31.22)),
            ("MAN, UDA", "paper", (23.68, 48.04, 65.53, 73.60), (32.59, 33.61, 42.82, 46.65)),
            ("source only", "source_only", (5.64, 17.55), (8.79, 6.82)),
        ),
    ),
    "table4": Table(
        "Parts of the method",
        BOTH,
        SHORT,
        _rows(
            BOTH,
            ("oracle", "oracle", (62.84, 68.86), (69.03, 94.34)),
            ("MAN", "paper", (53.91, 59.16), (50.86, 89.15)),
            ("− CPA", "no_cpa", (44.42, 49.08), (42.25, 79.53)),
            ("− PDA", "no_pda", (49.64, 54.76), (48.93, 86.59)),
            ("− MMA", "no_mma", (51.44, 57.51), (47.20, 85.89)),
            ("baseline", "baseline", (40.33, 44.14), (39.64, 76.85)),
            ("source only", "source_only", (32.45, 34.43), (33.01, 68.63)),
        ),
    ),
    "table5": Table(
        "What PDA compares",
        BOTH,
        FULL,
        _rows(
            BOTH,
            ("Ins-Ins", "ins_ins", (48.98, 52.93, 67.22, 75.46), (47.08, 85.36, 86.06, 86.76)),
            ("Proto-Proto", "proto_proto", (48.71, 53.48, 66.85, 75.27), (48.54, 85.71, 86.76, 87.35)),
            ("Ins-Proto", "paper", (53.91, 59.16, 71.98, 75.46), (50.86, 89.15, 89.97, 90.44)),
        ),
    ),
    "table6": Table(
        "Weights of the prototypes",
        BOTH,
        FULL,
        _rows(
            BOTH,
            ("average", "average", (52.78, 57.88, 70.88, 77.11), (47.83, 88.45, 89.62, 89.91)),
            ("weight", "paper", (53.91, 59.16, 71.98, 75.46), (50.86, 89.15, 89.97, 90.44)),
        ),
    ),
    "table7": Table(
        "Backbones",
        (FORWARD, BACK, MSVR, FROM_MARKET, TO_MARKET),
        SHORT,
        _rows(
            (FORWARD, BACK, MSVR, FROM_MARKET, TO_MARKET),
            (
                "source only, ViT-B",
                "source_only+vit",
                *((32.50, 34.10), (36.25, 73.06), (34.24, 36.45), (20.92, 17.46), (14.75, 36.02)),
            ),
            (
                "source only, CLIP",
                "source_only+clip",
                *((25.84, 23.63), (40.11, 72.30), (29.51, 29.85), (43.33, 51.32), (14.22, 33.79)),
            ),
            (
                "source only, ResNet-50",
                "source_only",
                *((32.45, 34.43), (33.01, 68.63), (32.92, 35.53), (8.79, 6.82), (5.64, 17.55)),
            ),
            (
                "UDA, ViT-B",
                "vit",
                *((50.26, 54.58), (41.25, 81.92), (52.98, 58.61), (25.35, 21.65), (25.04, 49.05)),
            ),
            (
                "UDA, CLIP",
                "clip",
                *((42.20, 45.79), (44.05, 81.92), (50.94, 56.59), (51.59, 52.99), (44.15, 71.50)),
            ),
            (
                "UDA, ResNet-50",
                "paper",
                *((53.01, 59.34), (50.86, 89.15), (55.32, 62.09), (32.59, 33.61), (23.68, 48.04)),
            ),
        ),
    ),
    "table8": Table(
        "Cost of the methods (published: a GTX 3090, MSVR310 → WMVeID863)",
        (MSVR,),
        SHORT,
        _rows(
            (MSVR,),
            ("IDM", "idm", (39.20, 40.84, 242, 8, 10870)),
            ("P2LR", "p2lr", (40.50, 43.77, 253, 11, 9748)),
            ("DSSM", "dssm", (40.44, 42.12, 220, 9, 20292)),
            ("MAN", "paper", (55.32, 62.09, 213, 8, 8412)),
        ),
        costs=True,
    ),
    "table9": Table(
        "Modalities missing at test",
        TESTED,
        SHORT,
        _rows(
            TESTED,
            (
                "source only",
                "source_only",
                (20.72, 21.06, 19.76, 19.78, 30.39, 34.62, 23.15, 22.34, 32.45, 35.35, 31.68, 34.07),
                (22.82, 45.66, 16.42, 35.45, 21.29, 46.88, 24.64, 51.37, 32.26, 67.7, 27.53, 60.23),
                (22.47, 21.61, 19.29, 19.78, 29.32, 33.33, 25.01, 24.91, 33.49, 36.08, 32.05, 34.43),
                (5.08, 3.95, 6.24, 4.07, 9.33, 9.36, 7.84, 5.86, 8.03, 5.38, 12.56, 9.45),
            ),
            (
                "baseline",
                "baseline",
                (24.85, 26.12, 22.41, 22.87, 34.28, 38.45, 27.63, 27.18, 37.84, 40.92, 36.92, 38.95),
                (27.46, 53.28, 19.37, 40.12, 24.83, 54.67, 29.75, 58.46, 37.92, 73.85, 31.86, 66.54),
                (26.38, 26.84, 22.64, 23.45, 33.87, 37.95, 29.48, 29.76, 38.74, 41.87, 37.28, 39.64),
                (9.27, 7.84, 8.92, 6.95, 12.68, 12.87, 10.38, 8.64, 11.28, 9.47, 14.38, 11.28),
            ),
            (
                "DHCCN, US",
                "dhccn+us",
                (30.67, 33.59, 26.89, 28.74, 39.24, 43.87, 33.75, 36.89, 44.38, 49.63, 43.12, 47.28),
                (31.28, 60.74, 22.67, 47.38, 28.46, 61.83, 34.82, 67.59, 43.27, 79.64, 36.95, 74.28),
                (32.47, 34.28, 27.38, 29.64, 38.92, 43.18, 35.84, 38.27, 46.28, 51.74, 44.37, 48.65),
                (13.42, 11.28, 9.87, 7.84, 13.28, 13.38, 14.27, 12.38, 15.38, 13.28, 16.47, 14.28),
            ),
            (
                "MAN, UDA",
                "paper",
                (38.89, 44.14, 33.23, 35.71, 45.62, 51.28, 42.35, 47.44, 53.02, 60.26, 51.99, 58.79),
                (36.01, 69.91, 26.54, 56.50, 32.85, 68.92, 39.06, 74.52, 49.45, 86.59, 42.71, 83.97),
                (39.15, 41.58, 34.56, 36.81, 44.36, 48.90, 41.27, 43.96, 54.58, 60.81, 50.96, 57.33),
                (18.82, 18.06, 11.08, 9.69, 15.78, 14.00, 18.64, 17.94, 22.31, 19.62, 18.66, 17.82),
            ),
        ),
        subsets=("R", "N", "T", "RN", "RT", "NT"),
    ),
    "fig5": Table(
        "The weights α of PDA and β of MMA (the values are ours)",
        (FORWARD,),
        SHORT,
        _rows(
            (FORWARD,),
            *((f"α = {value}", f"man.alpha={value}") for value in (0.0, 0.5, 1.0, 1.5, 2.0)),
            *((f"β = {value}", f"man.beta={value}") for value in (0.0, 0.4, 0.8, 1.2, 1.6)),
        ),
    ),
    "fig3": _LABELS,
    "fig6": _LABELS,
    "fig7": Table("Features on a plane, before and after", (MSVR,), SHORT, _STAGES, pictures="planes"),
    "fig9": Table("Ranking lists, before and after", (MSVR,), SHORT, _STAGES, pictures="rankings"),
    "fig8": Table(
        "The number of clusters, as a share of the experiment's k (the values are ours)",
        (MSVR,),
        SHORT,
        _rows(
            (MSVR,),
            *((f"{share} k", f"adapt.num_clusters*={share}") for share in (0.5, 0.75, 1.0, 1.25, 1.5, 2.0)),
        ),
    ),
    "sigma": Table(
        "σ of Eq. 6, which the paper does not give",
        (),
        SHORT,
        _rows(
            (),
            *((f"σ = {value}", f"man.threshold={value}") for value in (0.0, 0.1, 0.2, 0.4, 0.6)),
        ),
    ),
}
"""By the name that `--what` takes."""
