"""Find a file of weights: a path, or a file of the Hugging Face hub, which is kept in the hub's cache."""

import re
from pathlib import Path

from man_jax.networks.pretrained.errors import WeightsError

PREFIX = "hf:"
PATTERN = re.compile(r"hf:(?P<repo>[\w.-]+/[\w.-]+)@(?P<revision>[0-9a-f]{40})(#(?P<file>[\w./-]+))?")
FORM = "hf:OWNER/NAME@COMMIT or hf:OWNER/NAME@COMMIT#FILE"
FILES = ("model.safetensors", "pytorch_model.bin")
"""Usual names of the file of weights in a repository; the first one that exists is taken."""


def locate(name: str) -> Path:
    """Find the path of `name`: itself, or, for `hf:OWNER/NAME@COMMIT[#FILE]`, the file in the hub's cache.

    Of a folder that is a copy of a repository it is the file of weights in it.

    A file that is not in the cache is downloaded, unless HF_HUB_OFFLINE=1. The commit must be given in full (40
    hexadecimal digits), because branches and tags can be moved, and then the run would be another one.

    Raises:
        WeightsError: the name is of another form, huggingface_hub is not installed, or there is no such file.
    """
    if not name.startswith(PREFIX):
        path = Path(name)
        return next((path / file for file in FILES if (path / file).is_file()), path)
    parts = PATTERN.fullmatch(name)
    if parts is None:
        raise WeightsError(
            f"{name} is not of the form {FORM}, with the 40 hexadecimal digits of a commit; the hub lists "
            f"a repository's commits under Files, History"
        )
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError
    except ImportError:
        raise WeightsError(
            f"{name} needs the package huggingface_hub; pip install huggingface_hub, or download the file and "
            f"name its path"
        ) from None
    files, problems = (parts["file"],) if parts["file"] else FILES, []
    for file in files:
        try:
            return Path(hf_hub_download(parts["repo"], file, revision=parts["revision"]))
        except EntryNotFoundError as error:  # not in that repository, or neither cached nor reachable
            problems.append(f"{file}: {_first_line(error)}")
        except Exception as error:  # the hub's, the network's, the disk's
            raise WeightsError(f"{name} cannot be had from the hub ({_first_line(error)})") from None
    raise WeightsError(
        f"{name} has none of {', '.join(files)}, in the cache or within reach ({'; '.join(problems)}); name the file "
        f"after a #, or fetch it where there is a network and without HF_HUB_OFFLINE=1"
    )


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
