"""QuickBooks as a data source of Spark, and syncs that its executors share.

``pip install 'qbo-rs[spark]'`` leaves the pyspark that is installed as it is; ``'qbo-rs[spark-connect]'`` also brings
the client of Spark Connect, for environments without Spark. It needs Spark 4, Sail, or a server of Spark Connect;
:func:`frame` and :func:`sync` work on Spark 3.5, too. Executors need this package and the settings, as variables of
their environment or as files.

* ``spark.read.format("qbo")`` reads records into a frame, and ``spark.readStream.format("qbo")`` changes and deletions.
* :func:`sync` lets executors run the ordinary sync into Postgres. Its frame is the report.

Example:
    ::

        import qbo_rs.spark

        qbo_rs.spark.register(spark)
        invoices = spark.read.format("qbo").options(entities="invoices", typed="true", start="2025", end="2026").load()
        invoices.groupBy("customer_ref_name").sum("balance").show()

        report = qbo_rs.spark.sync(spark, ["customers", "invoices"], strict=True)
        report.where("status != 'ok'").show()

"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qbo_rs._extras import needing
from qbo_rs.spark._frame import frame
from qbo_rs.spark._sync import SyncFailedError, sync

if TYPE_CHECKING:
    from qbo_rs.spark._source import QboDataSource

__all__ = ["QboDataSource", "SyncFailedError", "frame", "register", "sync"]


def register(spark: Any) -> None:
    """Make the data source ``qbo`` known to a session, for ``spark.read.format("qbo")`` and ``spark.readStream``.

    Options are checked, and companies divided among tasks, where the frame is planned: that raises
    :class:`~qbo_rs.ConfigError`, which some servers pass on as an error of Spark.

    Args:
        spark: A session of Spark 4 or of Sail.

    Raises:
        ImportError: This version of pyspark has no data sources in Python; use :func:`frame` and :func:`sync`.

    Example:
        ::

            qbo_rs.spark.register(spark)
            frame = spark.read.format("qbo").options(entities="items", start="2025-01-01", end="2026-01-01").load()

    """
    spark.dataSource.register(_data_source())


def __getattr__(name: str) -> object:
    """Import the data source, which needs pyspark 4, when it is asked for."""
    if name != "QboDataSource":
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return _data_source()


def _data_source() -> type[QboDataSource]:
    # An earlier pyspark, which has no data sources, is replaced as a whole: the client would overwrite a part of it.
    with needing("pyspark", what="qbo_rs.spark", install="'pyspark>=4'"):
        from qbo_rs.spark._source import QboDataSource
    return QboDataSource
