from .comparison.chosen.selection import Skipped as Skipped
from .comparison.compare import compare as compare
from .comparison.comparison import Comparison as Comparison
from .comparison.kept.export import export_run as export_run
from .comparison.kept.load import load_comparison as load_comparison
from .comparison.kept.search import search_comparisons as search_comparisons
from .delivery.sync import sync as sync
from .environment import __version__ as __version__
from .errors import (
    ArtifactError as ArtifactError,
)
from .errors import (
    CheckpointError as CheckpointError,
)
from .errors import (
    GradiendMLflowError as GradiendMLflowError,
)
from .errors import (
    InvalidInputError as InvalidInputError,
)
from .errors import (
    MissingPartError as MissingPartError,
)
from .errors import (
    SkippedRunsError as SkippedRunsError,
)
from .errors import (
    SpaceConflictError as SpaceConflictError,
)
from .errors import (
    StoreError as StoreError,
)
from .figures.curve import plot_curve as plot_curve
from .figures.groups import plot_groups as plot_groups
from .figures.heatmap import plot_heatmap as plot_heatmap
from .figures.layers import plot_layers as plot_layers
from .figures.near.map import plot_map as plot_map
from .figures.near.tree import plot_tree as plot_tree
from .figures.stability import plot_stability as plot_stability
from .figures.upset import plot_upset as plot_upset
from .figures.venn import plot_venn as plot_venn
from .models.flavor import load_model as load_model
from .models.flavor import log_model as log_model
from .overlap.curve import OverlapCurve as OverlapCurve
from .overlap.grouping import GroupedOverlap as GroupedOverlap
from .overlap.layout.ties import Ties as Ties
from .overlap.overlap import Overlap as Overlap
from .overlap.seeds import (
    SeedOverlap as SeedOverlap,
)
from .overlap.seeds import (
    SeedPolicy as SeedPolicy,
)
from .overlap.statistics.chance import Chance as Chance
from .overlap.statistics.difference import OverlapDifference as OverlapDifference
from .overlap.statistics.group_test import GroupTest as GroupTest
from .overlap.statistics.neighbours import OverlapMap as OverlapMap
from .overlap.units import NeuronOverlap as NeuronOverlap
from .overlap.units import compute_overlap as compute_overlap
from .runs.describing import (
    RunDescription as RunDescription,
)
from .runs.describing import (
    describe_run as describe_run,
)
from .runs.describing import (
    ui_page as ui_page,
)
from .runs.pulling import load_topk as load_topk
from .runs.search import search_runs as search_runs
from .runs.stability import load_stability as load_stability
from .runs.upkeep import (
    CacheUse as CacheUse,
)
from .runs.upkeep import (
    cache_info as cache_info,
)
from .runs.upkeep import (
    clear_cache as clear_cache,
)
from .runs.upkeep import (
    prune_cache as prune_cache,
)
from .runs.verifying import verify_runs as verify_runs
from .scale.blocks import OverlapBlocks as OverlapBlocks
from .scale.compute import compute_overlap_blocks as compute_overlap_blocks
from .scale.export import (
    ExportedDataset as ExportedDataset,
)
from .scale.export import (
    export_dataset as export_dataset,
)
from .sets.artifact import (
    load_topk_file as load_topk_file,
)
from .sets.artifact import (
    save_topk as save_topk,
)
from .sets.parts import PARTS as PARTS
from .sets.space import WeightSpace as WeightSpace
from .sets.topk import TopKSet as TopKSet
from .store.pending import flush as flush
from .tracking.autolog import autolog as autolog
from .tracking.callback import MLflowCallback as MLflowCallback
from .tracking.log_topk import log_topk as log_topk
from .tracking.start_run import start_run as start_run
from .trainings.import_runs import import_runs as import_runs
