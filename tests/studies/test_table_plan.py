"""The tables of the paper: their rows are configurations, and what they run, share, refuse and show."""

import pytest
from man_jax.configs.tables import DRAWN, TABLES, Row, Table

from man_jax.config import ConfigError, check_config
from man_jax.configs import demo
from man_jax.experiment_flags import with_transfer
from man_jax.experiment_names import FOLDER
from man_jax.studies.table_plan import change, find_table, plain, plan_table, published_of, runs_of
from tests.studies.test_planned_runs import config_of, data

__all__ = ["data"]


def table_of(*changes: tuple[str, ...], transfers: tuple[str, ...] = ()) -> Table:
    rows = tuple(Row("+".join(each), each, {}) for each in changes)
    return Table("a table", transfers, ("mAP", "R1"), rows)


@pytest.mark.parametrize("name", TABLES)
def test_every_row_is_a_configuration_with_a_name_and_a_folder_of_its_own(name):
    table = TABLES[name]
    for row in table.rows:
        check_config(change(demo.get_config(), row), num_devices=1)
    assert len({row.name for row in table.rows}) == len({plain(row) for row in table.rows}) == len(table.rows)


@pytest.mark.parametrize("name", TABLES)
def test_published_figures_are_percentages_of_transfers_that_are_experiments(name):
    table = TABLES[name]
    for row in table.rows:
        for transfer, figures in row.published.items():
            assert transfer in table.transfers
            assert (FOLDER / f"{transfer}.py").is_file()
            retrieval = figures[: len(table.columns) * max(1, len(table.subsets))]
            assert all(0 < figure < 100 for figure in retrieval)
            assert list(retrieval[:2]) == sorted(retrieval[:2]) or transfer != "wmveid863_to_rgbnt100"
    assert all((FOLDER / f"{drawn}.py").is_file() for drawn in DRAWN)


def test_the_figures_of_one_row_are_the_same_in_every_table():
    """MAN on RGBNT100 → WMVeID863 is in Tables 2, 4, 5 and 6; Table 7 has other figures, as printed."""
    told = {
        name: published_of(TABLES[name], "rgbnt100_to_wmveid863")[0]
        for name in ("table2", "table4", "table7")
    }
    assert told["table2"]["MAN, UDA"][:2] == told["table4"]["MAN"] == (53.91, 59.16)
    assert told["table7"]["UDA, ResNet-50"] == (53.01, 59.34)


def test_a_drawn_transfer_has_the_figures_of_the_real_one_and_says_which():
    figures, transfer = published_of(TABLES["table4"], "demo_reversed-smoke")
    assert (figures["oracle"], transfer) == ((69.03, 94.34), "wmveid863_to_rgbnt100")
    assert published_of(TABLES["sigma"], "demo") == ({}, "")


def test_rows_share_the_weights_that_they_can_and_pre_train_the_others(data, tmp_path):
    rows = table_of(
        ("paper",), ("no_cpa",), ("model.modalities=('R',)",), ("no_cpa", "model.modalities=('R',)")
    )
    runs = list(runs_of(rows.rows, config_of(data, model__pretrained="r50.pth"), 3, tmp_path).values())
    starts = [(run.config.pretrain.init_from, run.config.model.pretrained) for run in runs]
    assert starts == [
        ("", "r50.pth"),
        (str(runs[0].workdir), ""),
        ("", "r50.pth"),
        (str(runs[2].workdir), ""),
    ]
    assert {run.config.seed for run in runs} == {3}
    assert runs[1].workdir == tmp_path / "seed3-no_cpa"


def test_a_key_can_be_multiplied(data):
    config = change(config_of(data), Row("2 k", ("adapt.num_clusters*=1.4",), {}))
    assert config.adapt.num_clusters == round(1.4 * config_of(data).adapt.num_clusters)
    assert change(config_of(data), Row("α", ("man.alpha*=0.5",), {})).man.alpha == 0.5


def test_a_row_that_the_data_do_not_allow_is_left_out_and_told(data, tmp_path):
    table = table_of(("paper",), ("adapt.num_clusters=999",))
    plan = plan_table(table, config_of(data), [0, 1], tmp_path, num_devices=1)
    assert list(plan.runs) == [(0, "paper"), (1, "paper")]
    assert "config.adapt.num_clusters is 999" in plan.refused["adapt.num_clusters=999"]
    assert plan.sizes["target"][1] == 2


def test_a_row_that_needs_other_weights_than_those_given_is_left_out(data, tmp_path):
    table = table_of(("paper",), ("model.modalities=('R',)",))
    config = config_of(data, pretrain__init_from="runs/mine")
    plan = plan_table(table, config, [0], tmp_path, num_devices=1)
    assert [name for _, name in plan.runs] == ["paper"]
    assert (
        "other weights than those of config.pretrain.init_from, runs/mine"
        in plan.refused["model.modalities=('R',)"]
    )


def test_where_no_row_can_be_run_the_command_is_refused(data, tmp_path):
    with pytest.raises(ConfigError, match=r"config\.adapt\.num_clusters is 999"):
        plan_table(table_of(("adapt.num_clusters=999",)), config_of(data), [0], tmp_path, num_devices=1)
    with pytest.raises(ConfigError, match="table_4: choose one of table1, table2"):
        find_table("table_4")


# --- the flag --transfer


def test_a_transfer_is_short_for_its_file():
    wanted = ["reproduce", f"--config={FOLDER / 'demo.py'}:smoke", "--seeds=0"]
    assert with_transfer(["reproduce", "--transfer", "demo:smoke", "--seeds=0"]) == wanted
    assert with_transfer(["reproduce", "--transfer=demo:smoke", "--seeds=0"]) == wanted
    assert with_transfer(["reproduce", "--config=x.py"]) == ["reproduce", "--config=x.py"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--transfer", "dmo"], "--transfer dmo: choose one of demo, "),
        (["--transfer=demo", "--config=configs/demo.py"], "--transfer demo and --config: give one of them"),
        (["--transfer"], "--transfer : choose one of"),
    ],
)
def test_a_transfer_that_is_none_is_refused(words, told):
    with pytest.raises(ConfigError, match=told):
        with_transfer(["reproduce", *words])


def test_the_reversed_demonstration_exchanges_the_domains():
    from man_jax.configs import demo_reversed

    there, back = demo.get_config().data, demo_reversed.get_config().data
    assert dict(back.source) == dict(there.target) | {"deep_range": dict(back.source)["deep_range"]}
    assert (back.target.name, back.target.root) == (there.source.name, there.source.root)
