"""Past one machine, on a small scale: runs become a dataset, which DuckDB asks and Dask compares block by block.

`make demo` has trained the runs. With an address of a lab's server, s3:// for the folder and `Client(address)` of a
cluster in place of two processes, this is what 100,000 runs need.

    pip install "gradiend-mlflow[scale]" duckdb
    python examples/scale.py --tracking-uri sqlite:///demo/mlflow.db
"""

from __future__ import annotations

import argparse
from pathlib import Path

import duckdb
import pandas as pd
from dask.distributed import Client

import gradiend_mlflow

# Which weights do most runs change?
MOST_SHARED = """
SELECT param, "offset", count(*) AS runs, avg(rank) AS mean_rank
FROM read_parquet('{folder}/sets/*/*.parquet', hive_partitioning = true)
WHERE part = 'decoder-weight' AND rank <= {topk}
GROUP BY ALL ORDER BY runs DESC, mean_rank LIMIT 5
"""


def compare_all(experiment: str, folder: Path, topk: int, tracking_uri: str | None = None) -> pd.DataFrame:
    """Export an experiment's sets, ask and compare them; returns the overlap within and between target classes."""
    exported = gradiend_mlflow.export_dataset(
        folder / "sets", experiment_names=experiment, parts=["decoder-weight"], tracking_uri=tracking_uri
    )
    print(exported)
    print(duckdb.sql(MOST_SHARED.format(folder=exported.uri, topk=topk)).df())

    with Client(n_workers=2, threads_per_worker=1) as client:
        print(f"Dask shows its work at {client.dashboard_link}")
        blocks = gradiend_mlflow.compute_overlap_blocks(
            exported.uri, folder / "overlap", topk=topk, block_size=3, client=client
        )
        print(blocks)
        print(f"The first runs' Jaccard index:\n{blocks.values('jaccard')[:3, :3].compute().round(3)}")
        means = blocks.group_means("target_classes", client=client)
    print(means.round(3))
    return means


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiment-name", default="pronouns", help="whose runs (default: pronouns, the demo's)")
    parser.add_argument("--tracking-uri", help="the MLflow that has them (default: MLflow's current one)")
    parser.add_argument("--output", type=Path, default=Path("scale"), help="where all goes (default: scale)")
    parser.add_argument("--topk", type=int, default=1000, help="how many weights (default: 1000)")
    given = parser.parse_args()
    compare_all(given.experiment_name, given.output, given.topk, given.tracking_uri)


if __name__ == "__main__":
    main()
