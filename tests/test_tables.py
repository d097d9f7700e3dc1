"""Every layout reads as the same table; every fault is one clear error."""

from __future__ import annotations

import os
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flukeprint.cells import guard, unguard
from flukeprint.errors import FlukeprintError
from flukeprint.records import LabelledPhoto, Table
from flukeprint.tables import fingerprint, read_table
from tests.tiny import SMALL

LABELS = {(name, label) for name, label, _ in SMALL}


def pairs(table: Table) -> set[tuple[str, str]]:
    return {(row.path.name, row.individual) for row in table.rows}


def test_a_kaggle_folder(kaggle: Path) -> None:
    table = read_table(kaggle)
    assert pairs(table) == LABELS
    assert table.rows[0] == LabelledPhoto("1.jpg", kaggle / "train" / "1.jpg", "w_a")
    assert table.individuals == ("w_a", "w_b", "w_c")
    assert table.notes == ()


def test_a_zipped_kaggle_folder_is_unpacked_once(kaggle_zipped: Path) -> None:
    first, second = read_table(kaggle_zipped), read_table(kaggle_zipped)
    assert pairs(first) == LABELS
    assert first == second
    assert all(row.path.is_file() for row in first.rows)
    assert len(list((kaggle_zipped.parent / "scratch").iterdir())) == 1


def test_a_folder_per_whale(folders: Path) -> None:
    table = read_table(folders)
    assert pairs(table) == LABELS
    assert table.rows[0].name == "new_whale/5.jpg"


def test_folders_in_whales_folders_and_photos_in_none(tmp_path: Path) -> None:
    photos = ("2024/Vega/a.jpg", "2024/Moby/b.jpg", "2025/Vega/c.jpg", "Nott/d.jpg", "e.JPG")
    write(tmp_path, "", *photos, ".f.jpg", "not_flukes/g/h.jpg")
    table = read_table(tmp_path)
    assert table.individuals == ("2024", "2025", "Nott")
    assert table.notes == (
        "2 whales' folders hold further folders: photos in '2024/Moby' count as of whale '2024'; "
        "if 'Moby' is the whale, give each folder such as '2024' by itself",
        "left out 1 photo in no whale's folder, such as 'e.JPG'",
    )
    assert read_table(tmp_path / "2024").notes == ()


def test_files_without_an_ending_and_folders_without_a_photo_are_told(tmp_path: Path) -> None:
    """A whale whose photos all lost their names' endings would be gone without a word."""
    write(tmp_path, "", "Moby/a.jpg", "Moby/b", "Vega/c", "Vega/d")
    assert read_table(tmp_path).notes == (
        "no photo in 1 folder, such as 'Vega'",
        "left out 3 files whose name has no ending such as .jpg",
    )


def test_photos_of_other_things_are_no_whale(folders: Path) -> None:
    shutil.copytree(folders / "w_a", folders / "not_flukes")
    assert pairs(read_table(folders)) == LABELS


def test_a_linked_folder_is_a_whale_and_one_within_is_named(folders: Path, tmp_path: Path) -> None:
    (folders / "w_c").rename(tmp_path / "elsewhere")
    (folders / "w_c").symlink_to(tmp_path / "elsewhere")
    (folders / "w_b" / "linked").symlink_to(tmp_path / "elsewhere")
    table = read_table(folders)
    assert "w_c/7.jpg" in {row.name for row in table.rows}
    (note,) = table.notes
    assert note.startswith(f"left out the linked folder {folders / 'w_b' / 'linked'};")


def test_a_csv_of_paths(paths_csv: Path) -> None:
    table = read_table(paths_csv)
    assert pairs(table) == LABELS
    row = table.rows[2]
    assert (row.name, row.date, row.encounter) == ("train/3.jpg", "2020-01-03", "e3")


def write(folder: Path, text: str, *photos: str) -> Path:
    """A CSV beside some empty photos."""
    for photo in photos:
        (folder / photo).parent.mkdir(parents=True, exist_ok=True)
        (folder / photo).touch()
    listing = folder / "list.csv"
    listing.write_bytes(text.encode("utf-8", errors="surrogateescape"))
    return listing


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "first line must name the columns path,identity"),
        ("\n\n", "first line must name the columns"),
        ("Image,Id\na.jpg,w\n", "path,identity is missing"),
        ("path|identity\na.jpg|w\n", "is missing"),
        ("path;identity\na.jpg;w;x\n", "quotes around cells that hold a semicolon"),
        ("path,identity,path\na.jpg,w,b.jpg\n", "names a column twice"),
        ("path,identity,,\na.jpg,w\n", "line 2: 2 cells where the first line has 4"),
        ("path,identity\n", "lists no photos"),
        ("path,identity\na.jpg,\n", "line 2: no whale named"),
        ("path,identity\na.jpg,  \n", "line 2: no whale named"),
        ("path,identity\na.jpg,w\nb.jpg,w\n", "line 3: no photo at"),
        ("path,identity\n,w\n", "line 2: no photo at"),
        (f"path,identity\n{'x' * 3_000}.jpg,w\n", "line 2: no photo at"),
        ("path,identity\na\0.jpg,w\n", "line 2: no photo at"),
        ("path,identity\n..,w\n", "line 2: no photo at"),
        ("path,identity\n/,w\n", "line 2: no photo at"),
        ("path,identity\na.jpg\n", "line 2: 1 cells where the first line has 2"),
        (
            "path,identity\na.jpg,w,x\n",
            "line 2: 3 cells where the first line has 2; put quotes around",
        ),
        ('path,identity\n"a.jpg,w\n', "not a valid CSV file"),
        ("path,identity\na.jpg," + "w" * 200_000 + "\n", "not a valid CSV file"),
        ("path,identity\na.jpg,\udcff\n", "not UTF-8"),
    ],
)
def test_a_faulty_csv_says_what_and_where(tmp_path: Path, text: str, reason: str) -> None:
    listing = write(tmp_path, text, "a.jpg")
    with pytest.raises(FlukeprintError, match=reason) as caught:
        read_table(listing)
    assert str(listing) in str(caught.value)


@pytest.mark.parametrize("start", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_any_byte_order_mark_and_line_end(tmp_path: Path, start: str, end: str) -> None:
    listing = write(tmp_path, f"{start}path,identity{end}a.jpg,w{end}{end}", "a.jpg")
    assert pairs(read_table(listing)) == {("a.jpg", "w")}


@pytest.mark.parametrize(
    ("text", "whale"),
    [
        ("path;identity\na.jpg;w, the first\n", "w, the first"),
        ("path\tidentity\na.jpg\tw; or v\n", "w; or v"),
        ('"path";"identity"\n"a.jpg";"w;v"\n', "w;v"),
        ('"path","identity"\n"a.jpg","w;v"\n', "w;v"),
        ('path,identity,"note; or not"\na.jpg,w,\n', "w"),
        ("path;identity;; \na.jpg;w;;\n", "w"),
        ("path;;identity\na.jpg;1;w\n", "w"),
        ("path;identity\n;\na.jpg;w\n ;\n;;;\n", "w"),
    ],
)
def test_commas_semicolons_or_tabs_part_cells(tmp_path: Path, text: str, whale: str) -> None:
    assert pairs(read_table(write(tmp_path, text, "a.jpg"))) == {("a.jpg", whale)}


def test_a_kaggle_list_with_guarded_cells(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "-1.jpg").touch()
    (tmp_path / "train.csv").write_text("Image,Id\n'-1.jpg,'=w\n", encoding="utf-8")
    assert pairs(read_table(tmp_path)) == {("-1.jpg", "=w")}


def test_columns_may_come_in_any_order_among_others(tmp_path: Path) -> None:
    listing = write(tmp_path, "note,identity,path\nfine,w,a.jpg\n", "a.jpg")
    assert pairs(read_table(listing)) == {("a.jpg", "w")}


def test_a_suffix_in_capitals_is_a_csv_too(tmp_path: Path) -> None:
    listing = write(tmp_path, "path,identity\na.jpg,w\n", "a.jpg").rename(tmp_path / "L.CSV")
    assert pairs(read_table(listing)) == {("a.jpg", "w")}


def test_a_users_own_csv_may_name_photos_anywhere(tmp_path: Path) -> None:
    """An absolute path, and one that climbs out: the list is the user's own."""
    (tmp_path / "lists").mkdir()
    (tmp_path / "a.jpg").touch()
    listing = write(tmp_path / "lists", f"path,identity\n../a.jpg,w_1\n{tmp_path / 'a.jpg'},w_2\n")
    assert [row.path.resolve() for row in read_table(listing).rows] == [tmp_path / "a.jpg"] * 2


def test_a_path_written_on_windows(tmp_path: Path) -> None:
    listing = write(tmp_path, "path,identity\nfotos\\a.jpg,w\n", "fotos/a.jpg")
    assert pairs(read_table(listing)) == {("a.jpg", "w")}
    assert read_table(listing).rows[0].path.samefile(tmp_path / "fotos" / "a.jpg")


@pytest.mark.skipif(os.name == "nt", reason="no file's name holds a backslash there")
def test_a_backslash_in_a_name_comes_first(tmp_path: Path) -> None:
    listing = write(tmp_path, "path,identity\nb\\a.jpg,w\n", "b/a.jpg", "b\\a.jpg")
    assert read_table(listing).rows[0].path == tmp_path / "b\\a.jpg"


HOSTILE = [
    "=1+1",
    "<script>alert(1)</script>",
    "a\nb",
    '"',
    "'; DROP TABLE whales;--",
    "../../etc",
    "鯨" * 50,
    "\u202egnp",
    " w ",
    "{{7*7}}",
]


def test_hostile_labels_come_through_as_they_are(tmp_path: Path) -> None:
    cells = [guard(label).replace('"', '""') for label in HOSTILE]
    listing = write(
        tmp_path, "path,identity\n" + "".join(f'a.jpg,"{cell}"\n' for cell in cells), "a.jpg"
    )
    assert [row.individual for row in read_table(listing).rows] == [x.strip() for x in HOSTILE]


@pytest.mark.parametrize(
    ("cell", "label"),
    [
        *(("Pepper ", "Pepper"), ("\u00a0Pepper", "Pepper"), ("'=Pepper ", "=Pepper")),
        *(("new_whale ", "new_whale"), ("Zoe\u0308", "Zoë"), ("Zoë", "Zoë")),
    ],
)
def test_one_name_has_one_spelling(tmp_path: Path, cell: str, label: str) -> None:
    """As a catalogue keeps it, in a user's own CSV and in the competition's."""
    assert pairs(read_table(write(tmp_path, f"path,identity\na.jpg,{cell}\n", "a.jpg"))) == {
        ("a.jpg", label)
    }
    write(tmp_path / "k", "", "train/a.jpg")
    (tmp_path / "k" / "train.csv").write_text(f"Image,Id\na.jpg,{cell}\n", encoding="utf-8")
    assert pairs(read_table(tmp_path / "k")) == {("a.jpg", label)}


def test_a_date_and_an_encounter_are_read_as_a_catalogue_does(tmp_path: Path) -> None:
    listing = write(
        tmp_path,
        "path,identity,date,encounter\na.jpg,w, 2020 , \nb.jpg,w,,\nc.jpg,w,'-1,'=e\u0301 \n",
        *("a.jpg", "b.jpg", "c.jpg"),
    )
    rows = read_table(listing).rows
    assert [(row.date, row.encounter) for row in rows] == [("2020", ""), ("", ""), ("-1", "=é")]


def test_a_folders_name_has_one_spelling(tmp_path: Path) -> None:
    write(tmp_path, "", "Zoe\u0308/a.jpg", "Zoë/b.jpg", "'=w/c.jpg")
    assert read_table(tmp_path).individuals == ("'=w", "Zoë")


@given(st.text())
def test_a_guarded_cell_is_no_formula_and_comes_back(cell: str) -> None:
    assert not guard(cell).startswith(("=", "+", "-", "@", "\t", "\r"))
    assert unguard(guard(cell)) == cell


def test_repeated_rows_count_once_and_are_noted(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "path,identity\na.jpg,w\na.jpg,w\n", "a.jpg"))
    assert len(table.rows) == 1
    assert table.notes == ("1 row repeats an earlier one; each counts once",)


def test_several_labels_are_kept_and_noted(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "path,identity\na.jpg,w_1\na.jpg,w_2\n", "a.jpg"))
    assert [row.individual for row in table.rows] == ["w_1", "w_2"]
    assert table.notes == ("1 photo has several labels, such as 'a.jpg'; all are kept",)


def test_one_whale_met_twice_is_not_several_labels(tmp_path: Path) -> None:
    listing = write(tmp_path, "path,identity,encounter\na.jpg,w,e1\na.jpg,w,e2\n", "a.jpg")
    assert read_table(listing).notes == ()


@pytest.mark.parametrize("name", ["8.jpg", "../kaggle/train/1.jpg", "train/1.jpg", "..", ".", ""])
def test_a_kaggle_list_names_only_files_in_its_folder(kaggle: Path, name: str) -> None:
    with (kaggle / "train.csv").open("a") as stream:
        stream.write(f"{name},w_a\n")
    with pytest.raises(FlukeprintError, match="line 9: lists .* which is not in"):
        read_table(kaggle)


def test_kaggle_faults_are_errors(kaggle: Path) -> None:
    (kaggle / "train.csv").write_text("path,identity\n1.jpg,w\n")
    with pytest.raises(FlukeprintError, match="Image,Id is missing"):
        read_table(kaggle)


def test_a_kaggle_folder_without_photos_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("Image,Id\n1.jpg,w\n")
    with pytest.raises(FlukeprintError, match=r"neither train/ nor train\.zip"):
        read_table(tmp_path)


def test_paths_that_are_no_collection_are_errors(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    for path, reason in [
        (tmp_path / "missing", "check the spelling"),
        (tmp_path / ("x" * 300), "check the spelling"),
        (tmp_path / "notes.txt", r"give a folder or a \.csv file"),
        (tmp_path, "no labelled photos here"),
    ]:
        with pytest.raises(FlukeprintError, match=reason):
            read_table(path)


def test_folders_without_photos_are_no_whales(folders: Path) -> None:
    (folders / "w_empty" / ".hidden").mkdir(parents=True)
    (folders / "w_empty" / ".hidden" / "a.jpg").touch()
    (folders / ".trash").mkdir()
    (folders / ".trash" / "a.jpg").touch()
    assert read_table(folders).individuals == ("w_a", "w_b", "w_c")


def test_a_folder_that_cannot_be_listed_is_an_error(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: object) -> object:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(FlukeprintError, match="cannot list this folder: Permission denied"):
        read_table(folders)


@pytest.mark.skipif(os.name == "nt" or sys.platform == "darwin", reason="names are Unicode here")
def test_undecodable_names_are_kept_apart(tmp_path: Path) -> None:
    for byte in (b"\xfe", b"\xff"):
        folder = Path(os.fsdecode(os.fsencode(tmp_path / "w_") + byte))
        folder.mkdir()
        (folder / "a.jpg").touch()
    table = read_table(tmp_path)
    assert len(table.individuals) == 2
    one, other = (Table(table.source, (row,)) for row in table.rows)
    assert fingerprint(one) != fingerprint(other)


def repack(archive: Path, members: dict[str, bytes], kind: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(archive, "w", kind) as packed:
        for name, data in members.items():
            packed.writestr(name, data)


def test_a_zip_cannot_write_outside_its_folder(kaggle_zipped: Path) -> None:
    photos = {f"train/{name}": b"x" for name, _, _ in SMALL}
    repack(kaggle_zipped / "train.zip", photos | {"../../evil.jpg": b"x", "/abs.jpg": b"x"})
    rows = read_table(kaggle_zipped).rows
    outside = [p for p in kaggle_zipped.parent.rglob("*.jpg") if p.name in ("evil.jpg", "abs.jpg")]
    assert {path.parent for path in outside} == {rows[0].path.parent}


def test_a_zip_bomb_is_refused_and_leaves_nothing(kaggle_zipped: Path) -> None:
    repack(kaggle_zipped / "train.zip", {"train/1.jpg": bytes(10**7)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(FlukeprintError, match="many times its size"):
        read_table(kaggle_zipped)
    assert not list((kaggle_zipped.parent / "scratch").iterdir())


def test_what_a_cleaner_took_is_unpacked_again(kaggle_zipped: Path) -> None:
    first = read_table(kaggle_zipped)
    first.rows[0].path.unlink()
    assert pairs(read_table(kaggle_zipped)) == LABELS
    assert first.rows[0].path.is_file()


def damage(path: Path, at: float) -> None:
    data = bytearray(path.read_bytes())
    place = int(len(data) * at)
    data[place : place + 40] = b"\xff" * 40
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["train.zip", "train.csv.zip"])
@pytest.mark.parametrize("at", [0.3, 0.5, 0.9])
def test_a_damaged_zip_is_an_error(kaggle_zipped: Path, name: str, at: float) -> None:
    with zipfile.ZipFile(kaggle_zipped / name) as packed:
        members = {member: packed.read(member) * 9 for member in packed.namelist()}
    repack(kaggle_zipped / name, members, zipfile.ZIP_DEFLATED)
    damage(kaggle_zipped / name, at)
    with pytest.raises(FlukeprintError, match=name):
        read_table(kaggle_zipped)


def test_another_run_that_unpacks_first_is_no_error(
    kaggle_zipped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = os.replace

    def slow(source: Path, target: Path) -> None:
        monkeypatch.setattr(os, "replace", replace)
        read_table(kaggle_zipped)  # the other run
        replace(source, target)

    monkeypatch.setattr(os, "replace", slow)
    assert pairs(read_table(kaggle_zipped)) == LABELS
    assert len(list((kaggle_zipped.parent / "scratch").iterdir())) == 1


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="the temporary folder is the user's own")
def test_a_folder_that_another_user_put_in_the_way_is_not_used(
    kaggle_zipped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = read_table(kaggle_zipped).rows[0].path.parent
    moved = planted.rename(planted.with_name("elsewhere"))
    planted.symlink_to(moved, target_is_directory=True)
    with pytest.raises(FlukeprintError, match="cannot be unpacked"):
        read_table(kaggle_zipped)


def test_the_fingerprint_does_not_depend_on_order_or_place(kaggle: Path) -> None:
    table = read_table(kaggle)
    moved = Table(Path("elsewhere"), table.rows[::-1])
    assert fingerprint(moved) == fingerprint(table)
    assert fingerprint(Table(table.source, table.rows[1:])) != fingerprint(table)


def test_names_and_labels_may_hold_anything(
    tmp_path: Path, write_picture: Callable[..., Path]
) -> None:
    folder = tmp_path / "Wal, \"Ö' 鯨"
    (folder / "a b.jpg").parent.mkdir()
    (folder / "a b.jpg").touch()
    assert pairs(read_table(tmp_path)) == {("a b.jpg", folder.name)}


def test_the_real_collection(whales: Path) -> None:
    table = read_table(whales)
    assert len(table.rows) == 8_350
    assert len(table.individuals) == 4_008
    assert sum(row.individual == "new_whale" for row in table.rows) == 560


def test_a_list_of_the_competition_alone_gets_a_hint(tmp_path: Path) -> None:
    (tmp_path / "photos.csv").write_text("Image,Id\n", encoding="utf-8")
    with pytest.raises(FlukeprintError, match="give the folder it lies in"):
        read_table(tmp_path / "photos.csv")
