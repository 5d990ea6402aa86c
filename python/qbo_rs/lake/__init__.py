"""Tables of a lake, kept as Postgres holds them: Delta tables by delta-rs, and Parquet behind a manifest.

Landing files go to object stores behind a manifest, too: :func:`write_files` and :func:`read_files`.

``pip install 'qbo-rs[lake]'``. Addresses are those of deltalake: a path, ``s3://``, ``gs://`` or ``az://``.

Example:
    ::

        import qbo_rs.lake

        qbo_rs.sync("invoices")
        region = {"AWS_REGION": "eu-west-1"}
        written = qbo_rs.lake.write_delta("s3://books/invoices", "invoices", storage_options=region)
        print(written.inserted, written.updated, written.deleted)

"""

from __future__ import annotations

from qbo_rs._extras import needing

with needing("deltalake", "pyarrow", what="qbo_rs.lake", install="'qbo-rs[lake]'"):
    from qbo_rs.lake._delta import Written, write_delta
    from qbo_rs.lake._files import FileSet, read_files, write_files
    from qbo_rs.lake._parquet import Snapshot, read_manifest, write_parquet

__all__ = [
    "FileSet",
    "Snapshot",
    "Written",
    "read_files",
    "read_manifest",
    "write_delta",
    "write_files",
    "write_parquet",
]
