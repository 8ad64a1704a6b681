"""Two runs held against each other: what is counted."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from made_runs import AddRun, edit_record, instance_row

from aims.core.records import INSTANCE_SCHEMA, INSTANCES
from aims.reports.figures.pair import compare_runs


def test_an_image_that_stands_in_for_broken_ones_counts_by_place(add_run: AddRun) -> None:
    # Image 1134 has two places and two instances, one better in either run; image 7 has one.
    paths: list[Path] = []
    for seed, (first, second, third) in enumerate([(0.9, 0.2, 0.3), (0.5, 0.4, 0.3)]):
        path = add_run(dataset="nyuv2", modality="depth", protocol="paper", seed=seed)
        rows = [instance_row("1134", 1, first), instance_row("1134", 2, second)] * 2
        rows.append(instance_row("7", 1, third))
        pq.write_table(pa.Table.from_pylist(rows, schema=INSTANCE_SCHEMA), path / INSTANCES)
        miou = sum(row["iou"] for row in rows) / 5
        edit_record(path, scores={"instances": 5, "images": 3, "miou": miou})
        paths.append(path)

    pair = compare_runs(*paths)

    assert pair.instances == 5
    assert pair.better == (2, 2)
    assert pair.most == ((("1134", 1),), (("1134", 2),))
