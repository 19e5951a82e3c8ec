"""Archives that are hostile or damaged: refused by name, never followed, never large in memory."""

import gzip
import io
import os
import struct
import subprocess
import sys
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from isal import igzip

from cxr14.data.archives import iterate_container, read_members
from cxr14.data.refusals import Report
from tests.data.hostile import add, add_zeros, hostile_tar, hostile_zip, write_zeros
from tests.data.pictures import some_pngs, write_archive

PNGS = some_pngs(3)
IMAGE = PNGS["00000001_000.png"]
NAMES = ["images_001.tar", "images_001.tar.gz", "images_001.zip"]


def write(path: Path, outside: Path) -> dict[str, str]:
    builder = hostile_zip if path.suffix == ".zip" else hostile_tar
    return builder(path, outside, IMAGE)


@pytest.mark.parametrize("name", NAMES)
def test_every_hostile_member_is_refused_by_name_and_the_images_are_taken(tmp_path, name):
    (tmp_path / "secret").write_bytes(b"secret")
    expected = write(tmp_path / name, tmp_path / "secret")
    report = Report()
    found = dict(iterate_container(tmp_path, name, report))
    assert found == {"images/good.png": IMAGE, "images/later.jpg": IMAGE}
    refused = {one.member: one.reason for one in report.refusals}
    assert refused.keys() == expected.keys()
    assert {one.container for one in report.refusals} == {name}
    assert [member for member, word in expected.items() if word not in refused[member]] == []


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_written_anywhere(tmp_path, name):
    """Every call that opens, makes, links or moves a file is watched, in the whole interpreter."""
    write(tmp_path / name, tmp_path / "secret")
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from cxr14.data.archives import iterate_container\n"
        "writes = ('os.mkdir', 'os.link', 'os.symlink', 'os.rename', 'os.chmod', 'os.mknod')\n"
        "def watch(event, args):\n"
        "    flags = args[2] if event == 'open' and isinstance(args[2], int) else 0\n"
        "    if event in writes or flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):\n"
        "        os.write(2, f'{event} {args}'.encode()); os._exit(9)\n"
        "sys.addaudithook(watch)\n"
        f"print(len(list(iterate_container(Path({str(tmp_path)!r}), {name!r}))))\n"
    )
    run = subprocess.run(
        [sys.executable, "-B", "-c", script], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": "src"}, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert (run.returncode, run.stdout, run.stderr) == (0, "2\n", "")
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", NAMES)
def test_a_refused_member_is_not_read_though_a_manifest_names_it(tmp_path, name):
    write(tmp_path / name, tmp_path / "secret")
    with pytest.raises((FileNotFoundError, ValueError), match=r"are gone|a link"):
        list(read_members(tmp_path, name, ["images/link.png"]))


def write_bomb(path: Path, member: str, size: int) -> None:
    """An archive of some kilobytes to megabytes with a member of `size` zeros."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.writestr("images/good.png", IMAGE)
            with archive.open(member, "w", force_zip64=True) as file:
                write_zeros(file, size)
        return
    with (
        igzip.open(path, "wb", compresslevel=0) as file,
        tarfile.open(fileobj=file, mode="w") as tar,
    ):
        add(tar, "images/good.png", IMAGE)
        add_zeros(tar, member, size)


def read_tracked(base: Path, name: str) -> tuple[dict[str, bytes], Report, int, str]:
    """Read a container; return images, report, the peak of memory in bytes, and the error."""
    report, images, error = Report(), {}, ""
    tracemalloc.start()
    try:
        for member, content in iterate_container(base, name, report):
            images[member] = content
    except ValueError as raised:
        error = str(raised)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return images, report, peak, error


def test_a_bomb_of_2_gb_in_a_zip_is_refused_by_name_and_takes_no_memory(tmp_path):
    write_bomb(tmp_path / "images_001.zip", "images/bomb.png", 2**31)
    images, report, peak, error = read_tracked(tmp_path, "images_001.zip")
    assert (list(images), error) == (["images/good.png"], "")
    assert [one.member for one in report.refusals] == ["images/bomb.png"]
    assert "2147483648 bytes" in report.refusals[0].reason
    assert peak < 2 * 2**20


@pytest.mark.parametrize("member", ["images/bomb.png", "bomb.txt"])
def test_a_bomb_of_2_gb_in_a_tar_gz_is_not_inflated_to_its_end(tmp_path, member):
    write_bomb(tmp_path / "images_001.tar.gz", member, 2**31)
    images, report, peak, error = read_tracked(tmp_path, "images_001.tar.gz")
    assert list(images) == ["images/good.png"]
    assert [one.member for one in report.refusals] == [member] * (member != "bomb.txt")
    assert "images_001.tar.gz: inflates to over" in error
    assert "2 members were read before" in error
    assert peak < 4 * 2**20


def test_images_that_each_pass_but_together_inflate_without_end_are_a_bomb(tmp_path):
    path = tmp_path / "images_001.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for number in range(5):
            with archive.open(f"images/{number}.png", "w") as file:
                write_zeros(file, 2**25)
    report = Report()
    images = iterate_container(tmp_path, path.name, report)
    assert [len(next(images)[1]) for _ in range(4)] == [2**25] * 4
    with pytest.raises(ValueError, match=r"images_001\.zip: inflates to over .* images/4\.png"):
        next(images)


def test_zeros_behind_the_end_of_a_tar_do_not_inflate_without_end(tmp_path):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        add(archive, "images/good.png", IMAGE)
    with igzip.open(tmp_path / "images_001.tar.gz", "wb", compresslevel=0) as file:
        file.write(buffer.getvalue())
        write_zeros(file, 2**29)
    with pytest.raises(ValueError, match="inflates to over"):
        list(iterate_container(tmp_path, "images_001.tar.gz"))


def test_a_zip_member_that_hides_its_size_is_cut_off_and_refused(tmp_path):
    """Its header says 5 bytes, its data inflate to 100 MB."""
    path = tmp_path / "images_001.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("images/liar.png", "w") as file:
            write_zeros(file, 10**8)
        archive.writestr("images/good.png", IMAGE)
    content = path.read_bytes()
    path.write_bytes(content.replace(struct.pack("<L", 10**8), struct.pack("<L", 5)))
    images, report, peak, error = read_tracked(tmp_path, path.name)
    assert (list(images), error) == (["images/good.png"], "")
    assert "images/liar.png" in report.refusals[0].member
    assert "damaged" in report.refusals[0].reason
    assert peak < 4 * 2**20


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
    reasons = {one.member: one.reason for one in report.refusals}
    assert reasons["images/c.png"] == "encrypted"
    assert "damaged (Bad CRC-32" in reasons["images/a.png"]
    with pytest.raises(ValueError, match=r"images_001\.zip/images/a\.png: damaged"):
        list(read_members(tmp_path, path.name, ["images/a.png"]))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_member_that_cannot_be_inflated_in_steps_is_refused(tmp_path, method):
    with zipfile.ZipFile(tmp_path / "images_001.zip", "w", method) as archive:
        archive.writestr("images/a.png", IMAGE)
    report = Report()
    assert list(iterate_container(tmp_path, "images_001.zip", report)) == []
    assert report.refusals[0].reason == "neither stored nor deflated"


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
    assert [one.member for one in report.refusals] == ["images/huge.png"]


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_that_claims_gigabytes_takes_no_memory(tmp_path, kind):
    """tarfile reads an extended header into memory at once, whatever its size."""
    with tarfile.open(tmp_path / "images_001.tar.gz", "w:gz", compresslevel=1) as archive:
        add_zeros_of(archive, kind, 2**28)
        add(archive, "images/good.png", IMAGE)
    _, _, peak, error = read_tracked(tmp_path, "images_001.tar.gz")
    assert "a header of 268435456 bytes" in error
    assert peak < 4 * 2**20


def add_zeros_of(archive: tarfile.TarFile, kind: bytes, size: int) -> None:
    header = tarfile.TarInfo("header")
    header.type, header.size = kind, size
    archive.fileobj.write(header.tobuf(tarfile.GNU_FORMAT))
    write_zeros(archive.fileobj, size)
    archive.offset += 512 + size


def test_headers_of_headers_without_end_are_no_crash(tmp_path):
    with tarfile.open(tmp_path / "images_001.tar", "w") as archive:
        for _ in range(3000):
            add_zeros_of(archive, tarfile.GNUTYPE_LONGNAME, 512)
    with pytest.raises(ValueError, match=r"not a whole archive .*recursion"):
        list(iterate_container(tmp_path, "images_001.tar"))


@pytest.mark.timeout(60)
def test_a_member_of_negative_size_is_no_endless_loop(tmp_path):
    """Python's own tarfile went round and round on it until 2025 (CVE-2025-8194)."""
    back = tarfile.TarInfo("images/back.txt")
    back.size = -1024
    header = back.tobuf(tarfile.GNU_FORMAT)
    (tmp_path / "images_001.tar").write_bytes(bytes(header) + bytes(1024))
    with pytest.raises(ValueError, match="not a whole archive"):
        list(iterate_container(tmp_path, "images_001.tar"))


def test_many_members_take_no_memory(tmp_path):
    """tarfile keeps the header of every member that it has met."""
    with tarfile.open(tmp_path / "images_001.tar", "w") as archive:
        for number in range(20_000):
            add(archive, f"notes/{number}.txt")
            archive.members = []
    _, _, peak, error = read_tracked(tmp_path, "images_001.tar")
    assert error == ""
    assert peak < 2 * 2**20


def test_a_member_that_breaks_off_is_not_handed_out_short(tmp_path):
    write_archive(tmp_path / "images_001.tar", PNGS)
    content = (tmp_path / "images_001.tar").read_bytes()
    (tmp_path / "images_001.tar").write_bytes(content[: content.index(IMAGE) + 100])
    with pytest.raises(ValueError, match=r"it breaks off within images/00000001_000\.png"):
        list(read_members(tmp_path, "images_001.tar", ["images/00000001_000.png"]))


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
    with pytest.raises(ValueError, match=r"CRC check failed .*after 3 members"):
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
