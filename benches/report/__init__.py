"""The benchmarks of docs/benchmarks.md: measures in one run, and the page that shows them beside their goals."""
