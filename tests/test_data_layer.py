"""WeaklyLabelledImages: what a batch holds, and on what it depends."""

import caffe
import cv2
import numpy as np
import pytest

from aepsl.base.errors import InputError
from aepsl.data.dataset import Dataset
from aepsl.images.pictures import read_indexed, write_grey
from aepsl.layers.data import PARAMETERS, Sampler
from aepsl.layers.prefetch import Prefetch
from conftest import python_layer

MEAN = np.array([104.008, 116.669, 122.675], np.float32)


def sampler(root, **more):
    settings = dict(PARAMETERS, root=str(root), list="train_aug", classes=["cat", "dog"], batch=4, crop=33)
    return Sampler(**{**settings, **more})


def batch(sampler, iteration):
    arrays = [np.full(shape, np.nan, np.float32) for shape in sampler.shapes]
    sampler.fill(iteration, arrays)
    return arrays


def masks_of(root):
    return str(root / "SegmentationClassAug")


def test_a_crop_is_a_window_of_the_image_and_of_its_mask(small_set):
    """Every crop is found again in its image, at one place, for pixels and mask alike."""
    source = sampler(small_set, masks=masks_of(small_set), mask_stride=1, batch=6)
    data, labels, mask = batch(source, 0)
    dataset = Dataset(str(small_set))
    for index, pixels, target, row in zip(source.indices(0), data, mask[:, 0], labels):
        image_id = source.ids[index]
        image = dataset.image(image_id).astype(np.float32)
        truth = read_indexed(f"{masks_of(small_set)}/{image_id}.png").astype(np.float32)
        assert row.tolist() == dataset.labels([image_id])[0].tolist()
        height, width = (min(33, side) for side in image.shape[:2])
        found = 0
        for flip in (1, -1):
            crop, window = pixels[:, :, ::flip], target[:, ::flip]
            for top in range(image.shape[0] - height + 1):
                for left in range(image.shape[1] - width + 1):
                    there = np.s_[top : top + height, left : left + width]
                    if np.array_equal(crop[:, :height, :width], (image[there] - MEAN).transpose(2, 0, 1)):
                        found += np.array_equal(window[:height, :width], truth[there])
                        assert not crop[:, height:].any() and not crop[:, :, width:].any()
                        assert (window[height:] == 255).all() and (window[:, width:] == 255).all()
        assert found == 1, image_id


def test_a_mirrored_crop_is_padded_on_its_left(small_set):
    """Crops larger than every image are the same with and without mirroring, or one is the other turned round."""
    settings = dict(masks=masks_of(small_set), mask_stride=1, crop=73, batch=6)
    plain, mirrored = (batch(sampler(small_set, mirror=mirror, **settings), 0) for mirror in (False, True))
    turned = [not np.array_equal(*pair) for pair in zip(plain[0], mirrored[0])]
    assert 0 < sum(turned) < 6
    for k, is_turned in enumerate(turned):
        step = -1 if is_turned else 1
        for before, after in ((plain[0][k], mirrored[0][k]), (plain[2][k], mirrored[2][k])):
            np.testing.assert_array_equal(after, before[:, :, ::step])


def test_masks_shrink_to_every_eighth_pixel(small_set):
    whole = batch(sampler(small_set, masks=masks_of(small_set), mask_stride=1), 3)[2]
    small = batch(sampler(small_set, masks=masks_of(small_set), mask_stride=8), 3)[2]
    assert small.shape == (4, 1, 5, 5)
    np.testing.assert_array_equal(small, whole[:, :, ::8, ::8])


def test_mask_values_become_the_channels_of_the_classes(small_set):
    """With the classes in another order than the data set's, and with one of them unknown to the net."""
    masks = dict(masks=masks_of(small_set), mask_stride=1)
    plain = batch(sampler(small_set, **masks), 0)[2]
    swapped = batch(sampler(small_set, classes=["dog", "cat"], **masks), 0)[2]
    expected = np.select([plain == 1, plain == 2], [2, 1], plain)
    np.testing.assert_array_equal(swapped, expected)


def test_erased_regions_have_the_mean_colour_and_nothing_else_changes(small_set, tmp_path):
    dataset = Dataset(str(small_set))
    for image_id in dataset.ids("train_aug"):
        bits = np.zeros(dataset.image(image_id).shape[:2], np.uint16)
        bits[4:18, 3:20] = 2  # the bit of the second label counts like any other
        write_grey(str(tmp_path / "regions" / f"{image_id}.png"), bits)
    masks = dict(masks=str(tmp_path / "regions"), mask_stride=1, classes=["cat", "dog"])  # 2 is dog's mask value
    plain, _, erased = batch(sampler(small_set, **masks), 5)
    data = batch(sampler(small_set, regions=str(tmp_path / "regions")), 5)[0]
    gone = np.broadcast_to(erased == 2, data.shape)
    assert gone.any()
    assert not data[gone].any()
    np.testing.assert_array_equal(data[~gone], plain[~gone])


def test_every_epoch_shows_every_image_once_in_another_order(small_set):
    source = sampler(small_set, batch=4)
    seen = [index for iteration in range(3) for index in source.indices(iteration)]
    assert sorted(seen[:6]) == sorted(seen[6:]) == list(range(6))
    assert seen[:6] != seen[6:]


def test_a_batch_depends_on_seed_and_iteration_alone(small_set):
    source = sampler(small_set)
    first = batch(source, 7)[0]
    batch(source, 2)
    np.testing.assert_array_equal(first, batch(source, 7)[0])
    np.testing.assert_array_equal(first, batch(sampler(small_set), 7)[0])
    assert not np.array_equal(first, batch(sampler(small_set, seed=2), 7)[0])


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_the_number_of_workers_does_not_matter(small_set, workers):
    source = sampler(small_set, workers=workers)
    prefetch = Prefetch(source, start=5)
    for iteration in range(5, 14):
        arrays = [np.empty(shape, np.float32) for shape in source.shapes]
        prefetch.next(arrays)
        for ours, expected in zip(arrays, batch(source, iteration)):
            np.testing.assert_array_equal(ours, expected)


def test_the_layer_serves_the_sampler_and_can_start_anywhere(small_set, net_of):
    settings = dict(root=str(small_set), list="train_aug", classes=["cat", "dog"], batch=4, crop=33)
    layer = python_layer("WeaklyLabelledImages", "aepsl.layers.data", tops=["data", "labels"], **settings)
    net = net_of(layer)
    source = sampler(small_set)
    for iteration in (0, 1, 2):
        net.forward()
        np.testing.assert_array_equal(net.blobs["data"].data, batch(source, iteration)[0])
    net.layers[0].start(11)
    net.forward()
    np.testing.assert_array_equal(net.blobs["labels"].data, batch(source, 11)[1])


def test_scaled_images_keep_masks_in_place(small_set):
    """At half size the mask is still where the object is: compare with the whole image scaled by hand."""
    source = sampler(small_set, scale=0.5, crop=41, masks=masks_of(small_set), mask_stride=1, mirror=False)
    data, _, mask = batch(source, 0)
    for index, pixels, target in zip(source.indices(0), data, mask[:, 0]):
        image = Dataset(str(small_set)).image(source.ids[index])
        size = tuple(int(round(side / 2)) for side in image.shape[1::-1])
        expected = cv2.resize(image, size, interpolation=cv2.INTER_AREA) - MEAN
        height, width = expected.shape[:2]
        np.testing.assert_array_equal(pixels[:, :height, :width], expected.transpose(2, 0, 1))
        truth = read_indexed(f"{masks_of(small_set)}/{source.ids[index]}.png")
        centre = (target[:height, :width] == 1).nonzero()
        if len(centre[0]):
            assert np.allclose(np.mean(centre, axis=1) * 2, np.mean((truth == 1).nonzero(), axis=1), atol=1.5)


def test_an_image_that_breaks_while_training_is_named(small_set):
    source = sampler(small_set, workers=2)
    path = small_set / "JPEGImages" / "image3.jpg"
    path.write_bytes(b"no picture")
    prefetch = Prefetch(source, start=0)
    with pytest.raises(InputError, match="image3.jpg: cannot be decoded"):
        for _ in range(4):
            prefetch.next([np.empty(shape, np.float32) for shape in source.shapes])


def test_a_worker_that_dies_is_an_error_not_a_wait(small_set):
    source = sampler(small_set)
    prefetch = Prefetch(source, start=0)
    process = prefetch.workers[0][0]
    process.terminate()
    process.join()
    with pytest.raises(InputError, match="process that decodes images ended"):
        for _ in range(4):
            prefetch.next([np.empty(shape, np.float32) for shape in source.shapes])


@pytest.mark.parametrize(
    "change, complaint",
    [
        (dict(crops=3), "unknown parameter 'crops'"),
        (dict(masks="somewhere"), "3 tops"),
        (dict(root="nowhere"), "nowhere: no such folder"),
    ],
)
def test_wrong_parameters_are_refused_with_a_sentence(small_set, net_of, change, complaint):
    settings = dict(root=str(small_set), list="train_aug", classes=["cat", "dog"], batch=4, crop=33)
    layer = python_layer("WeaklyLabelledImages", "aepsl.layers.data", tops=["data", "labels"], **{**settings, **change})
    with pytest.raises(Exception, match=complaint):
        net_of(layer, caffe.TRAIN)
