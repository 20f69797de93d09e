"""Stand for the folder configs/ of the repository. In a wheel that folder itself lies here, in the place of this file.

So the keys and the experiments have one name, `man_jax.configs`, in the repository, in an editable install and in a
wheel, and a wheel brings no package named `configs`, which another project's would hide.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from configs import default, tables, variants

__all__ = ["default", "tables", "variants"]
__path__ = [str(Path(__file__).resolve().parents[2] / "configs")]
