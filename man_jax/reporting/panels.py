"""Draw what every panel of a figure has: its title, its grid, its legend below."""

from collections.abc import Iterable, Sequence

from matplotlib.axes import Axes


def begin_panel(place: Axes, title: str, broken: Iterable[int]) -> None:
    """Write a panel's title, and below it the epochs with a figure that is not finite."""
    epochs = sorted(set(broken))
    place.set_title(title, fontsize=10, loc="left", pad=20 if epochs else 8)
    if epochs:
        place.text(
            0,
            1.03,
            f"not finite: epoch {list_epochs(epochs)}",
            transform=place.transAxes,
            fontsize=8,
            color="#b00000",
            va="bottom",
        )
    place.tick_params(labelsize=8)
    place.grid(alpha=0.3)
    place.set_axisbelow(True)
    place.spines[["top", "right"]].set_visible(False)


def list_epochs(epochs: Sequence[int], most: int = 6) -> str:
    """List the first few epochs, and count the rest."""
    rest = len(epochs) - most
    return ", ".join(map(str, epochs[:most])) + (f" and {rest} more" if rest > 0 else "")


def add_legend(place: Axes, *, columns: int) -> None:
    """Put the legend below the axis, where it hides no line."""
    place.legend(
        fontsize=8,
        frameon=False,
        ncols=columns,
        loc="upper left",
        bbox_to_anchor=(-0.1, -0.17),
        columnspacing=0.9,
        handlelength=2.4,
        handletextpad=0.5,
        borderaxespad=0,
    )
