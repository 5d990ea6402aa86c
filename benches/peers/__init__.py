"""Measures other programs that copy QuickBooks into Postgres beside ``qbo-rs``, in one run.

Each program reads the same simulated company, started anew for it, into a database of its own on one throw-away
Postgres. Readers that run inside the virtual environment of a program are in ``readers``, what is installed into it in
``requirements``.
"""
