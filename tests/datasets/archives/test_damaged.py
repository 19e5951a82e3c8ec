"""Archives that are not whole: one sentence, and never a shorter list of images."""

import gzip
import tarfile
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cxr14.datasets.archive_kinds import Report
from cxr14.datasets.image_sources import iterate_container, read_members
from tests.datasets.archives.hostile import add, read_tracked
from tests.datasets.pictures import some_pngs, write_archive

PNGS = some_pngs(3)
IMAGE = PNGS["00000001_000.png"]
NAMES = ["images_001.tar", "images_001.tar.gz", "images_001.zip"]


@pytest.mark.parametrize("name", NAMES[:2])
def test_an_archive_that_ends_between_two_members_is_not_taken_for_a_whole_one(tmp_path, name):
    """tarfile ends without a word there, and two images of three would be lost."""
    write_archive(tmp_path / name, PNGS)
    whole = (tmp_path / name).read_bytes()
    tar = gzip.decompress(whole) if name.endswith(".gz") else whole
    short = tar[: tar.index(b"images/00000002_000.png")]
    (tmp_path / name).write_bytes(gzip.compress(short) if name.endswith(".gz") else short)
    with pytest.raises(ValueError, match="breaks off between two members, after 1 members"):
        list(iterate_container(tmp_path, name))


def test_a_damaged_header_between_two_members_is_not_taken_for_the_end(tmp_path):
    write_archive(tmp_path / "images_001.tar", PNGS)
    content = bytearray((tmp_path / "images_001.tar").read_bytes())
    content[content.index(b"images/00000002_000.png")] ^= 1
    (tmp_path / "images_001.tar").write_bytes(content)
    with pytest.raises(ValueError, match=r"a damaged header before byte \d+, after 1 members"):
        list(iterate_container(tmp_path, "images_001.tar"))


def test_a_wrong_checksum_at_the_end_of_a_tar_gz_is_noticed(tmp_path):
    write_archive(tmp_path / "images_001.tar.gz", PNGS)
    content = bytearray((tmp_path / "images_001.tar.gz").read_bytes())
    content[-6] ^= 1
    (tmp_path / "images_001.tar.gz").write_bytes(content)
    with pytest.raises(ValueError, match=r"Incorrect checksum .*after 3 members"):
        list(iterate_container(tmp_path, "images_001.tar.gz"))


@pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
@pytest.mark.parametrize("name", NAMES)
def test_a_truncated_archive_is_named_with_the_remedy(tmp_path, name, share):
    write_archive(tmp_path / name, PNGS)
    content = (tmp_path / name).read_bytes()
    end = content.rindex(b"IEND") if name == "images_001.tar" else len(content)  # then zeros
    (tmp_path / name).write_bytes(content[: int(end * share)])
    with pytest.raises(ValueError, match=rf"{name}: not a whole archive .*fetch it again"):
        list(iterate_container(tmp_path, name))


def test_a_member_that_breaks_off_is_not_handed_out_short(tmp_path):
    write_archive(tmp_path / "images_001.tar", PNGS)
    content = (tmp_path / "images_001.tar").read_bytes()
    (tmp_path / "images_001.tar").write_bytes(content[: content.index(IMAGE) + 100])
    with pytest.raises(ValueError, match=r"it breaks off within images/00000001_000\.png"):
        list(read_members(tmp_path, "images_001.tar", ["images/00000001_000.png"]))


def test_a_member_that_claims_more_than_the_archive_holds_is_named(tmp_path):
    path = tmp_path / "images_001.tar"
    with tarfile.open(path, "w") as archive:
        add(archive, "images/good.png", IMAGE)
        huge = tarfile.TarInfo("images/huge.png")
        huge.size = 2**62
        archive.fileobj.write(huge.tobuf(tarfile.GNU_FORMAT))
        archive.offset += 512
    report = Report()
    with pytest.raises(ValueError, match=r"it breaks off within a member, after 2 members"):
        list(iterate_container(tmp_path, path.name, report))
    assert [one.name for one in report.issues] == ["images/huge.png"]


@pytest.mark.timeout(60)
def test_a_member_of_negative_size_is_no_endless_loop(tmp_path):
    """Python's own tarfile went round and round on it until 2025 (CVE-2025-8194)."""
    back = tarfile.TarInfo("images/back.txt")
    back.size = -1024
    header = back.tobuf(tarfile.GNU_FORMAT)
    (tmp_path / "images_001.tar").write_bytes(bytes(header) + bytes(1024))
    with pytest.raises(ValueError, match="not a whole archive"):
        list(iterate_container(tmp_path, "images_001.tar"))


def test_an_encrypted_or_damaged_zip_member_is_refused_by_name(tmp_path):
    path = tmp_path / "images_001.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("a", "b", "c"):
            archive.writestr(f"images/{name}.png", IMAGE)
    content = bytearray(path.read_bytes())
    content[content.rindex(b"PK\x01\x02") + 8] |= 1  # of c: encrypted
    content[content.index(IMAGE) + 50] ^= 1  # of a: its checksum is wrong
    path.write_bytes(content)
    report = Report()
    assert dict(iterate_container(tmp_path, path.name, report)) == {"images/b.png": IMAGE}
    reasons = {one.name: one.detail for one in report.issues}
    assert reasons["images/c.png"].startswith("encrypted")
    assert "Bad CRC-32" in reasons["images/a.png"]
    with pytest.raises(ValueError, match=r"images_001\.zip/images/a\.png: damaged"):
        list(read_members(tmp_path, path.name, ["images/a.png"]))


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_bytes_that_were_changed_end_in_images_or_in_one_sentence(tmp_path, name, data):
    """Whatever stands in an archive, no other error, and no image that is not reported or taken."""
    write_archive(tmp_path / name, PNGS)
    content = bytearray((tmp_path / name).read_bytes())
    places = st.integers(0, len(content) - 1)
    if name == "images_001.tar":  # most of a tar is pixels and zeros: aim at the headers
        headers = [content.index(image.encode()) for image in PNGS]
        places = st.builds(
            lambda at, by: at - 7 + by, st.sampled_from(headers), st.integers(0, 511)
        )
    for place, value in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=4)):
        content[place] = value
    if data.draw(st.booleans()) and name == "images_001.tar":
        content = with_sound_checksums(content)
    (tmp_path / name).write_bytes(content)
    images, _, peak, error = read_tracked(tmp_path, name)
    assert len(images) <= len(PNGS)
    assert error == "" or name in error
    assert "\n" not in error
    assert peak < 70 * 2**20


def with_sound_checksums(content: bytearray) -> bytearray:
    """Mend the checksums of headers that were changed, so that tarfile believes them."""
    for image in PNGS:
        at = content.find(image.encode()) - 7
        if at >= 0:
            block = content[at : at + 148] + b" " * 8 + content[at + 156 : at + 512]
            content[at + 148 : at + 156] = b"%06o\0 " % sum(block)
    return content
