"""What became of each of many trainings or journals."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from gradiend_mlflow.errors import GradiendMLflowError, logger
from gradiend_mlflow.wording import by_reason


def frame_of_results(
    rows: Sequence[tuple[object, ...]],
    columns: Sequence[str],
    fault: str,
    *,
    things: str,
    raising: type[GradiendMLflowError] | None,
) -> pd.DataFrame:
    """The rows as a frame, after a warning about each one that failed.

    Args:
        rows: What became of each thing.
        columns: Among them directory, result ("failed" for failures) and reason.
        fault: What happened to those that failed, such as "could not be imported".
        things: What the rows are about, in the plural.
        raising: The error to raise, with a line on each failure, if there are any; None raises nothing.
    """
    frame = pd.DataFrame(rows, columns=list(columns), dtype=object)
    failed = frame[frame["result"] == "failed"]
    reasons = by_reason(zip(failed["directory"], failed["reason"], strict=True))
    for directories, reason in reasons:
        logger.warning("%s %s: %s", directories, fault, reason)
    if raising and reasons:
        listed = "".join(f"\n  {directories}: {reason}" for directories, reason in reasons)
        raise raising(f"{len(failed)} of {len(frame)} {things} {fault}:{listed}")
    return frame
