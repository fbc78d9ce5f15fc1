"""Every item of an output as one row of a table, with all that is known of it.

The columns are those of `status --items`, made flat: `output_path`, `output_width` and so on of the only file, or
`output_thumb_path` of the size `thumb`; `dns_s`, `decode_s` and so on; and the kept columns of the list.
"""

from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, Final

from downloader.config.settings import TableFormat
from downloader.exports.kept_columns import KeptColumns
from downloader.journal import ItemShape, Journal
from downloader.model.spans import Phase
from downloader.tables import ColumnType, TableColumn, TableRow, open_table, write_rows

_ITEM: Final = (
    TableColumn("key"),
    TableColumn("source"),
    TableColumn("state"),
    TableColumn("stage"),
    TableColumn("kind"),
    TableColumn("message"),
    TableColumn("http_status", ColumnType.INT32),
    TableColumn("attempts", ColumnType.INT32),
    TableColumn("final_url"),
    TableColumn("media_type"),
    TableColumn("bytes", ColumnType.INT64),
    TableColumn("sha256"),
    TableColumn("width", ColumnType.INT32),
    TableColumn("height", ColumnType.INT32),
    TableColumn("perceptual_hash"),
    TableColumn("blurhash"),
    TableColumn("warnings", ColumnType.STRINGS),
)
_OUTPUT: Final = {
    "path": ColumnType.STRING,
    "format": ColumnType.STRING,
    "width": ColumnType.INT32,
    "height": ColumnType.INT32,
    "bytes": ColumnType.INT64,
    "sha256": ColumnType.STRING,
}
_IN_GROUPS: Final = {"member": ColumnType.STRING, "offset": ColumnType.INT64}
_PHASES: Final = tuple(phase.value for phase in Phase)


class _ItemRows:
    """The columns of an item table, and the rows that records make."""

    def __init__(self, shape: ItemShape, caption: str | None) -> None:
        self._variants = shape.variants or (None,)
        self._output = _OUTPUT | (_IN_GROUPS if shape.in_groups else {})
        own = [
            *_ITEM,
            *(
                TableColumn(f"output_{variant}_{name}" if variant else f"output_{name}", column_type)
                for variant in self._variants
                for name, column_type in self._output.items()
            ),
            *(TableColumn(f"{phase}_s", ColumnType.FLOAT64) for phase in _PHASES),
        ]
        self._kept = KeptColumns.of(shape.kept, caption, [column.name for column in own])
        self.columns = [*own, *self._kept.columns]

    def row(self, record: Mapping[str, Any]) -> TableRow:
        values = [record[column.name] for column in _ITEM]
        outputs: dict[str | None, Mapping[str, Any]] = {output["variant"]: output for output in record["outputs"]}
        for variant in self._variants:
            output = outputs.get(variant, {})
            values += [output.get(name) for name in self._output]
        timings = record["timings_s"]
        values += [timings.get(phase) for phase in _PHASES]
        return values + self._kept.values(record["columns"])


def write_items(
    journal: Journal,
    file: BinaryIO,
    table_format: TableFormat,
    *,
    caption: str | None = None,
    state: str | None = None,
    kind: str | None = None,
) -> int:
    """Write the items of an output, or those of one state or kind; returns how many they are.

    `caption` is the column of the list that holds captions. Memory does not grow with the number of items.
    """
    with journal.snapshot():
        rows = _ItemRows(journal.shape(), caption)
        records: Iterator[dict[str, Any]] = journal.records(state=state, kind=kind)
        return write_rows(open_table(file, table_format, rows.columns), map(rows.row, records))
