"""What an option may be. Written down again, because `--help` is quick only without the modules that define it."""

from __future__ import annotations

PARTS = ("encoder-weight", "decoder-weight", "decoder-bias", "decoder-sum")
VALUES = (
    "intersection",
    "intersection_frac",
    "jaccard",
    "mass_overlap",
    "cosine",
    "cosine_signed",
    "spearman",
    "spearman_signed",
    "sign_agreement",
    "rbo",
)
UNITS = ("weight", "neuron")
SEEDS = ("best", "all_convergent", "all_tried")
AGGREGATES = ("mean", "median", "min", "max")
KINDS = ("training", "seed", "comparison")
VIEWS = ("trainings", "comparisons", "seeds")
WIDTHS = ("column", "text")
FORMATS = ("table", "json", "csv")
SHELLS = ("bash", "zsh", "fish")
# What draws each kind of figure, and with which options.
FIGURES: dict[str, tuple[str, dict[str, bool]]] = {
    "heatmap": ("plot_heatmap", {}),
    "venn": ("plot_venn", {}),
    "upset": ("plot_upset", {}),
    "curve": ("plot_curve", {}),
    "layers": ("plot_layers", {}),
    "groups": ("plot_groups", {}),
    "map": ("plot_map", {}),
    "tree": ("plot_tree", {}),
}
