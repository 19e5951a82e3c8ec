"""Check all blocks of params.yaml and chexnext/params.yaml, and their consistency.

The check runs first: a wrong key of a late stage fails before a download or a training.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory

from cxr14.config.blocks import (
    DataParams,
    Recipe,
    check_tta,
    classes_of,
    read_data,
    read_evaluate,
    read_loss,
    read_model,
    read_numerics,
    read_preprocess,
    read_split,
    read_train,
)
from cxr14.config.chexnext import FILE as CHEXNEXT
from cxr14.config.chexnext import (
    read_chexnext_loss,
    read_members,
    read_noise,
    read_overrides,
    read_recipe,
    read_relabel,
    read_select,
    read_students,
)
from cxr14.config.external import ExternalSet, read_external, with_keys_of_set
from cxr14.config.localize import check_method, read_localize
from cxr14.config.mapping import labelled, mapping_path, read_mapping
from cxr14.config.reader import read_yaml
from cxr14.errors import UserError, quote
from cxr14.io import project_root
from cxr14.labels import STUDIED, without_no_finding

FILE = "params.yaml"
Readers = dict[str, Callable[[], object]]

BLOCKS: Readers = {
    "numerics": read_numerics,
    "data": read_data,
    "split": read_split,
    "preprocess": read_preprocess,
    "model": read_model,
    "loss": read_loss,
    "train": read_train,
    "evaluate": read_evaluate,
    "localize": read_localize,
    "external": read_external,
}
CHEXNEXT_BLOCKS: Readers = {
    "noise": read_noise,
    "loss": read_chexnext_loss,
    "train": read_overrides,
    "members": read_members,
    "select": read_select,
    "relabel": read_relabel,
    "students": read_students,
}


def check_params(root: Path | None = None) -> None:
    """Check both files; chexnext/params.yaml only if it is there.

    Args:
        root: of the repository, where paths in the files start; see io.project_root.

    Raises:
        UserError: lists all problems within blocks; if there are none, those between blocks.
    """
    problems = [*_problems(FILE, BLOCKS)]
    if Path(CHEXNEXT).exists():
        problems += _problems(CHEXNEXT, CHEXNEXT_BLOCKS)
    _fail(problems)
    problems = [*_pipeline(root or project_root())]
    if Path(CHEXNEXT).exists():
        problems += _chexnext()
    _fail(problems)


def check_contents(contents: Mapping[str, str]) -> None:
    """Check contents of params files that are not yet written, by path; see :func:`check_params`.

    Paths within them count from the root of the repository, as in the files.
    """
    root = project_root()
    with TemporaryDirectory() as folder, chdir(folder):
        for file, text in contents.items():
            Path(file).parent.mkdir(exist_ok=True)
            Path(file).write_text(text, "utf-8")
        check_params(root)


def check_chexnext() -> None:
    """Check chexnext/params.yaml against params.yaml.

    Not called by :func:`check_params`, as the first pipeline runs without it.

    Raises:
        UserError: a member or student has no initial weights, or a larger input than the cache.
    """
    listed = read_train().backbones
    problems = []
    for group, networks in (("members", read_members()), ("students", read_students())):
        for name in networks.backbones:
            recipe = read_recipe(name, 0)
            if name not in listed:
                problems.append(
                    f"{CHEXNEXT}: {group}.backbones: {name} is not in train.backbones of {FILE} "
                    f"({', '.join(listed)}), whose initial weights it needs"
                )
            problems += _size(CHEXNEXT, f"train.input_size of {name}", recipe)
            problems += _layers(CHEXNEXT, name, recipe)
    _fail(list(dict.fromkeys(problems)))


def _fail(problems: list[str]) -> None:
    if problems:
        raise UserError("; ".join(problems))


def _problems(file: str, readers: Readers) -> Iterator[str]:
    """Yield the problems within the blocks of a file."""
    unknown = sorted(set(read_yaml(file)) - set(readers))
    if unknown:
        named = ", ".join(map(quote, unknown[:5]))
        yield f"{file}: unknown block {named}; allowed: {', '.join(readers)}"
    for read in readers.values():
        try:
            read()
        except UserError as error:
            yield str(error)


def _pipeline(root: Path) -> Iterator[str]:
    """Yield the inconsistencies of params.yaml."""
    params, weights = read_train(), read_model().weights
    used = params.backbones
    # Overrides of backbones that are not trained now are checked too.
    all_recipes = params.model_copy(
        update={"backbones": list(dict.fromkeys([*used, *params.overrides]))}
    )
    yield from _unknown(used, "train.backbones")
    yield from _unknown([name for name in params.overrides if name not in used], "train.overrides")
    for name in all_recipes.backbones:
        try:
            recipe = all_recipes.for_backbone(name)
        except UserError as error:
            yield str(error)
            continue
        if name in used:
            yield from _size(FILE, f"train.input_size of {name}", recipe)
            yield from _layers(FILE, name, recipe)
            yield from _views(name, recipe)
    yield from _weights(weights, used, root)
    data = read_data()
    yield from _source(data, root)
    for name, external in read_external().sets.items():
        yield from _external(name, external, data, root)
    localize = read_localize()
    try:
        check_method(localize.method, localize.layer, read_model().pooling)
    except UserError as error:
        yield f"{FILE}: {error}"


def _source(data: DataParams, root: Path) -> Iterator[str]:
    """Yield errors about the keys that the source needs."""
    if data.source == "folder" and data.folder is None:
        yield f"{FILE}: data.source is folder, but data.folder names none; set data.folder"
    if data.source != "csv" or data.mapping is None:
        return
    try:
        mapping = read_mapping(mapping_path(data.mapping, root))
    except UserError as error:
        yield str(error)
        return
    known = labelled(mapping)
    absent = [name for name in classes_of(data.findings) if name not in known]
    if absent:
        yield (
            f"{FILE}: data.findings names {', '.join(absent)}, which the mapping {data.mapping} "
            f"does not label; set data.findings to [{', '.join(known)}] or some of these"
        )


def _external(name: str, external: ExternalSet, data: DataParams, root: Path) -> Iterator[str]:
    """Yield an error if an external set is the training set, or shares no finding with it."""

    def inputs(params: DataParams | ExternalSet) -> list[str]:
        paths = [params.folder, params.table if params.source == "csv" else None]
        return [os.path.realpath(root / path) for path in paths if path is not None]

    key = f"{FILE}: external.{name}"
    if external.source == data.source and inputs(external) == inputs(data):
        yield (
            f"{key} is the training set ({data.folder}); name another folder or table, as scores "
            f"on training images do not measure generalization"
        )
    if external.mapping is None:
        return
    try:
        mapping = read_mapping(mapping_path(external.mapping, root))
    except UserError as error:
        text = with_keys_of_set(str(error), name)
        yield text if text.startswith(FILE) else f"{key}.mapping: {text}"
        return
    if not without_no_finding(set(mapping.findings) & set(classes_of(data.findings))):
        yield (
            f"{key}: the mapping {external.mapping} labels {', '.join(mapping.findings)}, and none "
            f"of these findings is in data.findings; correct one of them, or remove the set"
        )


def _chexnext() -> Iterator[str]:
    """Yield the inconsistencies of chexnext/params.yaml."""
    for group, networks in (("members", read_members()), ("students", read_students())):
        yield from _unknown(networks.backbones, f"{CHEXNEXT}: {group}.backbones")
    for name in read_overrides():
        yield from _unknown([name], f"{CHEXNEXT}: train.overrides")
        try:
            read_recipe(name, 0)
        except UserError as error:
            yield str(error)


def _unknown(names: Iterable[str], key: str) -> Iterator[str]:
    """Yield an error per name that torchvision lacks; torch is imported only if needed."""
    for name in names:
        if name not in STUDIED:
            from cxr14.models.backbones import check_backbone

            try:
                check_backbone(name, key)
            except UserError as error:
                yield str(error)


def _size(file: str, key: str, recipe: Recipe) -> Iterator[str]:
    """Yield an error if the input size exceeds that of the cache."""
    cached = read_preprocess().size
    if recipe.input_size > cached:
        yield (
            f"{file}: {key} is {recipe.input_size}, but preprocess.size is {cached}; raise "
            f"preprocess.size or lower train.input_size"
        )


def _layers(file: str, name: str, recipe: Recipe) -> Iterator[str]:
    """Yield an error if the backbone has fewer layers than are frozen; imports torch if needed."""
    if isinstance(recipe.freeze, int):
        from cxr14.models.backbones import build_features
        from cxr14.models.network import first_layers

        try:
            first_layers(build_features(name)[0], name, recipe.freeze)
        except UserError as error:
            yield f"{file}: {error}"


def _views(name: str, recipe: Recipe) -> Iterator[str]:
    """Yield an error if test-time augmentation is on and the recipe allows no other view."""
    if read_evaluate().tta:
        try:
            check_tta(name, recipe.augment)
        except UserError as error:
            yield f"{FILE}: {error}"


WEIGHT_FILES = (".safetensors", ".pth", ".pt")
"""Endings of files of initial weights."""


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long, a folder that may not be entered
        return False


def _weights(weights: str, backbones: list[str], root: Path) -> Iterator[str]:
    """Yield errors about initial weights that do not exist."""
    if weights == "imagenet":
        unusual = [name for name in backbones if name not in STUDIED]
        for name in unusual:
            from cxr14.models.pretrained import published_url

            try:
                published_url(name)
            except UserError as error:
                yield str(error)
    elif weights != "none":
        file = root / weights
        if file.suffix in WEIGHT_FILES and _is_file(file):
            return
        from cxr14.models.published import PUBLISHED, check_published

        if weights not in PUBLISHED:
            yield (
                f"{FILE}: model.weights = {quote(weights)}: no such file or name; allowed: "
                f"none, imagenet, the path of a {', '.join(WEIGHT_FILES)} file, or "
                f"{', '.join(PUBLISHED)}"
            )
            return
        for name in backbones:
            try:
                check_published(weights, name)
            except UserError as error:
                yield str(error)
