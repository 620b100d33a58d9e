"""Where compiled programs are kept."""

from pathlib import Path

import jax
import pytest

from dgm_jax.runs.cache import keep_compiled


@pytest.fixture(autouse=True)
def settings():
    """As they were, afterwards."""
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    jax.config.update("jax_compilation_cache_dir", None)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def test_a_directory_that_is_named_is_taken(tmp_path):
    keep_compiled(tmp_path)
    assert jax.config.jax_compilation_cache_dir == str(tmp_path)


def test_else_it_is_in_the_cache_of_the_user_apart_for_each_processor(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    keep_compiled()
    kept = Path(jax.config.jax_compilation_cache_dir)
    assert kept.parent == tmp_path / "dgm_jax" and kept.name.startswith("cpu-")


def test_what_jax_was_told_before_stands(tmp_path, monkeypatch):
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "/nowhere")
    keep_compiled()
    assert jax.config.jax_compilation_cache_dir == str(tmp_path)


def test_without_a_home_nothing_is_kept_and_a_line_says_so(monkeypatch, capsys):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    keep_compiled()
    line = "compiled programs are not kept: Could not determine home directory.\n"
    assert capsys.readouterr().err == line
    monkeypatch.setattr(Path, "home", lambda: Path("/proc/none"))
    keep_compiled()
    assert "cache_dir /proc/none/.cache/dgm_jax/cpu-" in capsys.readouterr().err
    assert jax.config.jax_compilation_cache_dir is None
    with pytest.raises(ValueError, match="cache_dir /proc/none cannot be made .*; name another"):
        keep_compiled("/proc/none")
