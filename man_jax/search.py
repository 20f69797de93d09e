"""Find the triples of a gallery that are nearest to a query, from files of features or with a run's network.

    python -m man_jax.search --gallery gallery.npz --query query.npz --out found
    python -m man_jax.search --gallery gallery.npz --run runs/demo --query photos
    python -m man_jax.search --gallery gallery.npz --run runs/demo --query r.jpg,n.jpg,t.jpg
    python -m man_jax.search --gallery gallery.npz --run runs/demo --serve

`man_jax.predict` writes the files. A query is another such file or, with `--run`, a folder or a table of pictures, or
one triple: its files, joined by commas, in the order of the gallery's modalities. `--serve` opens a page that only this
machine can reach.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags, logging

from data_pipelines.session import disk
from data_pipelines.session.command_line import define_path, expand_home
from data_pipelines.session.interruption import kept
from man_jax.commands import run_command
from man_jax.config import ConfigError
from man_jax.process_flags import define_distributed, is_distributed

if TYPE_CHECKING:
    from man_jax.retrieval.feature_file import FeatureFile
    from man_jax.retrieval.gallery import Gallery
    from man_jax.search_page.answers import Extract
    from man_jax.trained_run import TrainedRun

GALLERY = define_path("gallery", None, "The gallery's features, .npz or .parquet.", required=True)
QUERY = flags.DEFINE_string(
    "query",
    None,
    "A file of features; with --run a folder, a table, or the files of one triple joined by commas.",
)
RUN = define_path("run", None, "The run whose network made the gallery's features, for queries of pictures.")
PRETRAINED = flags.DEFINE_bool("pretrained", False, "The run's weights before adaptation.")
K = flags.DEFINE_integer("k", 10, "How many matches of each query.", lower_bound=1, upper_bound=1000)
LEAVE_OUT = flags.DEFINE_enum(
    "leave_out",
    "itself",
    ["itself", "camera", "nothing"],
    "What is no match: a query's own files; besides them its pid and camid, as in evaluation; nothing.",
)
APPROXIMATE = flags.DEFINE_bool(
    "approximate", False, "Search a large gallery faster, with faiss; tells the recall."
)
OUT = define_path("out", None, "Where matches.csv and matches.png go; not written if not given.")
define_distributed("Take the features of the queries of --run")
SERVE = flags.DEFINE_bool("serve", False, "Open a page on this machine, to pick queries and look at matches.")
PORT = flags.DEFINE_integer(
    "port", 0, "Where the page listens; any free port if 0.", lower_bound=0, upper_bound=65535
)


LARGE = 300_000
"""Triples of a gallery from which on an approximate search is worth a hint."""


def main() -> None:
    """Read the flags and the features, search, and print, write or serve what is found."""
    check_flags()
    from man_jax.runs.hosts import check_same
    from man_jax.runs.multi_process import in_step, is_first_process

    with in_step():
        file = read_gallery()
        run = open_run_of(file) if RUN.value else None
        gallery = as_gallery(file, run)
    check_same({"the number of --gallery's triples": len(file.features), "what it tells of them": file.about})
    query = read_query(gallery, run)
    if not is_first_process():
        return  # it had its part in the features of the queries
    method = describe_search(gallery, query or gallery.file)
    print(f"{GALLERY.value}: {len(gallery.file.features):,} triples; {method}", flush=True)
    if query is not None and (OUT.value or not SERVE.value):
        report(gallery, query)
    if SERVE.value:
        serve(gallery, query, run, method)


def check_flags() -> None:
    """Check what can be seen without reading a file; ConfigError tells what to add."""
    if not QUERY.value and not SERVE.value:
        raise ConfigError(
            "--query is missing; name a query, or add --serve to pick one of the gallery on a page"
        )
    if not QUERY.value and OUT.value:
        raise ConfigError("--out needs a --query, whose matches are written")
    if is_distributed() and (SERVE.value or not RUN.value):
        raise ConfigError(
            "--distributed takes the features of many queries with --run and --query; a page, and a search in files of "
            "features, are the work of one process: leave the flag out"
        )
    if PRETRAINED.value and not RUN.value:
        raise ConfigError("--pretrained is about the weights of a run; add --run, or leave it out")
    if OUT.value and OUT.value.exists() and not OUT.value.is_dir():
        raise ConfigError(f"--out {OUT.value} is a file; name a folder")
    if APPROXIMATE.value:
        from man_jax.retrieval.sketches import require_faiss

        require_faiss()
    if OUT.value and not is_distributed():
        with disk.writing(OUT.value, then="nothing was searched"):
            OUT.value.mkdir(parents=True, exist_ok=True)


def read_gallery() -> "FeatureFile":
    """Read the gallery's features; FeatureFileError if they cannot be used."""
    from man_jax.retrieval.feature_file import read_features
    from man_jax.retrieval.gallery import with_unit_rows

    file = with_unit_rows(read_features(GALLERY.value), str(GALLERY.value))
    if len(file.features) >= LARGE and not APPROXIMATE.value:
        logging.info("a gallery of %d triples is searched faster with --approximate", len(file.features))
    return file


def open_run_of(gallery: "FeatureFile") -> "TrainedRun":
    """Open the run; ConfigError if its features cannot be compared with the gallery's."""
    from man_jax.retrieval.gallery import check_same_network
    from man_jax.trained_run import open_run

    run = open_run(RUN.value, pretrained=PRETRAINED.value)
    if lacking := [each for each in gallery.modalities if each not in run.modalities]:
        raise ConfigError(
            f"{RUN.value} has no branch of the modalities {', '.join(lacking)} of {GALLERY.value}"
        )
    check_same_network(run.about, gallery.about, (f"--run {RUN.value}", str(GALLERY.value)))
    return run


def as_gallery(file: "FeatureFile", run: "TrainedRun | None") -> "Gallery":
    """Make the gallery, with its index; what its file does not tell of raw values is as in the run."""
    from man_jax.retrieval.gallery import LEFT_OUT, Gallery
    from man_jax.retrieval.sketches import SketchIndex

    if run is not None:
        file = file._replace(about={"deep_range": list(run.config.data.target.deep_range)} | file.about)
    index = SketchIndex(file.features) if APPROXIMATE.value else None
    leave_out = LEFT_OUT[LEFT_OUT.index(LEAVE_OUT.value)]
    return Gallery(file, leave_out=leave_out, index=index)


def read_query(gallery: "Gallery", run: "TrainedRun | None") -> "FeatureFile | None":
    """Read the features of the queries, or extract them from pictures; None if no query is named."""
    from man_jax.engine.feature_images import deep_range_of
    from man_jax.retrieval.feature_file import holds_features, read_features
    from man_jax.retrieval.gallery import check_comparable, with_unit_rows

    if not QUERY.value:
        return None
    modalities = gallery.file.modalities
    path = named_path(QUERY.value)
    if holds_features(path) or (run is None and not path.is_dir() and "," not in QUERY.value):
        query = read_features(path)
    elif run is None:
        raise ConfigError(f"--query {QUERY.value}: add --run, whose network makes features of pictures")
    elif path.exists() or "," not in QUERY.value:
        query = run.features(path, modalities, deep_range=deep_range_of(gallery.file))
    else:
        files = [named_path(each) for each in QUERY.value.split(",")]
        if len(files) != len(modalities):
            raise ConfigError(
                f"--query {QUERY.value} names {len(files)} files; one triple has {len(modalities)}, of the modalities "
                f"{', '.join(modalities)}"
            )
        query = run.features([tuple(files)], modalities, deep_range=deep_range_of(gallery.file))
    check_comparable(query, gallery.file, (f"--query {QUERY.value}", str(GALLERY.value)))
    return with_unit_rows(query, f"--query {QUERY.value}")


def named_path(text: str) -> Path:
    """Read a path, in which ~ is the home folder; ConfigError if it cannot be one."""
    try:
        return Path(expand_home(text.strip()))
    except ValueError as error:
        raise ConfigError(f"--query {text}: {error}") from None


def describe_search(gallery: "Gallery", query: "FeatureFile") -> str:
    """Say how the gallery is searched, with the recall where that is approximate."""
    if gallery.index is None:
        return "exact search"
    recall, number = gallery.measure_recall(query, k=K.value)
    return f"approximate search, recall@{K.value} {recall:.4f} against the exact one on {number:,} queries"


def report(gallery: "Gallery", query: "FeatureFile") -> None:
    """Find the matches of all queries, print them, and write them with --out."""
    from man_jax.engine.search_results import draw_matches, matches_csv, matches_text, search_all
    from man_jax.runs.metrics import replace_file

    found = search_all(gallery, query, k=K.value)
    print(matches_text(gallery, query, found), flush=True)
    if not OUT.value:
        return
    replace_file(OUT.value / "matches.csv", matches_csv(gallery, query, found))
    drawn = draw_matches(
        gallery, query, found, OUT.value / "matches.png", title=f"{QUERY.value} in {GALLERY.value}"
    )
    print(f"{OUT.value}: matches.csv, and matches.png of {drawn.num_queries} of {len(found.rows):,} queries")
    if drawn.num_absent:
        logging.warning("%d images could not be read; they are grey in matches.png", drawn.num_absent)


def serve(gallery: "Gallery", query: "FeatureFile | None", run: "TrainedRun | None", method: str) -> None:
    """Show the page until the command is ended."""
    from man_jax.engine.feature_images import FileImages, deep_range_of
    from man_jax.search_page.answers import Answers, Searched
    from man_jax.search_page.server import PageServer

    height, width = FileImages(gallery.file).size()
    left_out = {"itself": "the query's own files", "camera": "its own files, and its pid under its camera"}
    parts = [
        f"{len(gallery.file.features):,} triples of {', '.join(gallery.file.modalities)}",
        *([f"features of {run.path.name}, {run.description}"] if run else []),
        method,
        f"left out of a query's matches: {left_out.get(LEAVE_OUT.value, 'nothing')}",
    ]
    searched = Searched(
        gallery=gallery,
        queries=gallery.file if query is None else query,
        title=GALLERY.value.name,
        summary="; ".join(parts),
        k=K.value,
        aspect=width / height,
        extract=extract_of(run, gallery) if run else None,
        deep_range=deep_range_of(gallery.file),
    )
    try:
        server = PageServer(Answers(searched), port=PORT.value)
    except OSError as error:
        raise ConfigError(
            f"--port {PORT.value} cannot be used ({error.strerror}); choose another one, or 0 for any free one"
        ) from error
    with server, kept(lambda: "the page is closed"):
        print(f"open {server.address} in a browser on this machine; Ctrl-C ends it", flush=True)
        server.serve_forever()


def extract_of(run: "TrainedRun", gallery: "Gallery") -> "Extract":
    """Make the function that turns the pictures of one triple into its feature."""
    modalities = gallery.file.modalities
    return lambda pictures: run.features([pictures], modalities, batch_size=1).features


if __name__ == "__main__":
    run_command(main)
