from dgm_jax import runs
from dgm_jax.runs.builders import builds


def marked():
    return "built"


class Marked:
    builds_a_model = True

    def __call__(self):
        return "called"


def test_only_a_function_with_the_mark_builds():
    assert not builds(marked)
    assert runs.builder(marked) is marked and builds(marked) and marked() == "built"
    assert not any(map(builds, (Marked, Marked(), len, None, "marked")))
