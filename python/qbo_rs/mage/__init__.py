"""The blocks of the Mage pipelines ``qb_<entity>_backfill``; a block file only names its entity.

:func:`chunk_fecha` cuts the range, :func:`extract_qbo` lands its windows in files, :func:`load_postgres` merges them
into the table, and :func:`disable_once_trigger` is their callback. What they hand on is a small table, a row a window.
Another pipeline has the one block :func:`sync_qbo`. They hold no HTTP and no SQL: all of that is the verbs'.

Example:
    A block file is an import and one line; ``data_loader`` is put there by Mage::

        from qbo_rs.mage import chunk_fecha

        chunk_fecha_customers = data_loader(chunk_fecha("customers"))

"""

from qbo_rs.mage._blocks import chunk_fecha, extract_qbo, load_postgres
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
    "read_variables",
    "sync_qbo",
]
