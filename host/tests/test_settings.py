"""Flag, environment, file, default: in that order, and no silent typing error."""

import sys

import platformdirs
import pytest
from click.testing import CliRunner

from porogauge import cli, settings
from porogauge.errors import UsageError

TREE = {"log": {"port": None, "to": None}, "export": {"to": None}, "bench": {"run": {"out": None}}}


def test_top_level_values_reach_every_command_and_tables_only_theirs():
    stored = {"port": "P", "to": "T", "export": {"to": "E"}, "bench": {"run": {"out": "O"}}}
    assert settings.default_map(stored, TREE) == {
        "log": {"port": "P", "to": "T"},
        "export": {"to": "E"},
        "bench": {"run": {"out": "O"}},
    }


@pytest.mark.parametrize(
    ("stored", "text"),
    [
        ({"prot": 1}, "file: prot is not a setting; legal: out, port, to"),
        ({"logs": {}}, "file: logs is not a setting; legal: bench, export, log"),
        ({"log": {"prot": 1}}, r"file: \[log\] prot is not a setting; legal: port, to"),
        ({"bench": {"run": {"in": 1}}}, r"file: \[bench\] \[run\] in is not a setting"),
        ({"bench": {"run": 3}}, r"file: \[bench\] run must be a table"),
        ({"log": {"port": {}}}, r"file: \[log\] port must be a value"),
    ],
)
def test_names_that_do_not_exist(stored, text):
    with pytest.raises(UsageError, match=text):
        settings.default_map(stored, TREE, "file")


def test_order_of_precedence(tmp_path, monkeypatch):
    """Each source names another format; the file name that comes out tells which one won."""
    from porogauge.store import Store

    database = tmp_path / "roll.db"
    Store(database).close()
    config = tmp_path / "config.toml"
    monkeypatch.setenv("POROGAUGE_CONFIG", str(config))

    def made(*arguments):
        before = set(tmp_path.iterdir())
        result = CliRunner().invoke(cli.cli, ["export", str(database), *arguments])
        assert result.exit_code == 0, result.output
        new = set(tmp_path.iterdir()) - before
        for path in new:
            path.unlink()
        (table,) = (path for path in new if not path.name.endswith(".dictionary.json"))
        return table.suffix

    config.write_text("")
    assert made() == ".csv"
    config.write_text('format = "jsonl"\n')
    assert made() == ".jsonl"
    config.write_text('format = "csv"\n[export]\nformat = "jsonl"\n')
    assert made() == ".jsonl"
    monkeypatch.setenv("POROGAUGE_EXPORT_FORMAT", "parquet")
    assert made() == ".parquet"
    assert made("--format", "csv") == ".csv"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("port = ", "config.toml: is not TOML"),
        ("prot = 1", "prot is not a setting"),
        ('[export]\nformat = "xls"', "'xls' is not one of"),
    ],
)
def test_a_wrong_file_is_a_usage_error(tmp_path, monkeypatch, text, expected):
    config = tmp_path / "config.toml"
    config.write_text(text)
    monkeypatch.setenv("POROGAUGE_CONFIG", str(config))
    result = CliRunner().invoke(cli.cli, ["export", "roll.db"])
    assert result.exit_code == 2 and expected in result.output
    # what shows the way out still works
    assert CliRunner().invoke(cli.cli, ["--help"]).exit_code == 0


def test_a_named_file_must_exist(tmp_path, monkeypatch):
    monkeypatch.setenv("POROGAUGE_CONFIG", str(tmp_path / "none.toml"))
    with pytest.raises(UsageError, match="does not exist"):
        settings.read()


def test_the_default_file_follows_xdg(tmp_path, monkeypatch):
    monkeypatch.delenv("POROGAUGE_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    if sys.platform != "linux":
        pytest.skip("not a system with XDG folders")
    folder = platformdirs.user_config_path("porogauge", appauthor=False)
    assert settings.config_path() == str(folder / "config.toml")
    assert settings.read() == {}
    (tmp_path / "porogauge").mkdir()
    (tmp_path / "porogauge" / "config.toml").write_text('port = "P"\n')
    assert settings.read() == {"port": "P"}
