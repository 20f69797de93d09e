"""Deliberate faults, and whether the tests notice: python -m tests.mutations (some ten minutes on two cores).

Each fault is put into a copy of the project, whose tests of the part are then run. A fault that they let pass is a
test that is missing. Run it after changing the tests of a formula.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PARTS = ("configs", "data_pipelines", "man_jax", "tests", "pyproject.toml")


class Fault(NamedTuple):
    """In the file, `right` becomes `wrong`; `tests` are to fail."""

    name: str
    file: str
    right: str
    wrong: str
    tests: str


ALIGNMENT, OBJECTIVES, ENGINE = "man_jax/alignment/", "man_jax/objectives/", "man_jax/engine/"
FAULTS = (
    Fault(
        "k-means: the farthest centre",
        ALIGNMENT + "kmeans.py",
        "jnp.argmax",
        "jnp.argmin",
        "tests/alignment/test_kmeans.py",
    ),
    Fault(
        "k-means: an empty cluster stays where it is",
        ALIGNMENT + "kmeans.py",
        "jnp.where(empty[:, None], rows[farthest[rank]], centres)",
        "centres",
        "tests/alignment/test_kmeans_steps.py",
    ),
    Fault(
        "k-means: the tolerance counts for nothing",
        ALIGNMENT + "kmeans.py",
        "(shift > tolerance)",
        "(shift > 0)",
        "tests/alignment/test_kmeans_steps.py",
    ),
    Fault(
        "k-means: seeding that is not greedy",
        ALIGNMENT + "kmeans.py",
        "2 + int(math.log(num_clusters)) if num_clusters > 1 else 1",
        "1",
        "tests/alignment/test_kmeans_steps.py",
    ),
    Fault(
        "k-means: a program of its own for every clustering",
        ALIGNMENT + "kmeans.py",
        '"max_iterations", "block_size")',
        '"max_iterations", "block_size", "tolerance")',
        "tests/engine/test_relabel.py",
    ),
    Fault(
        "CPA: the smallest overlap matched",
        ALIGNMENT + "pseudo_labels.py",
        "linear_sum_assignment(overlap, maximize=True)\n    renamed",
        "linear_sum_assignment(overlap)\n    renamed",
        "tests/alignment/test_pseudo_labels.py",
    ),
    Fault(
        "CPA: renamed the wrong way round",
        ALIGNMENT + "pseudo_labels.py",
        "renamed[modality_cluster] = fused_cluster",
        "renamed[fused_cluster] = modality_cluster",
        "tests/alignment/test_pseudo_labels.py",
    ),
    Fault(
        "CPA: a score at the threshold is enough",
        ALIGNMENT + "pseudo_labels.py",
        "consistency_scores(aligned) > threshold",
        "consistency_scores(aligned) >= threshold",
        "tests/alignment/test_pseudo_labels.py",
    ),
    Fault(
        "CPA: an outvoted fusion admitted",
        ALIGNMENT + "pseudo_labels.py",
        "reliable & ~outvoted",
        "reliable",
        "tests/alignment/test_pseudo_labels.py",
    ),
    Fault(
        "prototypes: farther samples weigh more",
        ALIGNMENT + "prototypes.py",
        "jnp.exp(behind / temperature)",
        "jnp.exp(-behind / temperature)",
        "tests/alignment/test_prototypes.py",
    ),
    Fault(
        "prototypes: the mask forgotten",
        ALIGNMENT + "prototypes.py",
        "member = member * mask[:, None]",
        "pass",
        "tests/alignment/test_prototypes.py",
    ),
    Fault(
        "prototypes: a small temperature leaves no weight",
        ALIGNMENT + "prototypes.py",
        "cosine - jax.lax.stop_gradient(largest)[own]",
        "cosine - 1.0",
        "tests/alignment/test_prototypes.py",
    ),
    Fault(
        "bank: the average's direction",
        ALIGNMENT + "prototypes.py",
        "unit(momentum * values + (1.0 - momentum) * mean)",
        "unit((1.0 - momentum) * values + momentum * mean)",
        "tests/alignment/test_prototypes.py",
    ),
    Fault(
        "bank: a sum for a mean",
        ALIGNMENT + "prototypes.py",
        "mean = (owner.T @ features) / jnp.maximum(counts, 1.0)[:, None]",
        "mean = owner.T @ features",
        "tests/alignment/test_prototypes.py",
    ),
    Fault(
        "bank: invalid classes move",
        ALIGNMENT + "prototypes.py",
        "jnp.where(((counts > 0) & valid)[:, None]",
        "jnp.where((counts > 0)[:, None]",
        "tests/alignment/test_prototypes.py",
    ),
    Fault(
        "MMD: the cross term's sign",
        ALIGNMENT + "domain.py",
        "xx + yy - 2.0 * xy",
        "xx + yy + 2.0 * xy",
        "tests/alignment/test_domain.py",
    ),
    Fault(
        "MMD: the kernel's width",
        ALIGNMENT + "domain.py",
        "jnp.exp(-d2 / 2.0)",
        "jnp.exp(-d2)",
        "tests/alignment/test_domain.py",
    ),
    Fault(
        "MMD: the bandwidth learns",
        ALIGNMENT + "domain.py",
        "jax.lax.stop_gradient(jnp.maximum(mean, SMALLEST_BANDWIDTH))",
        "jnp.maximum(mean, SMALLEST_BANDWIDTH)",
        "tests/alignment/test_domain.py",
    ),
    Fault(
        "PDA: prototypes learn",
        ALIGNMENT + "domain.py",
        "jax.lax.stop_gradient((source_prototypes, target_prototypes))",
        "(source_prototypes, target_prototypes)",
        "tests/alignment/test_domain.py",
    ),
    Fault(
        "PDA: each domain with its own prototypes",
        ALIGNMENT + "domain.py",
        "alignment_loss(source, target_prototypes, y_valid=target_valid, **form)",
        "alignment_loss(target, target_prototypes, y_valid=target_valid, **form)",
        "tests/alignment/test_domain.py",
    ),
    Fault(
        "PDA: equal modalities among the crossed ones",
        ALIGNMENT + "domain.py",
        "jnp.sum(penalty, where=~same)",
        "jnp.sum(penalty)",
        "tests/alignment/test_domain.py",
    ),
    Fault(
        "PDA: invalid prototypes count",
        ALIGNMENT + "domain.py",
        "x_valid=x_valid, y_valid=y_valid, kernel=kernel)\n\n    discrepancy",
        "x_valid=x_valid, kernel=kernel)\n\n    discrepancy",
        "tests/alignment/test_domain.py",
    ),
    Fault(
        "PDA: the margin without its modulus",
        ALIGNMENT + "domain.py",
        "return jnp.abs(margin - discrepancy)",
        "return margin - discrepancy",
        "tests/alignment/test_domain.py",
    ),
    Fault(
        "PDA: Ins-Ins with the fixed kernel only",
        ALIGNMENT + "domain.py",
        "y_valid=target_valid, margin=margin, inter=inter, kernel=kernel",
        "y_valid=target_valid, margin=margin, inter=inter",
        "tests/alignment/test_domain.py",
    ),
    Fault(
        "MMA: both orders of a pair within a set",
        ALIGNMENT + "modality.py",
        "jnp.triu(jnp.ones((centres.shape[0],) * 2, bool), k=1)",
        "~jnp.eye(centres.shape[0], dtype=bool)",
        "tests/alignment/test_modality.py",
    ),
    Fault(
        "MMA: equal modalities across domains",
        ALIGNMENT + "modality.py",
        'pairs = equal if pairing == "equal" else ~equal',
        "pairs = equal",
        "tests/alignment/test_modality.py",
    ),
    Fault(
        "MMA: prototypes of the instances' own domain",
        ALIGNMENT + "modality.py",
        "uma(target, source_prototypes, source_valid) + uma(source, target_prototypes, target_valid)",
        "uma(target, target_prototypes, target_valid) + uma(source, source_prototypes, source_valid)",
        "tests/alignment/test_modality.py",
    ),
    Fault(
        "identity: no smoothing",
        OBJECTIVES + "identity.py",
        "-((1.0 - smoothing) * own + smoothing * jnp.mean(log_probability, axis=1))",
        "-own",
        "tests/objectives/test_identity.py",
    ),
    Fault(
        "triplet: the nearest positive",
        OBJECTIVES + "identity.py",
        "jnp.max(distance, axis=1, where=positives, initial=0.0)",
        "jnp.min(distance, axis=1, where=positives, initial=jnp.inf)",
        "tests/objectives/test_identity.py",
    ),
    Fault(
        "triplet: an anchor is its own positive",
        OBJECTIVES + "identity.py",
        "mask[None, :] & ~jnp.eye(labels.shape[0], dtype=bool)",
        "jnp.broadcast_to(mask[None, :], (labels.shape[0],) * 2)",
        "tests/objectives/test_identity.py",
    ),
    Fault(
        "XBM: the memory learns",
        OBJECTIVES + "memory.py",
        "jax.lax.stop_gradient(features)",
        "features",
        "tests/objectives/test_memory.py",
    ),
    Fault(
        "XBM: masked rows enter",
        OBJECTIVES + "memory.py",
        "keep = mask & (order",
        "keep = (order",
        "tests/objectives/test_memory.py",
    ),
    Fault(
        "XBM: the source's half is forgotten",
        OBJECTIVES + "memory.py",
        "memory.labels >= first_label",
        "memory.labels < first_label",
        "tests/objectives/test_memory.py",
    ),
    Fault(
        "total: PDA without its weight",
        OBJECTIVES + "total.py",
        "objective.alpha * (domain",
        "(domain",
        "tests/engine/test_step.py",
    ),
    Fault(
        "total: unreliable rows are learnt",
        OBJECTIVES + "total.py",
        "return masked_mean(values, batch.reliable)",
        "return jnp.mean(values)",
        "tests/engine/test_step.py",
    ),
    Fault(
        "total: no triplet of the fusion",
        OBJECTIVES + "total.py",
        "modal + triplet(fused)",
        "modal",
        "tests/objectives/test_adaptation.py",
    ),
    Fault(
        "total: unreliable rows are anchors of XBM",
        OBJECTIVES + "total.py",
        "        mask=jnp.concatenate(reliable),\n",
        "",
        "tests/objectives/test_adaptation.py",
    ),
    Fault(
        "total: the fusion's triplet on f_F whatever is said",
        OBJECTIVES + "total.py",
        '{"pooled": outputs.features.fused_pooled,',
        '{"pooled": outputs.fused_normed,',
        "tests/objectives/test_adaptation.py",
    ),
    Fault(
        "total: US counts both directions of L_uma",
        OBJECTIVES + "total.py",
        "objective=objective) / 2.0",
        "objective=objective)",
        "tests/objectives/test_adaptation.py",
    ),
    Fault(
        "total: US without XBM's weight",
        OBJECTIVES + "total.py",
        "identity + triplet + objective.memory_weight * cross_batch",
        "identity + triplet + cross_batch",
        "tests/objectives/test_adaptation.py",
    ),
    Fault(
        "network: f_F before its own neck",
        "man_jax/networks/three_branch.py",
        "Outputs(features, fused_normed, ",
        "Outputs(features, features.fused_normed, ",
        "tests/networks/test_three_branch.py",
    ),
    Fault(
        "unit: the slope of a zero vector",
        "man_jax/vectors.py",
        "x = jnp.where(squared > 0.0, x, 0.0)",
        "pass",
        "tests/test_vectors.py",
    ),
    Fault(
        "step: cluster numbers collide with identities",
        ENGINE + "step.py",
        "batch.labels + first_label[domain]",
        "batch.labels",
        "tests/engine/test_step.py",
    ),
    Fault(
        "step: both domains' averages swapped",
        ENGINE + "step.py",
        '"batch_stats": running[domain]}',
        '"batch_stats": running[1 - domain]}',
        "tests/engine/test_step.py",
    ),
    Fault(
        "step: the same augmentation at every step",
        ENGINE + "step.py",
        "jax.random.fold_in(state.key, state.step)",
        "state.key",
        "tests/engine/test_step.py",
    ),
    Fault(
        "relabelling: prototypes of unreliable triples",
        ENGINE + "phases.py",
        "mask=pseudo.reliable, **kind",
        "mask=np.ones_like(pseudo.reliable), **kind",
        "tests/engine/test_phases.py",
    ),
    Fault(
        "relabelling: batches regardless of what is reliable",
        ENGINE + "phases.py",
        'stream="adapt/target", reliable=reliable)',
        'stream="adapt/target")',
        "tests/engine/test_phases.py",
    ),
    Fault(
        "relabelling: the heads keep their moments",
        ENGINE + "relabel.py",
        'leaf.at[..., num_source:].set(0.0) if "heads" in names else leaf',
        "leaf",
        "tests/engine/test_relabel.py",
    ),
    Fault(
        "relabelling: the memory is not flushed",
        ENGINE + "relabel.py",
        "memory=flush(state.memory, first_label=num_source),",
        "memory=state.memory,",
        "tests/engine/test_relabel.py",
    ),
    Fault(
        "relabelling: invalid clusters overwrite the heads",
        ENGINE + "relabel.py",
        "jnp.where(banks.target.valid, prototypes, kept)",
        "prototypes",
        "tests/engine/test_relabel.py",
    ),
)


def is_noticed(fault: Fault) -> bool:
    """Whether the fault's tests fail in a copy of the project that has it; they passed without."""
    with tempfile.TemporaryDirectory() as folder:
        for part in PARTS:
            source, copy = ROOT / part, Path(folder) / part
            if source.is_dir():
                shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, copy)
        path = Path(folder) / fault.file
        text = path.read_text(encoding="utf-8")
        if fault.right not in text:
            raise ValueError(f"{fault.name}: {fault.file} does not hold {fault.right!r} any more")
        path.write_text(text.replace(fault.right, fault.wrong), encoding="utf-8")
        command = [sys.executable, "-m", "pytest", "-q", "-x", fault.tests]
        environment = os.environ | {"PYTHONPATH": folder}
        result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
        if result.returncode not in (0, 1):
            raise RuntimeError(f"{fault.name}: the tests could not be run\n{result.stdout.decode()[-2000:]}")
        return result.returncode == 1


def main() -> None:
    """Try every fault, or those whose names hold the command's words; exit 1 if one goes unnoticed."""
    chosen = [fault for fault in FAULTS if all(word in fault.name for word in sys.argv[1:])]
    unnoticed = []
    for fault in chosen:
        noticed = is_noticed(fault)
        print(f"{'noticed' if noticed else 'NOT NOTICED':12}{fault.name}", flush=True)
        if not noticed:
            unnoticed.append(fault.name)
    print(f"{len(chosen) - len(unnoticed)} of {len(chosen)} faults noticed")
    sys.exit(bool(unnoticed))


if __name__ == "__main__":
    main()
