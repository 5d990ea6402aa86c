"""The blocks of the Mage pipelines: backfills, text files, sync, books, and the steps that a person needs.

A backfill, ``qb_<entity>_backfill``, has three blocks: :func:`chunk_fecha` cuts the range into windows,
:func:`extract_qbo` copies the windows into landing files, and :func:`load_postgres` merges the files into the table.
:func:`disable_once_trigger` is its callback. A block returns a small table with one row per window. The text layer,
``qb_<entity>_txt``, has :func:`chunk_fecha_txt` and :func:`write_txt`. The pipeline of the sync has the one block
:func:`sync_qbo`; that of the books has :func:`read_reports` and :func:`tie_out_books`. :func:`connect_qbo` connects a
company, :func:`check_qbo` tells what is missing, and :func:`show_coverage`, with the chart :func:`coverage_chart`, what
has been loaded. The blocks have no HTTP and no SQL of their own; they call the functions of :mod:`qbo_rs`, or the
command ``qbo-rs``.

Example:
    A block file is an import and one line; Mage defines ``data_loader``::

        from qbo_rs.mage import chunk_fecha

        chunk_fecha_customers = data_loader(chunk_fecha("customers"))

"""

from qbo_rs.mage._blocks import chunk_fecha, extract_qbo, load_postgres
from qbo_rs.mage._books import read_reports, tie_out_books
from qbo_rs.mage._check import check_qbo
from qbo_rs.mage._connect import connect_qbo
from qbo_rs.mage._coverage import coverage_chart, show_coverage
from qbo_rs.mage._guard import guarded
from qbo_rs.mage._sync import sync_qbo
from qbo_rs.mage._text import chunk_fecha_txt, write_txt
from qbo_rs.mage._triggers import disable_once_trigger
from qbo_rs.mage._variables import RuntimeVariables, read_variables

__all__ = [
    "RuntimeVariables",
    "check_qbo",
    "chunk_fecha",
    "chunk_fecha_txt",
    "connect_qbo",
    "coverage_chart",
    "disable_once_trigger",
    "extract_qbo",
    "guarded",
    "load_postgres",
    "read_reports",
    "read_variables",
    "show_coverage",
    "sync_qbo",
    "tie_out_books",
    "write_txt",
]
