"""How many companies the service, Sail and Spark bring into step: ``python -m ceilings`` in the directory above."""
