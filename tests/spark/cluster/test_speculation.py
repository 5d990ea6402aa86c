"""Speculation, on a Spark whose two workers have hosts of their own.

Spark starts no second attempt on the host of the first one, and in a `local-cluster` all executors have one host.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pyspark
import pytest
from companies import COMPANIES
from conftest import requests
from test_cluster import CONF, ENTITIES, assert_in_step, places, statuses

import qbo_rs
import qbo_rs.spark

__all__ = ["places"]
HOME = Path(pyspark.__file__).parent


class Daemons:
    """A master and two workers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen] = []
        self.url = self.start("master.Master", "--host", "127.0.0.1", "--port", "0", word="Starting Spark master at ")
        for number in (1, 2):
            options = ("--host", f"127.0.0.{number}", "--cores", "1", "--memory", "1G", "--webui-port", "0")
            options = (*options, "--work-dir", str(folder / f"work{number}"))
            self.start("worker.Worker", *options, self.url, word="Successfully registered with master ")

    def start(self, name: str, *options: str, word: str) -> str:
        """Start a process, and return what follows a word in its log."""
        environment = {**os.environ, "SPARK_HOME": str(HOME), "PYSPARK_PYTHON": sys.executable}
        line = [str(HOME / "bin" / "spark-class"), f"org.apache.spark.deploy.{name}", *options]
        process = subprocess.Popen(line, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.processes.append(process)
        for text in process.stderr:
            if word in text:
                # What comes later must not fill the pipe.
                threading.Thread(target=process.stderr.read, daemon=True).start()
                return text.partition(word)[2].split()[0].rstrip(";")
        raise AssertionError(f"{name} has ended")

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            process.wait(30)


@pytest.fixture(scope="module")
def two_hosts(tmp_path_factory):
    from pyspark.sql import SparkSession

    daemons = Daemons(tmp_path_factory.mktemp("spark"))
    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    builder = SparkSession.builder.master(daemons.url)
    speculation = {
        "spark.speculation": "true",
        "spark.speculation.interval": "100ms",
        "spark.speculation.quantile": "0.5",
        "spark.speculation.multiplier": "1.2",
        "spark.speculation.minTaskRuntime": "500ms",
        "spark.executor.memory": "1g",
    }
    for name, value in (CONF | speculation).items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    qbo_rs.spark.register(session)
    yield session
    session.stop()
    daemons.stop()


def attempts_killed(spark) -> int:
    """Return the number of attempts that Spark has killed, because another attempt of the task has ended."""
    context = spark.sparkContext
    no_quantiles = context._gateway.new_array(context._jvm.double, 0)
    no_states = context._jvm.java.util.ArrayList()
    is_detailed = with_summaries = False
    stages = context._jsc.sc().statusStore().stageList(no_states, is_detailed, with_summaries, no_quantiles, no_states)
    return sum(stages.apply(number).numKilledTasks() for number in range(stages.size()))


def test_a_speculative_attempt_waits_and_its_company_is_not_held(two_hosts, places, qbo, database):
    # In step first, so that the only requests are those for changes.
    qbo_rs.spark.sync(two_hosts, ENTITIES, partitions=3, strict=True, **places)
    slow = next(iter(qbo.companies))
    qbo.clock(advance="5m")
    killed = attempts_killed(two_hosts)
    before = requests(qbo)
    qbo.fault("slow", path=slow, times=0, ms=12000)
    report = qbo_rs.spark.sync(two_hosts, ENTITIES, partitions=3, **places)
    qbo.clear_faults()
    assert statuses(report) == dict.fromkeys(qbo.companies, "ok")
    assert attempts_killed(two_hosts) > killed
    # One request a company for its changes. The second attempt has sent none while it waited, and at most this one
    # between the end of the first attempt and its own.
    assert COMPANIES <= requests(qbo) - before <= COMPANIES + 1
    assert_in_step(qbo, database)
