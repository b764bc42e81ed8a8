"""The one-to-one mapping of two sets that fits best."""

from __future__ import annotations

import numpy as np

from vidbench.model.outcome import Ints


def one_to_one(counts: Ints) -> Ints:
    """The one-to-one mapping of rows to columns with the largest sum of counts; of equal ones the more faithful one.

    Shortest augmenting paths with potentials, O(K^3). Source: Jonker and Volgenant, "A shortest augmenting path
    algorithm for dense and sparse linear assignment problems", Computing 38, 1987.

    Args:
        counts: (K, K), by label (row) and prediction (column).

    Returns:
        (K,) the column of each row.
    """
    size = len(counts)
    # less than one count for staying, over all rows together
    gain = counts * (2.0 * size) + np.eye(size)
    cost = gain.max() - gain
    rows, columns = np.zeros(size + 1), np.zeros(size + 1)
    owner = np.zeros(size + 1, dtype=np.int64)
    for row in range(1, size + 1):
        owner[0] = row
        column = 0
        nearest = np.full(size + 1, np.inf)
        used = np.zeros(size + 1, dtype=bool)
        before = np.zeros(size + 1, dtype=np.int64)
        while True:
            used[column] = True
            at = owner[column]
            reduced = cost[at - 1] - rows[at] - columns[1:]
            shorter = ~used[1:] & (reduced < nearest[1:])
            nearest[1:][shorter] = reduced[shorter]
            before[1:][shorter] = column
            open_ = np.where(used, np.inf, nearest)
            open_[0] = np.inf
            column = int(open_.argmin())
            step = open_[column]
            rows[owner[used]] += step
            columns[used] -= step
            nearest[~used] -= step
            if owner[column] == 0:
                break
        while column:
            owner[column] = owner[before[column]]
            column = int(before[column])
    mapping = np.empty(size, dtype=np.int64)
    mapping[owner[1:] - 1] = np.arange(size)
    return mapping
