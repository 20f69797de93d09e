"""Read the values of --rerank and --query_expansion, which are written in forms of their own."""

import re
from typing import Any

from absl import flags

from man_jax.retrieval.settings import Expansion, Reranking

flags.disclaim_key_flags()  # a flag belongs to the command that defines it

NUMBER = r"\d+(?:\.\d*)?|\.\d+"


class RerankingParser(flags.ArgumentParser):
    """Parses K1,K2,LAMBDA into the settings of re-ranking; "true" are the published ones, "false" is None."""

    def parse(self, argument: str | Reranking) -> Reranking | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Parse the text of a flag; ValueError with an example if it is written otherwise."""
        if argument in ("true", "false"):
            return Reranking() if argument == "true" else None
        match = re.fullmatch(rf"(\d+),(\d+),({NUMBER})", str(argument))
        if match is None:
            raise ValueError("write K1,K2,LAMBDA, as in --rerank=20,6,0.3, or --rerank alone for these three")
        return Reranking(int(match[1]), int(match[2]), float(match[3]))


class ExpansionParser(flags.ArgumentParser):
    """Parses K or K,ALPHA into the settings of query expansion."""

    def parse(self, argument: str | Expansion) -> Expansion:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Parse the text of a flag; ValueError with an example if it is written otherwise."""
        match = re.fullmatch(rf"(\d+)(?:,({NUMBER}))?", str(argument))
        if match is None:
            raise ValueError("write K or K,ALPHA, as in --query_expansion=10 or --query_expansion=10,3")
        return Expansion(int(match[1]), float(match[2] or 0))


def define_rerank(
    name: str, description: str, flag_values: flags.FlagValues = flags.FLAGS
) -> flags.FlagHolder[Any]:
    """Define a flag of re-ranking, which may stand without a value; None if it is not given."""
    # A boolean flag is the only one that absl lets stand alone.
    flag = flags.Flag(RerankingParser(), None, name, None, description, boolean=True)
    return flags.DEFINE_flag(flag, flag_values)


def define_expansion(
    name: str, description: str, flag_values: flags.FlagValues = flags.FLAGS
) -> flags.FlagHolder[Any]:
    """Define a flag of query expansion; None if it is not given."""
    return flags.DEFINE(ExpansionParser(), name, None, description, flag_values)
