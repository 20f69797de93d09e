import jax
import numpy as np
import pytest

from man_jax.engine.augment import Augmentation, Normalization, augment, erasing_mask, normalize
from man_jax.sharding import batch_sharding, make_mesh, put_batch, replicated

B, M, H, W = 16, 3, 16, 12
OFF = Augmentation(flip=0.0, pad=0, erase=0.0)
PLAIN = Normalization((0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255))
"""Leaves bytes the numbers they were."""


@pytest.fixture(scope="module")
def positions() -> np.ndarray:
    """Images whose channels say: row + 1, column + 1, triple + 1. Black is then nowhere but in the padding."""
    triple, row, column = np.meshgrid(*map(np.arange, (B, H, W)), indexing="ij")
    images = np.stack([row + 1, column + 1, triple + 1], axis=-1).astype(np.uint8)
    return np.repeat(images[:, None], M, axis=1)


def augmented(images, augmentation, *, seed=0, normalization=PLAIN) -> np.ndarray:
    run = jax.jit(augment, static_argnums=(2, 3))
    return np.asarray(run(jax.random.key(seed), images, augmentation, normalization))


def moves(images: np.ndarray) -> np.ndarray:
    """(flipped, rows down, columns right) of every image [B, M, 3], read from the positions it shows."""
    found = np.zeros((*images.shape[:2], 3), int)
    for index in np.ndindex(images.shape[:2]):
        shown = np.round(images[index]).astype(int)
        row, column = np.argwhere(shown[..., 2] > 0)[0]
        across = np.unique(shown[..., 1][shown[..., 2] > 0])
        first = shown[row, column, 1]
        flipped = first == across.max()
        source_column = W - first if flipped else first - 1
        found[index] = flipped, row - (shown[row, column, 0] - 1), column - source_column
    return found


def are_pixel_aligned(images: np.ndarray) -> np.ndarray:
    return np.array([all(np.array_equal(image, triple[0]) for image in triple) for triple in images])


# --- off


def test_everything_off_is_normalising_only():
    images = np.random.default_rng(0).integers(0, 256, (B, M, H, W, 3), np.uint8)
    actual = augmented(images, OFF, normalization=Normalization())
    np.testing.assert_allclose(actual, normalize(images, Normalization()), rtol=1e-6, atol=1e-6)


def test_each_channel_has_its_own_mean_and_deviation():
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.25, 2.0)
    image = np.full((1, 1, 3), 51, np.uint8)  # a fifth of 255
    wanted = [(0.2 - m) / s for m, s in zip(mean, std, strict=True)]
    np.testing.assert_allclose(normalize(image, Normalization(mean, std))[0, 0], wanted, atol=1e-6)


# --- flip and crop


def test_a_certain_flip_mirrors_every_image_left_to_right(positions):
    np.testing.assert_allclose(
        augmented(positions, OFF._replace(flip=1.0)), positions[:, :, :, ::-1], rtol=1e-6
    )


def test_flips_are_as_frequent_as_stated(positions):
    flipped = [moves(augmented(positions, OFF._replace(flip=0.3), seed=seed))[:, 0, 0] for seed in range(40)]
    assert np.mean(flipped) == pytest.approx(0.3, abs=0.06)  # 640 draws: 3.3 standard deviations


@pytest.mark.parametrize("seed", range(3))
def test_flip_and_crop_are_the_same_for_the_three_images_of_a_triple(positions, seed):
    images = augmented(positions, OFF._replace(flip=0.5, pad=4), seed=seed)
    assert are_pixel_aligned(images).all()


def test_flip_and_crop_differ_between_triples(positions):
    found = moves(augmented(positions, OFF._replace(flip=0.5, pad=4)))[:, 0]
    assert len(np.unique(found[:, 0])) == 2
    assert len(np.unique(found[:, 1:], axis=0)) > B // 2


def test_per_modality_draws_flip_and_crop_apart(positions):
    together = OFF._replace(flip=0.5, pad=4, per_modality=True)
    images = augmented(positions, together)
    assert not are_pixel_aligned(images).any()


def test_per_modality_some_images_of_a_triple_are_flipped_and_others_not(positions):
    flipped = moves(augmented(positions, OFF._replace(flip=0.5, per_modality=True)))[..., 0]
    assert len(np.unique(flipped, axis=0)) > 2**M // 2


def test_a_crop_moves_by_at_most_the_padding_in_each_direction(positions):
    found = np.concatenate([moves(augmented(positions, OFF._replace(pad=2), seed=seed)) for seed in range(8)])
    for axis in (1, 2):
        assert set(np.unique(found[..., axis])) == set(range(-2, 3))


def test_what_a_crop_brings_in_is_black(positions):
    images = augmented(positions, OFF._replace(pad=4), normalization=Normalization())
    shown = augmented(positions, OFF._replace(pad=4))
    black = np.asarray(normalize(np.zeros((1, 3), np.uint8), Normalization()))[0]
    outside = images[shown[..., 2] == 0]
    assert len(outside)
    np.testing.assert_allclose(outside, np.broadcast_to(black, outside.shape), rtol=1e-6)


# --- erasing


@pytest.fixture(scope="module")
def masks() -> np.ndarray:
    """What is erased in each of 3000 draws, in an image large enough that rounding matters little."""
    keys = jax.random.split(jax.random.key(0), 3000)
    draw = jax.jit(jax.vmap(lambda key: erasing_mask(key, 64, 32, Augmentation(erase=0.5))))
    return np.asarray(draw(keys))


def test_erasing_is_as_frequent_as_stated(masks):
    assert masks.any(axis=(1, 2)).mean() == pytest.approx(0.5, abs=0.03)


def test_what_is_erased_is_a_rectangle(masks):
    for mask in masks[masks.any(axis=(1, 2))][:200]:
        assert mask.sum() == mask.any(axis=1).sum() * mask.any(axis=0).sum()


def test_the_erased_share_is_within_its_range(masks):
    shares = masks.mean(axis=(1, 2))[masks.any(axis=(1, 2))]
    # Half a pixel of rounding on each side of the smallest rectangle, about 6 × 6; wide ones are cut.
    assert 0.015 < shares.min() < 0.04
    assert 0.28 < shares.max() < 0.35
    assert 0.14 < shares.mean() < 0.19


def test_the_aspect_is_within_its_range(masks):
    tall, wide = masks.any(axis=2).sum(axis=1), masks.any(axis=1).sum(axis=1)
    uncut = (tall > 8) & (wide > 8) & (tall < 64) & (wide < 32)
    aspect = tall[uncut] / wide[uncut]
    assert 0.27 < aspect.min() < 0.6
    assert 2.5 < aspect.max() < 3.7


def test_erasing_reaches_every_part_of_the_image(masks):
    assert (masks.sum(axis=0) > 0).all()


def test_erased_pixels_are_zero_and_the_others_untouched(positions):
    whole = augmented(positions, OFF, normalization=Normalization())
    erased = augmented(positions, OFF._replace(erase=1.0), normalization=Normalization())
    gone = (erased == 0).all(axis=-1)
    assert gone.any(axis=(2, 3)).all()
    np.testing.assert_array_equal(erased[~gone], whole[~gone])


def test_an_aspect_drawn_by_its_logarithm_is_as_often_wide_as_tall():
    """Uniform draws are tall in four of five: the range is from 0.3 to 3.3."""
    keys = jax.random.split(jax.random.key(0), 3000)
    small = Augmentation(erase=1.0, erase_area=(0.1, 0.1), erase_aspect_form="log_uniform")

    def shape_of(augmentation):
        drawn = np.asarray(jax.jit(jax.vmap(lambda key: erasing_mask(key, 64, 64, augmentation)))(keys))
        return drawn.any(axis=2).sum(axis=1) / drawn.any(axis=1).sum(axis=1)

    aspect = shape_of(small)
    assert np.mean(aspect > 1) == pytest.approx(0.5, abs=0.04)
    assert 0.27 < aspect.min() < 0.33
    assert 3.0 < aspect.max() < 3.6
    assert np.mean(np.log(aspect) < np.log(0.3) / 2) == pytest.approx(0.25, abs=0.04)
    assert np.mean(shape_of(small._replace(erase_aspect_form="uniform")) > 1) > 0.7


def test_erased_pixels_can_be_normal_noise(positions):
    """Of mean 0 and deviation 1 after the normalisation, and of its own in each image, pixel and channel."""
    zero = OFF._replace(erase=1.0)
    erased = augmented(positions, zero, normalization=Normalization())
    noisy = augmented(positions, zero._replace(erase_fill="noise"), normalization=Normalization())
    gone = (erased == 0).all(axis=-1)
    np.testing.assert_array_equal(noisy[~gone], erased[~gone])
    drawn = noisy[gone]
    assert len(np.unique(drawn)) > 0.99 * drawn.size
    assert drawn.mean() == pytest.approx(0, abs=4 / np.sqrt(drawn.size))
    assert drawn.std() == pytest.approx(1, abs=4 / np.sqrt(drawn.size))


def test_erasing_differs_between_the_modalities_of_a_triple(positions):
    erased = augmented(positions, OFF._replace(erase=1.0))
    gone = (erased == 0).all(axis=-1)
    assert not any(
        np.array_equal(triple[i], triple[j]) for triple in gone for i, j in ((0, 1), (0, 2), (1, 2))
    )


# --- randomness


def test_the_same_key_augments_alike(positions):
    first, second = (augmented(positions, Augmentation(pad=2), seed=3) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_another_key_augments_otherwise(positions):
    first, second = (augmented(positions, Augmentation(pad=2), seed=seed) for seed in (3, 4))
    assert not np.array_equal(first, second)


def test_augmentation_does_not_depend_on_the_number_of_devices(positions):
    mesh = make_mesh()
    sharded = jax.jit(
        lambda key, x: augment(key, x, Augmentation(pad=2), PLAIN),
        in_shardings=(replicated(mesh), batch_sharding(mesh)),
    )(jax.random.key(3), put_batch(positions, mesh))
    np.testing.assert_array_equal(sharded, augmented(positions, Augmentation(pad=2), seed=3))
