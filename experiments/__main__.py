"""python -m experiments: all experiments by chapter, what each shows and how long it takes."""

from pathlib import Path

from dgm_jax.runs import catalogue

if __name__ == "__main__":
    times = "Times are those of two CPU cores, by default."
    catalogue.tell(Path(__file__).parent, times, "--help tells the options, and what to expect.")
