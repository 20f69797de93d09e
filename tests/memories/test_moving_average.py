import jax
import jax.numpy as jnp
import numpy as np
import pytest

from man_jax.memories.moving_average import moving_average
from tests.oracles import memories as oracle
from tests.oracles.precision import assert_close, both_precisions, evaluate


def drawn(seed: int):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(3, 4)), rng.normal(size=(3, 4))


@both_precisions
@pytest.mark.parametrize("step", [0, 1, 7, 998, 999, 1000, 10**6])
@pytest.mark.parametrize("alpha", [0.9, 0.999])
def test_the_teacher_keeps_the_share_of_the_formula(step, alpha, precision):
    teacher, student = drawn(step)
    moved = evaluate(moving_average, teacher, student, step=step, alpha=alpha, precision=precision)
    assert_close(moved, oracle.moving_average(teacher, student, step, alpha), precision)


def test_a_thousandth_is_the_student_s_in_the_long_run_unless_told():
    teacher, student = drawn(1)
    moved = evaluate(moving_average, teacher, student, step=10**6)
    assert_close(moved, 0.999 * teacher + 0.001 * student)


def test_the_first_update_makes_the_teacher_the_student():
    teacher, student = drawn(2)
    np.testing.assert_array_equal(evaluate(moving_average, teacher, student, step=0), student)


def test_the_first_updates_are_a_plain_mean_of_the_students():
    students = [drawn(seed)[1] for seed in range(5)]
    teacher = np.zeros_like(students[0])
    for step, student in enumerate(students):
        teacher = evaluate(moving_average, teacher, student, step=np.array(step))
    assert_close(teacher, np.mean(students, axis=0))


def test_every_array_of_a_tree_moves_and_what_holds_no_real_number_is_copied():
    old, new = drawn(3)
    teacher = {
        "params": {"kernel": jnp.float32(old)},
        "statistics": [jnp.float32(old[0])],
        "count": jnp.int32(3),
    }
    student = {
        "params": {"kernel": jnp.float32(new)},
        "statistics": [jnp.float32(new[0])],
        "count": jnp.int32(8),
    }
    moved = moving_average(teacher, student, step=3)
    np.testing.assert_allclose(moved["params"]["kernel"], 0.75 * old + 0.25 * new, rtol=1e-5)
    np.testing.assert_allclose(moved["statistics"][0], 0.75 * old[0] + 0.25 * new[0], rtol=1e-5)
    assert moved["count"] == 8
    assert moved["count"].dtype == jnp.int32


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_each_array_keeps_its_type(dtype):
    teacher, student = (jnp.asarray(values, dtype) for values in drawn(4))
    assert moving_average(teacher, student, step=jnp.int32(5)).dtype == dtype


def test_another_step_needs_no_other_program():
    traces = []

    @jax.jit
    def update(teacher, student, step):
        traces.append(1)
        return moving_average(teacher, student, step=step)

    for step in range(3):
        update(*drawn(5), step)
    assert len(traces) == 1


def test_trees_of_other_structure_are_refused():
    with pytest.raises(ValueError, match=r"structure|key"):
        moving_average({"a": jnp.ones(2)}, {"b": jnp.ones(2)}, step=1)
