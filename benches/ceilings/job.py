"""Syncs all companies by an engine each time that a line comes: ``python job.py sail|spark WORKERS``.

It runs in the environment of its engine, which has no package of this directory. It says ``ready`` when the engine is,
and then answers each line with the seconds of a sync and what failed.
"""

from __future__ import annotations

import json
import os
import sys
import time

import qbo_rs.spark

ENTITIES = ["customers", "invoices", "items"]
CONF = {
    "spark.ui.enabled": "false",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.log.level": "ERROR",
}


def spark(workers: int):  # noqa: ANN201 - pyspark is not in the environment of the linters
    """Return a session of a Spark with so many executors of one core each."""
    from pyspark.sql import SparkSession  # noqa: PLC0415 - of this engine only

    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    builder = SparkSession.builder.master(f"local-cluster[{workers},1,1024]")
    for name, value in CONF.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    # Executors start in the background: a task of each waits for all.
    session.sparkContext.parallelize(range(workers), workers).count()
    return session


def sail():  # noqa: ANN201 - likewise
    """Return a session of Sail, whose workers are threads of this process, and the server, which must be kept."""
    from pysail.spark import SparkConnectServer  # noqa: PLC0415 - of this engine only
    from pyspark.sql import SparkSession  # noqa: PLC0415

    server = SparkConnectServer()
    server.start(background=True)
    _, port = server.listening_address
    return SparkSession.builder.remote(f"sc://localhost:{port}").getOrCreate(), server


def main() -> None:
    """Answer lines until there are no more."""
    engine, workers = sys.argv[1], int(sys.argv[2])
    session, _server = (spark(workers), None) if engine == "spark" else sail()
    qbo_rs.spark.register(session)
    print("ready", flush=True)
    for _ in sys.stdin:
        begin = time.monotonic()
        report = qbo_rs.spark.sync(session, ENTITIES, partitions=workers).collect()
        failed = [row["error"] for row in report if row["status"] not in ("ok", "unavailable")]
        print(json.dumps({"seconds": time.monotonic() - begin, "failed": failed}), flush=True)


if __name__ == "__main__":
    main()
