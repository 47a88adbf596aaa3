"""What a folder of labelled pictures holds: which format, its training sets and its validation sets.

COCO                  train.json, val*.json beside images/; annotations/instances_train*.json (or lvis*_train.json)
                      and the like for val; train/_annotations.coco.json and valid/_annotations.coco.json;
                      or one file for all: _annotations.coco.json, annotations/instances_default.json, result.json
YOLO                  data.yaml (data.yml, dataset.yaml, dataset.yml), which names the folders
Pascal VOC            Annotations/*.xml with ImageSets/Main/train.txt (or trainval.txt) and val*.txt; train/*.xml and
                      valid/*.xml; or *.xml, for all
CSV                   train.csv and val*.csv; train/_annotations.csv and valid/_annotations.csv;
                      or one file for all: annotations.csv, _annotations.csv
streamdet JSON lines  *.jsonl beside images/; those that begin with val are for validation
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from streamdet.errors import DataError
from streamdet.training.dataset import Dataset
from streamdet.training.formats.classes import in_order, with_classes
from streamdet.training.formats.coco import read_coco
from streamdet.training.formats.csv_rows import read_csv
from streamdet.training.formats.detections import read_detections
from streamdet.training.formats.voc import read_voc
from streamdet.training.formats.wording import listed
from streamdet.training.formats.yolo import read_yolo
from streamdet.training.problems import Complain, Problem, raise_errors

COCO, YOLO, VOC, CSV, JSONL = "COCO", "YOLO", "Pascal VOC", "CSV", "streamdet JSON lines"

_YAML_NAMES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
_LOOKED_FOR = (
    "COCO (train.json), YOLO (data.yaml), Pascal VOC (Annotations/*.xml), CSV (train.csv) "
    "and streamdet's own (*.jsonl with images/)"
)


@dataclass(frozen=True)
class FoundSets:
    """The data sets of a folder."""

    training: tuple[Dataset, ...]
    validation: tuple[Dataset, ...]
    format: str
    """COCO, YOLO, Pascal VOC, CSV or streamdet JSON lines."""


@dataclass(frozen=True)
class _Files:
    """What a format has in a folder."""

    format: str
    training: tuple[Path, ...]
    validation: tuple[Path, ...]

    @property
    def first(self) -> Path:
        return (self.training + self.validation)[0]


def find_sets(folder: Path, *, complain: Complain = raise_errors) -> FoundSets:
    """The data sets of a folder, or of one label file: all of it is for training, except what a data.yaml says.

    The sets have one list of classes where they name the same classes.

    Raises:
        DataError: no labels were found, or those of two formats, or a file can't be read at all.
    """
    if not folder.is_dir():
        return _read(_only(folder), complain)
    found = [files for look in (_coco, _yolo, _voc, _csv, _jsonl) if (files := look(folder))]
    if not found:
        raise DataError(f"no labels found in {folder}; looked for {_LOOKED_FOR}")
    if len(found) > 1:
        names = " and ".join(f"{files.format} ({files.first.relative_to(folder)})" for files in found)
        raise DataError(
            f"{folder} holds labels in several formats, {names}; "
            f"give the file or folder of one itself, such as {found[0].first}, or move the others away"
        )
    return _read(found[0], complain)


def _only(path: Path) -> _Files:
    """One label file. Raises DataError."""
    if not path.is_file():
        raise DataError(f"{path} is not there; give a folder with labels, or a label file")
    formats = {".json": COCO, ".yaml": YOLO, ".yml": YOLO, ".xml": VOC, ".csv": CSV, ".jsonl": JSONL}
    kind = VOC if path.suffix == ".txt" and path.parent.name == "Main" else formats.get(path.suffix.lower())
    if kind is None:
        raise DataError(f"{path} is no label file by its name; give one that ends in {listed(formats)}")
    return _Files(kind, (path,), (path,) if kind == YOLO else ())


def _read(files: _Files, complain: Complain) -> FoundSets:
    def all_of(read: Callable[[Path], Sequence[Dataset]], paths: Sequence[Path]) -> tuple[Dataset, ...]:
        return tuple(dataset for path in paths for dataset in read(path))

    if files.format == YOLO:
        training = all_of(lambda path: read_yolo(path, "train", complain=complain), files.training)
        validation = all_of(lambda path: read_yolo(path, "val", complain=complain), files.validation)
        if not training + validation:
            sentence = "it gives no pictures; name folders of pictures under train and val"
            complain(Problem(files.first, None, "no pictures", sentence))
        return FoundSets(training, validation, files.format)

    def read(path: Path) -> Sequence[Dataset]:
        if files.format == COCO:
            dataset = read_coco(path, need_pictures=True, complain=complain)
        elif files.format == VOC:
            dataset = read_voc(path, complain=complain)
        elif files.format == CSV:
            dataset = read_csv(path, complain=complain)
        else:
            dataset = read_detections(path, complain=complain)
        if not dataset.images and files.format != JSONL:  # that reader says what to do
            complain(Problem(path, None, "no pictures", "it labels no picture that can be used"))
        # Roboflow calls the files of all its sets the same
        return [replace(dataset, name=path.parent.name) if path.name.startswith("_annotations") else dataset]

    training, validation = all_of(read, files.training), all_of(read, files.validation)
    if files.format in (VOC, CSV):  # the classes of one set may be missing among the labels of the other
        names = {name: None for dataset in training + validation for name in dataset.class_names}
        agreed = len({dataset.class_names for dataset in training + validation}) <= 1
        class_names = tuple(names) if agreed else in_order(names)
        training = tuple(with_classes(dataset, class_names) for dataset in training)
        validation = tuple(with_classes(dataset, class_names) for dataset in validation)
    elif training:
        for path, dataset in zip(files.training + files.validation, training + validation, strict=True):
            _compare_classes(path, dataset, training[0], complain)
        training = tuple(in_order_of(dataset, training[0].class_names) for dataset in training)
        validation = tuple(in_order_of(dataset, training[0].class_names) for dataset in validation)
    return FoundSets(training, validation, files.format)


def in_order_of(dataset: Dataset, class_names: tuple[str, ...]) -> Dataset:
    """The same with its classes in this order, if they are the same classes."""
    return with_classes(dataset, class_names) if set(dataset.class_names) == set(class_names) else dataset


def _compare_classes(path: Path, dataset: Dataset, first: Dataset, complain: Complain) -> None:
    """Complain about the classes of a set that training on the first one doesn't teach."""
    unknown = [name for name in dataset.class_names if name not in first.class_names]
    if unknown:
        sentence = (
            f"its classes {listed(unknown)} are not among those of {first.name} ({listed(first.class_names)}), "
            "so that no model can learn and find them"
        )
        complain(Problem(path, None, "classes differ", sentence, is_error=False))


def _glob(folder: Path, *patterns: str) -> tuple[Path, ...]:
    paths = (path for pattern in patterns for path in sorted(folder.glob(pattern)))
    return tuple(path for path in paths if path.is_file() and not path.name.startswith("."))


def _files(kind: str, training: tuple[Path, ...], validation: tuple[Path, ...]) -> _Files | None:
    return _Files(kind, training, validation) if training or validation else None


def _coco(folder: Path) -> _Files | None:
    return _files(
        COCO,
        _glob(folder, "train.json", "annotations/instances_train*.json", "annotations/lvis*_train.json")
        + _glob(folder, "train/_annotations.coco.json"),
        _glob(folder, "val*.json", "annotations/instances_val*.json", "annotations/lvis*_val.json")
        + _glob(folder, "val*/_annotations.coco.json"),
    ) or _files(
        COCO, _glob(folder, "_annotations.coco.json", "annotations/instances_default.json", "result.json")[:1], ()
    )


def _yolo(folder: Path) -> _Files | None:
    paths = _glob(folder, *_YAML_NAMES)[:1]
    return _files(YOLO, paths, paths)


def _voc(folder: Path) -> _Files | None:
    lists = _glob(folder, "ImageSets/Main/train.txt") or _glob(folder, "ImageSets/Main/trainval.txt")
    validation = _glob(folder, "ImageSets/Main/val.txt", "ImageSets/Main/val_*.txt")
    if lists or validation:
        return _files(VOC, lists, () if lists and lists[0].stem == "trainval" else validation)
    folders = [folder / "Annotations", folder / "train", folder]
    training = next((place for place in folders if any(place.glob("*.xml"))), None)
    if training is None:
        return None
    validation = tuple(place for place in (folder / "valid", folder / "val") if any(place.glob("*.xml")))
    return _files(VOC, (training,), validation[:1] if training.name == "train" else ())


def _csv(folder: Path) -> _Files | None:
    return _files(
        CSV,
        _glob(folder, "train.csv", "train/_annotations.csv"),
        _glob(folder, "val*.csv", "val*/_annotations.csv"),
    ) or _files(CSV, _glob(folder, "annotations.csv", "_annotations.csv")[:1], ())


def _jsonl(folder: Path) -> _Files | None:
    if not (folder / "images").is_dir():
        return None
    paths = _glob(folder, "*.jsonl")
    validation = tuple(path for path in paths if path.name.startswith("val"))
    return _files(JSONL, tuple(path for path in paths if path not in validation), validation)
