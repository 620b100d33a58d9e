"""python -m benchmarks: all benchmarks, what each measures and how long it takes."""

from pathlib import Path

from dgm_jax.runs import catalogue

if __name__ == "__main__":
    compare = "python -m benchmarks.compare OLD.json NEW.json"
    promise = "    Which ratios of two records became worse."
    catalogue.tell(Path(__file__).parent, compare, promise)
