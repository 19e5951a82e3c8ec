"""The pass over all images: the same for any number of workers, and for any kind of container."""

import hashlib
import tarfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cxr14.datasets import manifest
from cxr14.datasets.archive_kinds import name_fault
from cxr14.datasets.image_sources import describe, find_containers
from cxr14.datasets.manifest import hash_all, list_images
from tests.datasets.archives.hostile import add
from tests.datasets.pictures import some_pngs, write_archive, write_loose

PNGS = some_pngs(9)
NAMES = list(PNGS)
KINDS = ("images_001.tar", "images_001.tar.gz", "images_001.zip", "")


def pick(*numbers: int) -> dict[str, bytes]:
    return {NAMES[number]: PNGS[NAMES[number]] for number in numbers}


@pytest.fixture
def base(tmp_path):
    """A folder with every kind of container, refusals in two of them."""
    write_archive(tmp_path / "images_002.tar.gz", pick(3, 1))
    write_archive(tmp_path / "images_001.zip", pick(0, 2))
    with tarfile.open(tmp_path / "images_003.tar", "w") as archive:
        add(archive, "._x.png")
        add(archive, f"images/{NAMES[4]}", PNGS[NAMES[4]])
    write_loose(tmp_path / "images", pick(5, 6, 7, 8))
    (tmp_path / "images" / "._x.png").write_bytes(b"macOS")
    return tmp_path


def test_the_result_is_the_same_with_one_process_and_with_three(base, monkeypatch):
    alone = hash_all(base, find_containers(base), 1)
    monkeypatch.setattr(manifest, "CHUNK_BYTES", 300)  # each loose image is a job of its own
    assert len(list(manifest._jobs(base, [""], manifest.Report()))) == 4
    assert hash_all(base, find_containers(base), 3) == alone
    rows, issues = alone
    assert [row["image"] for row in rows] == [NAMES[n] for n in (0, 2, 3, 1, 4, 5, 6, 7, 8)]
    assert [row["sha256"] for row in rows] == [
        hashlib.sha256(PNGS[str(row["image"])]).hexdigest() for row in rows
    ]
    assert {(one.file, one.name) for one in issues} == {
        ("images_003.tar", "._x.png"),
        ("", "images/._x.png"),
    }


@pytest.mark.parametrize("workers", [1, 2])
def test_all_broken_archives_are_named_at_once(base, workers):
    """Fetching 3.5 GB again, only to hear of the next broken archive, takes an evening."""
    for name in ("images_001.zip", "images_002.tar.gz"):
        (base / name).write_bytes((base / name).read_bytes()[:300])
    with pytest.raises(
        ValueError, match=r"images_001\.zip: not .*; and .*images_002\.tar\.gz: not"
    ):
        hash_all(base, find_containers(base), workers)


@pytest.mark.parametrize("kind", KINDS)
def test_progress_ends_at_the_size_of_the_container(tmp_path, kind):
    if kind:
        write_archive(tmp_path / kind, PNGS)
    else:
        write_loose(tmp_path, PNGS)
    job = next(manifest._jobs(tmp_path, [kind], manifest.Report()))
    told = []
    manifest.hash_job(job, told.append)
    assert job.size * (0.7 if kind.endswith(".zip") else 1) <= sum(told) <= job.size


stems = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=20)
pictures = st.dictionaries(
    stems,
    st.tuples(st.sampled_from([".png", ".PNG", ".jpg", ".JPEG"]), st.binary(max_size=600)),
    min_size=1,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pictures=pictures)
def test_any_images_give_one_manifest_in_every_kind_of_container(tmp_path_factory, pictures):
    """Apart from container and member; names that cannot be taken are refused in all of them."""
    named = {f"{stem}{suffix}": content for stem, (suffix, content) in pictures.items()}
    sound = {name: content for name, content in named.items() if not name_fault(f"images/{name}")}
    expected = sorted((describe("", name, content) for name, content in sound.items()), key=str)
    for kind in KINDS:
        base = tmp_path_factory.mktemp("base")
        if kind:
            write_archive(base / kind, named)
        else:
            write_loose(base / "images", named)
        rows, issues = hash_all(base, find_containers(base), 1)
        assert len(rows) + len(issues) == len(named)
        found = [
            row | {"container": "", "member": str(row["member"]).removeprefix("images/")}
            for row in rows
        ]
        assert sorted(found, key=str) == expected


def test_real_images_in_an_archive_have_the_hashes_of_the_files(nih, tmp_path):
    paths = sorted((nih / "images").glob("*.png"))[:20]
    with tarfile.open(tmp_path / "images_001.tar.gz", "w:gz", compresslevel=1) as archive:
        for path in paths:
            archive.add(path, f"images/{path.name}")
    manifest = list_images(tmp_path).manifest
    assert manifest.sha256.tolist() == [hashlib.sha256(p.read_bytes()).hexdigest() for p in paths]
