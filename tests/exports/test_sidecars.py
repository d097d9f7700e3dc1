"""Where sidecars go, and which files get none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flukeprint.errors import FlukeprintError
from flukeprint.exports import FORMATS
from flukeprint.exports.xmp_packet import EMPTY
from tests.exports.made import exporting, photo
from tests.exports.test_xmp import OTHERS, SALT, flat, tags

write = FORMATS["xmp"]


def test_sidecars_in_a_folder(tmp_path: Path) -> None:
    root, out = tmp_path / "photos", tmp_path / "out"
    (root / "trip").mkdir(parents=True)
    (root / "trip" / "2.JPG.xmp").write_text(OTHERS)
    (root / "trip" / "3.JPG.xmp").write_text("<broken")
    photos = (*exporting().photos, photo(8, 1, path="../x.jpg"), photo(9, 1, path="a.b/c.jpg"))
    notes = write(exporting(*photos, root=root, names={1: "Salt", 2: "P", 3: "N/A"}), out)
    found = {path.relative_to(out).as_posix(): path for path in out.rglob("*") if path.is_file()}
    assert sorted(found) == [
        *("a.b/c.jpg.xmp", "trip/1.JPG.xmp", "trip/2.JPG.xmp", "trip/7.JPG.xmp")
    ]
    assert found["trip/1.JPG.xmp"].read_text() == SALT
    assert tags(found["trip/2.JPG.xmp"].read_bytes())["dc"] == ["boat", "R&D", "<calf>", "Salt"]
    assert tags(found["trip/7.JPG.xmp"].read_bytes()) == flat("N-A")
    assert (root / "trip" / "2.JPG.xmp").read_text() == OTHERS
    assert notes == (
        f"4 sidecars written, 0 were so already: {out}",
        "2 files without an individual or tags of ours: no sidecar",
        f"left {root}/trip/3.JPG.xmp alone: it is not well-formed XML: "
        "unclosed token: line 1, column 0",
        "left out ../x.jpg: it lies outside the catalogue's folder",
    )
    again = write(exporting(*photos, root=root, names={1: "Salt", 2: "P", 3: "N/A"}), out)
    assert again[0].startswith("0 sidecars written, 4 were so already")


def test_sidecars_beside_the_photos(tmp_path: Path) -> None:
    for name in ("1.JPG", "1.png", "2.JPG", "3.JPG", "4.JPG"):
        (tmp_path / name).write_bytes(b"photo")
    (tmp_path / "2.xmp").write_text(SALT)
    os.symlink(tmp_path / "2.xmp", tmp_path / "4.xmp")
    photos = (
        photo(1, 1, path="1.JPG"),
        photo(2, path="2.JPG"),
        photo(3, 1, path="3.JPG"),
        photo(4, 1, path="4.JPG"),
        photo(5, 1, path="gone.JPG"),
        photo(6, 3, path="1.png"),
    )
    notes = write(
        exporting(*photos, root=tmp_path, in_place=True, sidecars="bare"), tmp_path / "unused"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("1.JPG", "1.png", "2.JPG", "2.xmp", "3.JPG", "3.xmp", "4.JPG", "4.xmp")
    ]
    assert (tmp_path / "2.xmp").read_bytes() == EMPTY
    assert (tmp_path / "3.xmp").read_text() == SALT
    assert all(path.read_bytes() == b"photo" for path in tmp_path.glob("*.JPG"))
    assert notes == (
        "2 sidecars written, 0 were so already: beside the photos",
        "left out 1.xmp: it would be the sidecar of 1.JPG and 1.png",
        "left out 4.JPG: 4.xmp is a link",
        "left out gone.JPG: it is not there any more",
    )


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FlukeprintError, match="say full or bare"):
        write(exporting(sidecars="other"), tmp_path)
    (tmp_path / "root").mkdir()
    with pytest.raises(FlukeprintError, match="photos lie there; name another folder"):
        write(exporting(root=tmp_path / "root"), tmp_path / "root")
