"""Write one HTML page about a run, or about a study of several runs.

    python -m man_jax.report --run runs/demo --out demo.html
    python -m man_jax.report --study runs/table4_demo

The page carries its pictures in itself, so it can be mailed, and it needs no network. That of a run has results,
curves, ranking lists to browse, the cameras, activation maps, features on a plane, and the keys that differ from the
default. That of a study has the tables, with the published figures, and the runs' curves.
"""

from pathlib import Path

from absl import flags

from data_pipelines.session import disk
from data_pipelines.session.command_line import define_path
from man_jax.commands import run_command
from man_jax.config import ConfigError
from man_jax.process_flags import define_distributed, is_distributed

RUN = define_path("run", None, "The work directory of a run.")
STUDY = define_path("study", None, "The folder of a study: what reproduce wrote.")
OUT = define_path("out", None, "The page; report.html in the folder of the run or study if not given.")
QUERIES = flags.DEFINE_integer("queries", 24, "Ranking lists of a run: worst, best and drawn.", lower_bound=1)
define_distributed("Take the features of a run's page")
SEED = flags.DEFINE_integer("seed", 0, "Of what is drawn, and of t-SNE.", lower_bound=0)


def main() -> None:
    """Read the flags and write the page."""
    from man_jax.reporting.pages.render import missing_packages
    from man_jax.runs.multi_process import in_step, is_first_process

    if bool(RUN.value) == bool(STUDY.value):
        raise ConfigError("give one of --run and --study")
    if STUDY.value and is_distributed():
        raise ConfigError("--distributed: the page of a study is made of files; leave the flag out")
    if missing := missing_packages():
        raise ConfigError(f"a page needs {' and '.join(missing)}; pip install {' '.join(missing)}")
    folder = (RUN.value or STUDY.value).absolute()
    out = OUT.value or folder / "report.html"
    with in_step():
        if is_first_process() and not out.parent.is_dir():
            raise ConfigError(f"--out {out}: the folder {out.parent} does not exist; make it first")
    page = page_of_run(folder) if RUN.value else page_of_study(folder)
    if not is_first_process():
        return  # it had its part in the features
    with disk.writing(out):
        disk.replace_file(out, page.encode())
    print(f"{out}: {len(page) / 2**20:.1f} MiB")


def page_of_run(workdir: Path) -> str:
    """Make the page of a run."""
    from man_jax.engine.run_page import run_page
    from man_jax.sharding import make_mesh

    return run_page(workdir, num_queries=QUERIES.value, seed=SEED.value, mesh=make_mesh())


def page_of_study(folder: Path) -> str:
    """Make the page of a study."""
    from man_jax.studies.study_page import study_page

    return study_page(folder)


if __name__ == "__main__":
    run_command(main)
