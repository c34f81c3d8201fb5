"""Image tasks: splits, encoders, bad data, and a real training on the digits beside one on labels that mean nothing."""

import numpy as np
import pytest
import yaml
from pydantic import TypeAdapter

from codegen.circuit import Circuit
from codegen.netlist import Netlist
from codegen.readout import GroupSum, to_binary
from reports.record import Record
from tasks import TASKS, TaskError, images
from tasks.distort import DistortConfig, distorted
from tasks.images import Images, ImagesConfig, ImageTask, shifted
from tests.conftest import ROOT
from tests.test_harness import run_harness

ENCODER = {"kind": "uniform", "bits": 3, "threshold": 7, "crop": None}


def config(encoder=None, **changes):
    settings = {
        "name": "digits",
        "data_dir": None,
        "validation": 200,
        "split_seed": 0,
        "shift": False,
        "distort": None,
        "shuffle_labels": False,
    }
    whole = {**settings, "encoder": {**ENCODER, **(encoder or {})}, **changes}
    return TypeAdapter(ImagesConfig).validate_python(whole)


def drawn(n=60, rows=6, columns=5, seed=0):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 17, (n, rows, columns)).astype(np.uint8)
    return pixels, (np.arange(n) % 10).astype(np.uint8)


@pytest.fixture
def source(monkeypatch):
    """Puts made-up images in the place of the digits: call it with the parts."""

    def put(train=None, test=None):
        made = Images(train or drawn(), test or drawn(20, seed=1), 16)
        monkeypatch.setitem(images.SOURCES, "digits", lambda _: made)
        return made

    return put


def test_splits_are_of_the_seed_and_do_not_overlap(source):
    made = source()
    first, again, other = (ImageTask(config(validation=20, split_seed=seed)) for seed in (0, 0, 1))
    assert (len(first.train.inputs), len(first.validation.inputs), len(first.test.inputs)) == (40, 20, 20)
    assert np.array_equal(first.validation.features, again.validation.features)
    assert not np.array_equal(first.validation.features, other.validation.features)
    rows = np.concatenate([first.train.features, first.validation.features])
    assert np.array_equal(np.unique(rows, axis=0), np.unique(made.train[0].reshape(60, -1), axis=0))
    assert np.array_equal(first.test.features, made.test[0].reshape(20, -1))
    assert np.array_equal(np.argmax(first.test.target, axis=1), made.test[1])
    assert np.all(first.train.target.sum(axis=1) == 1)


def test_inputs_are_what_the_encoder_makes_of_the_features(source):
    source()
    for kind, bits in (("fixed", 1), ("uniform", 3), ("quantile", 3)):
        task = ImageTask(config({"kind": kind}, validation=20))
        assert task.n_inputs == 30 * bits
        assert np.array_equal(task.encoder.encode(task.test.features), task.test.inputs)
    cropped = ImageTask(config({"kind": "fixed", "crop": 3}, validation=20))
    assert np.array_equal(cropped.test.inputs, cropped.test.features.reshape(-1, 6, 5)[:, 1:4, 1:4].reshape(-1, 9) > 7)


def test_learned_thresholds_read_numbers_from_0_to_1(source):
    made = source()
    task = ImageTask(config({"kind": "learned", "crop": 3}, validation=20))
    assert task.encoder is None
    assert task.train.inputs.dtype == np.float32
    assert np.allclose(task.test.inputs, made.test[0][:, 1:4, 1:4].reshape(20, 9) / 16)


def test_quantiles_are_of_the_training_part_alone(source):
    source()
    expected = ImageTask(config({"kind": "quantile"}, validation=20)).encoder.threshold
    source(test=(np.full((20, 6, 5), 16, dtype=np.uint8), drawn(20)[1]))
    assert np.array_equal(ImageTask(config({"kind": "quantile"}, validation=20)).encoder.threshold, expected)


def test_shifted_images_move_by_one_pixel():
    image = np.zeros((1, 3, 3), dtype=np.uint8)
    image[0, 1, 1], image[0, 0, 0] = 5, 7
    found = np.concatenate(shifted(image))
    assert [np.argwhere(moved == 5).tolist() for moved in found] == [[[0, 1]], [[2, 1]], [[1, 0]], [[1, 2]]]
    assert found.sum(axis=(1, 2)).tolist() == [5, 12, 5, 12]  # what leaves the image is gone


NO_DISTORTION = {"copies": 1, "degrees": 0, "scale": 0, "shear": 0, "move": 0, "elastic": 0}


def distort(images, seed=0, **changes):
    return list(distorted(images, DistortConfig(**{**NO_DISTORTION, **changes}), np.random.default_rng(seed)))


def blob(deviation=2.0):
    """A smooth spot above and left of the middle, whose centre can be told to a fraction of a pixel."""
    y, x = np.mgrid[:28, :28]
    return np.rint(200 * np.exp(-((y - 10) ** 2 + (x - 12) ** 2) / (2 * deviation**2)))[None].astype(np.uint8)


def centres(images):
    y, x = np.mgrid[: images.shape[1], : images.shape[2]]
    mass = images.sum(axis=(1, 2))
    return np.stack([(images * y).sum(axis=(1, 2)) / mass, (images * x).sum(axis=(1, 2)) / mass], axis=1)


def test_images_that_are_not_distorted_come_as_they_are():
    many = np.random.default_rng(0).integers(0, 256, (5000, 3, 4)).astype(np.uint8)  # more than are distorted at once
    for copy in distort(many, copies=2):
        assert np.array_equal(copy, many)


def test_distorted_images_are_moved_turned_and_scaled_by_as_much_as_was_said():
    spots = np.tile(blob(), (300, 1, 1))
    middle = (28 - 1) / 2
    start = centres(blob())[0] - middle
    for changes, most in (({"move": 2}, 2.0), ({"degrees": 20}, np.hypot(*start) * np.deg2rad(20)), ({"scale": 0.2}, 4.0 * 0.25)):
        found = centres(distort(spots, **changes)[0]) - middle
        away = np.abs(found - start).max()
        assert 0.8 * most / np.sqrt(2) < away < 1.1 * most, changes
        if "degrees" in changes:
            assert np.allclose(np.hypot(*found.T), np.hypot(*start), atol=0.1)
        if "move" in changes:
            assert np.abs(found.mean(axis=0) - start).max() < 0.25


def test_bent_images_are_displaced_smoothly_and_by_the_deviation_that_was_said():
    spots = np.tile(blob(1.0), (2000, 1, 1))
    moved = centres(distort(spots, elastic=0.7)[0]) - centres(spots[:1])[0]
    assert np.allclose(moved.std(axis=0), 0.7, rtol=0.15)  # a spot is displaced by a little less than its middle
    assert np.abs(moved.mean(axis=0)).max() < 0.05


def test_distortions_are_of_the_seed_and_differ_between_copies_and_images():
    spots = np.tile(blob(), (3, 1, 1))
    first, again, other = (distort(spots, seed, copies=2, move=2, elastic=1) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert len(np.unique(np.concatenate(first + other), axis=0)) == 12


def test_only_training_is_shifted_or_shuffled(source):
    source()
    plain, moved = (ImageTask(config(validation=20, shift=shift)) for shift in (False, True))
    assert len(moved.train.inputs) == 5 * 40
    assert np.array_equal(moved.train.inputs[:40], plain.train.inputs)
    assert np.array_equal(moved.train.target, np.tile(plain.train.target, (5, 1)))
    assert np.array_equal(moved.validation.inputs, plain.validation.inputs)
    both = ImageTask(config(validation=20, shift=True, distort={**NO_DISTORTION, "copies": 3, "move": 1}))
    assert np.array_equal(both.train.inputs[: 5 * 40], moved.train.inputs)
    assert np.array_equal(both.train.target, np.tile(plain.train.target, (8, 1)))
    assert not np.array_equal(both.train.inputs[5 * 40 :], np.tile(plain.train.inputs, (3, 1)))
    assert np.array_equal(both.validation.inputs, plain.validation.inputs)
    assert np.array_equal(both.test.inputs, plain.test.inputs)
    shuffled = ImageTask(config(validation=20, shuffle_labels=True))
    assert np.array_equal(shuffled.train.inputs, plain.train.inputs)
    assert not np.array_equal(shuffled.train.target, plain.train.target)
    assert np.array_equal(shuffled.train.target.sum(axis=0), plain.train.target.sum(axis=0))
    assert np.array_equal(shuffled.validation.target, plain.validation.target)
    assert np.array_equal(shuffled.test.target, plain.test.target)


def test_the_work_is_the_test_images_and_what_the_circuit_says_of_them(source):
    made = source()
    task = ImageTask(config({"kind": "fixed"}, validation=20))
    circuit = Circuit(Netlist.from_gates(30, [], list(range(30))), {}, task.encoder, GroupSum(10, 1.0))
    work = task.workload(circuit)
    assert work.item == "image"
    assert work.n_items >= 8192
    assert np.array_equal(np.unique(work.features, axis=0), np.unique(made.test[0].reshape(20, -1), axis=0))
    assert np.array_equal(work.answers, to_binary(circuit.predict(work.features), 10))


def test_score_reads_the_class_in_binary(source):
    source()
    task = ImageTask(config(validation=20))
    right = to_binary(np.argmax(task.test.target, axis=1).astype(np.int32), 10)
    assert task.score(right, task.test) == 1.0
    right[:5] = to_binary(np.full(5, 15, dtype=np.int32), 16)
    assert task.score(right, task.test) == 0.75


@pytest.mark.parametrize(
    ("parts", "changes", "said"),
    [
        ({}, {"encoder": {"crop": 6}}, r"task.encoder.crop=6, but the images are 5 pixels wide. Expected 1 to 5"),
        ({}, {"validation": 60}, "task.validation=60 leaves nothing to train on: there are 60 images"),
        ({}, {"encoder": {"threshold": 16}}, "task.encoder.threshold=16 makes every pixel false: they go from 0 to 16"),
        ({"train": (drawn()[0], drawn(59)[1])}, {}, "pixels of shape .60, 6, 5. and labels of shape .59,."),
        ({"test": drawn(20, rows=7)}, {}, r"test images of digits are \(7, 5\)"),
        ({"test": (drawn(20)[0], np.full(20, 10, dtype=np.uint8))}, {}, "test labels of digits go to 10. Expected 0 to 9"),
    ],
)
def test_data_and_settings_that_do_not_fit_are_refused(source, parts, changes, said):
    source(**parts)
    with pytest.raises(TaskError, match=said):
        ImageTask(config(**{"validation": 20, **changes}))


def test_a_folder_for_the_digits_is_refused():
    with pytest.raises(TaskError, match="digits come with scikit-learn"):
        ImageTask(config(data_dir="/somewhere"))


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "digits"])
def test_the_settings_files_are_sound(name):
    settings = {}
    for one in ("mnist", name):
        read = yaml.safe_load((ROOT / f"conf/task/{one}.yaml").read_text().replace("${seed}", "0"))
        settings = {**settings, **read, "encoder": {**settings.get("encoder", {}), **read["encoder"]}}
    settings.pop("defaults", None)
    assert TypeAdapter(TASKS[name].config).validate_python(settings).name == name


def digits_job(folder, *overrides):
    done = run_harness("method=dlgn", "task=digits", "timing=quick", f"runs_dir={folder}/r", *overrides, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.glob("r/*/record.json")
    return Record.read(path)


def test_the_digits_are_learned_compiled_and_timed(tmp_path):
    record = digits_job(tmp_path, "train.max_steps=600")
    assert record.training.hard_accuracy > 0.9
    assert record.training.validation_accuracy > 0.9
    assert abs(record.training.gap) < 0.05
    *rows, reference = record.rows
    assert reference.status == "skipped"
    for row in rows:
        assert (row.status, row.exact, row.compiled_accuracy) == ("ok", True, record.training.hard_accuracy)
        assert row.ns_per_item > 0
        assert row.end_to_end_ns_per_item > 0
    (folder,) = (path.parent for path in tmp_path.glob("r/*/record.json"))
    circuit, task = Circuit.load(folder / record.circuit_file), ImageTask(config())
    assert (circuit.predict(task.test.features) == np.argmax(task.test.target, axis=1)).mean() == record.training.hard_accuracy


def test_shuffled_labels_leave_the_network_at_chance(tmp_path):
    record = digits_job(tmp_path, "train.max_steps=300", "task.shuffle_labels=true", "backend.names=[numpy]", "timing=none")
    assert record.training.hard_accuracy < 0.2


def test_learned_thresholds_go_into_the_circuit(tmp_path):
    thresholds = ["task.encoder.kind=learned", "+method.thresholds.bits=2", "+method.thresholds.softness=0.1"]
    record = digits_job(tmp_path, "train.max_steps=600", *thresholds, "backend.names=[numpy,c]", "timing=none")
    assert record.training.hard_accuracy > 0.85
    assert [row.exact for row in record.rows] == [True, True]
    (folder,) = (path.parent for path in tmp_path.glob("r/*/record.json"))
    assert Circuit.load(folder / record.circuit_file).encoder.n_inputs == 128
