"""Check this machine and what is installed, in one line each: OK, or look at it and what to do.

    python -m man_jax.doctor

The exit status is 0 if there is nothing to look at, and 1 otherwise. Run it in the folder in which runs and data are
to be kept.
"""

import os
import sys
from pathlib import Path

from data_pipelines.session.compilation import VARIABLE
from man_jax.commands import run_command
from man_jax.huge_pages import kernel_choice
from man_jax.process_flags import define_distributed, is_distributed

define_distributed("Find each other and compare the folder")
NAMED = os.environ.get(VARIABLE)
"""The user's folder of compiled programs; the command itself changes the variable when it begins."""


def main() -> None:
    """Print all findings, and end with status 1 if one of them asks for a look."""
    from data_pipelines.loading.free_memory import available_memory
    from man_jax import installed_packages, machine_checks

    findings = [
        machine_checks.check_python(sys.version_info[:3]),
        *installed_packages.check_required(installed_packages.requirements()),
        installed_packages.check_extras(installed_packages.extras()),
        machine_checks.check_devices(),
        machine_checks.check_processor(machine_checks.processor_flags(), machine_checks.usable_cores()),
        machine_checks.check_memory(available_memory()),
        machine_checks.check_pages(kernel_choice()),
        machine_checks.check_disk(Path.cwd()),
        machine_checks.check_cache(NAMED, os.environ.get(VARIABLE, "")),
        machine_checks.check_open_files(machine_checks.open_file_limit()),
    ]
    if is_distributed():
        from man_jax.runs.hosts import check_shared, hosts_of_processes
        from man_jax.runs.multi_process import is_first_process

        check_shared(Path.cwd(), "folder to start in")
        findings.append(machine_checks.list_processes(hosts_of_processes(), Path.cwd()))
        if not is_first_process():
            return
    print("\n".join(map(machine_checks.line, findings)))
    if not all(finding.ok for finding in findings):
        sys.exit(1)


if __name__ == "__main__":
    run_command(main)
