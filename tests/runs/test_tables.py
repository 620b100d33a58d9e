from dgm_jax.runs import tables


def test_tables_line_up_whole_when_piped(capsys):
    rows = [{"model": "maf", "nats": -1.25, "steps": 12}, {"model": "x" * 120, "nats": 1234.56}]
    tables.table(rows, ("model", "nats", "steps"))
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert len(lines) == 4 and "x" * 120 in lines[3]
    assert lines[2].index("-1.25") + len("-1.25") == lines[3].index("1234.56") + len("1234.56")
    assert lines[2].endswith("12")


def test_markdown_has_every_column_of_some_row():
    rows = [{"model": "maf", "ms": 1.23456}, {"model": "iaf", "params": 3}]
    assert tables.markdown(rows) == (
        "| model | ms | params |\n| --- | --- | --- |\n| maf | 1.235 |  |\n| iaf |  | 3 |\n"
    )


def test_short_numbers_have_four_digits():
    assert tables.short(1234.5678) == 1235 and tables.short(0.00123456) == 0.001235
