"""The blocks of the Mage pipelines ``qb_<entity>_backfill``, ``qb_incremental_sync`` and ``qb_books_check``.

A backfill has three blocks: :func:`chunk_fecha` cuts the range into windows, :func:`extract_qbo` copies the windows
into landing files, and :func:`load_postgres` merges the files into the table. :func:`disable_once_trigger` is its
callback. A block returns a small table with one row per window. The pipeline of the sync has the one block
:func:`sync_qbo`; that of the books has :func:`read_reports` and :func:`tie_out_books`. The blocks have no HTTP and no
SQL of their own; they call the functions of :mod:`qbo_rs`.

Example:
    A block file is an import and one line; Mage defines ``data_loader``::

        from qbo_rs.mage import chunk_fecha

        chunk_fecha_customers = data_loader(chunk_fecha("customers"))

"""

from qbo_rs.mage._blocks import chunk_fecha, extract_qbo, load_postgres
from qbo_rs.mage._books import read_reports, tie_out_books
from qbo_rs.mage._guard import guarded
from qbo_rs.mage._sync import sync_qbo
from qbo_rs.mage._triggers import disable_once_trigger
from qbo_rs.mage._variables import RuntimeVariables, read_variables

__all__ = [
    "RuntimeVariables",
    "chunk_fecha",
    "disable_once_trigger",
    "extract_qbo",
    "guarded",
    "load_postgres",
    "read_reports",
    "read_variables",
    "sync_qbo",
    "tie_out_books",
]
