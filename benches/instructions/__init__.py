"""The guard of `make bench-check`: how many instructions some work takes, held against a file of counts."""
