"""Faults of the data: formats, splits, preprocessing and batches."""

from tests.faults.planting import Fault

PREPROCESSING = "dgm_jax/data/preprocessing.py"
READERS = "dgm_jax/data/readers.py"
FORMATS = "dgm_jax/data/formats.py"
PICKLES = "dgm_jax/data/pickles.py"
BATCHES = "dgm_jax/data/batches.py"
TABLES = "dgm_jax/data/tables.py"
TOY = "dgm_jax/data/toy.py"

GOLDEN = (
    "data/test_preprocessing.py::"
    "test_golden_conversion_a_uniform_density_scores_eight_bits_a_dimension"
)

FAULTS = (
    # ------------------------------------------------------------------------------ preprocessing
    Fault(
        "logit-map-without-its-factor",
        "T21: (1 - 2α) is missing in the log-det",
        PREPROCESSING,
        "float(np.log1p(-2 * alpha) - np.log(num_levels))",
        "float(-np.log(num_levels))",
        "data/test_preprocessing.py::test_log_det_is_that_of_the_jacobian_both_ways",
    ),
    Fault(
        "logit-map-of-255-levels",
        "T21: levels are divided by 255, so that 256 is beyond 1",
        PREPROCESSING,
        "s = self.alpha + (1 - 2 * self.alpha) * x / self.num_levels",
        "s = self.alpha + (1 - 2 * self.alpha) * x / (self.num_levels - 1)",
        "data/test_preprocessing.py::test_logit_map_is_the_published_formula",
    ),
    Fault(
        "standardize-log-det-sign",
        "T21: the log-det of a division by std is +log std",
        PREPROCESSING,
        "return (x - mean) / std, -log_std",
        "return (x - mean) / std, log_std",
        "data/test_preprocessing.py::test_log_det_is_that_of_the_jacobian_both_ways",
    ),
    Fault(
        "dequantized-into-the-next-level",
        "T20: in float32 255 + 0.999999 is 256",
        "dgm_jax/arrays.py",
        "return jnp.minimum(corner + u, jnp.nextafter(corner + 1, corner))",
        "return corner + u",
        "data/test_toy.py::test_rounding_never_carries_a_checkerboard_sample_out_of_its_cell",
    ),
    Fault(
        "dequantized-around-the-level",
        "T20: noise on [-1/2, 1/2), so that ⌊x + u⌋ is not x",
        PREPROCESSING,
        "in_a_row(jax.random.uniform, key, x.shape, jnp.float32)",
        "in_a_row(jax.random.uniform, key, x.shape, jnp.float32) - 0.5",
        "data/test_preprocessing.py::test_dequantized_values_floor_back_to_all_256_levels",
    ),
    Fault(
        "mu-law-of-the-wrong-mu",
        "T21: μ = K, where it is K - 1",
        PREPROCESSING,
        "    mu = num_levels - 1\n    x = ",
        "    mu = num_levels\n    x = ",
        (
            "data/test_preprocessing.py::"
            "test_mu_law_is_the_published_formula_and_takes_the_nearest_level"
        ),
    ),
    Fault(
        "mu-law-rounded-down",
        "T21: the level below is taken, not the nearest",
        PREPROCESSING,
        "jnp.floor((f + 1) / 2 * mu + 0.5)",
        "jnp.floor((f + 1) / 2 * mu)",
        (
            "data/test_preprocessing.py::"
            "test_mu_law_is_the_published_formula_and_takes_the_nearest_level"
        ),
    ),
    # ----------------------------------------------------------------------------------- batches
    Fault(
        "every-epoch-the-same",
        "batches are shuffled once, and not in each epoch",
        BATCHES,
        "return np.random.default_rng([seed, epoch]).permutation(num_rows)",
        "return np.random.default_rng([seed, 0]).permutation(num_rows)",
        "data/test_batches.py::test_epochs_differ_and_leave_out_different_rows",
    ),
    Fault(
        "batches-overlap",
        "two batches of an epoch share a row",
        BATCHES,
        "permutation(epoch)[i * batch_size : (i + 1) * batch_size]",
        "permutation(epoch)[i * (batch_size - 1) : i * (batch_size - 1) + batch_size]",
        "data/test_batches.py::test_an_epoch_visits_each_row_at_most_once_in_batches_of_one_shape",
    ),
    Fault(
        "labels-of-other-rows",
        "the parts of a batch are shuffled apart",
        BATCHES,
        "taken = tuple(part[rows] for part in parts)",
        "taken = tuple(part[np.roll(rows, i)] for i, part in enumerate(parts))",
        "data/test_batches.py::test_parts_of_a_tuple_keep_their_rows_together",
    ),
    # ----------------------------------------------------------------------------------- readers
    Fault(
        "idx-with-the-wrong-byte-order",
        "sizes are read as little-endian numbers",
        FORMATS,
        'struct.unpack(f">{ndim}i"',
        'struct.unpack(f"<{ndim}i"',
        "data/test_formats.py::test_idx_is_read_back_with_its_shape",
    ),
    Fault(
        "cifar-with-axes-exchanged",
        "rows and columns of a picture change places",
        FORMATS,
        "flat.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)",
        "flat.reshape(-1, 3, 32, 32).transpose(0, 3, 2, 1)",
        "data/test_readers.py::test_cifar10_of_every_published_kind_is_the_same",
    ),
    Fault(
        "pickle-that-runs",
        "a pickle may name any callable",
        PICKLES,
        '            raise checks.InputError(f"it names {what}, which is no part of an array")',
        "            __import__(module)",
        "data/test_formats.py::test_a_pickle_that_names_anything_but_arrays_is_refused_unrun",
    ),
    Fault(
        "bytes-for-addresses",
        "an array is told its state by numpy, which believes what a pickle says of its kind",
        PICKLES,
        "if code not in PLAIN or not isinstance(content, (bytes, memoryview)):",
        "if not isinstance(content, (bytes, memoryview)):",
        "data/test_pickles.py::test_an_array_that_contradicts_itself_is_refused",
    ),
    Fault(
        "idx-believes-its-head",
        "an array is allocated before its size is held against the file's length",
        FORMATS,
        "    if size > room:\n",
        "    if room < 0:\n",
        "data/test_formats.py::test_a_head_that_promises_too_much_costs_no_memory",
    ),
    Fault(
        "remarks-vanish",
        "rows that begin with # are dropped from a table",
        FORMATS,
        "comments=None,",
        'comments="#",',
        "data/test_formats.py::test_text_of_other_than_numbers_says_where",
    ),
    Fault(
        "labels-of-any-class",
        "a label beyond the classes of the set is taken",
        READERS,
        '            _check_integers(y, CLASSES.get(name, EXACT), f"labels of {name} {split}")\n',
        "",
        "data/test_readers.py::test_labels_of_no_class_are_refused",
    ),
    Fault(
        "float32-merges-integers",
        "whole numbers beyond 2^24 become their neighbours",
        READERS,
        "    if max(-float(x.min()), float(x.max())) > EXACT:",
        "    if False:",
        "data/test_readers.py::test_own_whole_numbers_that_float32_merges_are_refused",
    ),
    Fault(
        "mnist-holds-out-a-tenth",
        "the validation split has another size than the published one",
        READERS,
        "parts, labels = _hold_out(x, len(x) // 6), _hold_out(y, len(y) // 6)",
        "parts, labels = _hold_out(x, len(x) // 10), _hold_out(y, len(y) // 10)",
        "data/test_readers.py::test_mnist_holds_out_the_last_sixth_and_comes_as_int32",
    ),
    Fault(
        "validation-from-the-test-rows",
        "the first rows are held out, and the last are trained on",
        READERS,
        "return [x[: len(x) - num], x[len(x) - num :]]",
        "return [x[num:], x[:num]]",
        "data/test_readers.py::test_mnist_holds_out_the_last_sixth_and_comes_as_int32",
    ),
    Fault(
        "colours-differ-from-another-channel",
        "the differences of the reduced CIFAR-10 are added to red, where they are of green",
        READERS,
        "x[:, 2] += x[:, 1]",
        "x[:, 2] += x[:, 0]",
        "data/test_readers.py::test_cifar10_undoes_the_differences_of_the_reduced_file",
    ),
    Fault(
        "scaled-by-the-test-rows",
        "T21: the test split takes part in the mean and the deviation",
        TABLES,
        "seen = np.concatenate(parts[:2])",
        "seen = np.concatenate(parts)",
        ("data/test_tables.py::test_miniboone_is_split_in_order_and_scaled_by_what_is_no_test"),
    ),
    Fault(
        "toy-density-of-another-volume",
        "the normaliser of a mixture forgets its number of components",
        TOY,
        "logsumexp(log_normal, -1) - np.log(len(means) * 2 * np.pi * scale**2)",
        "logsumexp(log_normal, -1) - np.log(2 * np.pi * scale**2)",
        ("data/test_toy.py::test_density_integrates_to_one_and_its_entropy_is_the_stated_one"),
    ),
)
