"""`--overwrite changed`: only what is no longer the same is made anew."""

from support import Command, Site, picture, ranged

PLAIN = ("-o", "out", "--progress", "none")


def test_only_what_has_changed_is_made_anew(cli: Command, site: Site) -> None:
    """--overwrite changed asks with the stored ETag: a 304 keeps the file, another version replaces it."""
    site.pages = {f"/{n}.jpg": ranged(picture(300, 200, seed=n), f'"{n}"') for n in range(4)}
    urls = [site.url + path for path in site.pages]
    options = (*PLAIN, "-r", "64", "--json")
    assert cli("run", *urls, *options).json["succeeded"] == 4
    before = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in (cli.folder / "out").glob("*.jpg")}
    site.pages["/2.jpg"] = ranged(picture(200, 300, seed=9), '"new"')
    done = cli("run", *urls, *options, "--overwrite", "changed")
    assert (done.json["succeeded"], done.json["unchanged"]) == (4, 3)
    after = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in (cli.folder / "out").glob("*.jpg")}
    assert [name for name in sorted(before) if before[name] != after[name]] == ["2.jpg"]
    assert [seen["if-none-match"] for _, seen in site.seen[4:]].count('"2"') == 1
    assert cli.items()["2.jpg"]["height"] == 300


def test_without_a_validator_the_bytes_tell(cli: Command, site: Site) -> None:
    """A server that sends no validators: the same bytes keep the file, other bytes replace it."""
    site.pages = {"/a.jpg": picture(seed=1), "/b.jpg": picture(seed=2)}
    urls = [site.url + path for path in site.pages]
    assert cli("run", *urls, *PLAIN).code == 0
    before = (cli.folder / "out/a.jpg").stat().st_mtime_ns
    site.pages["/b.jpg"] = picture(seed=3, format="PNG")
    done = cli("run", *urls, *PLAIN, "--overwrite", "changed", "--json")
    assert done.json["unchanged"] == 1
    assert (cli.folder / "out/a.jpg").stat().st_mtime_ns == before
    assert {path.name for path in (cli.folder / "out").iterdir() if path.is_file()} == {"a.jpg", "b.png"}


def test_a_result_that_is_gone_is_made_again(cli: Command, site: Site) -> None:
    """--overwrite changed asks without condition where the output was deleted."""
    site.pages["/a.jpg"] = ranged(picture())
    assert cli("run", f"{site.url}/a.jpg", *PLAIN).code == 0
    (cli.folder / "out/a.jpg").unlink()
    assert cli("run", f"{site.url}/a.jpg", *PLAIN, "--overwrite", "changed").code == 0
    assert (cli.folder / "out/a.jpg").exists()
    assert "if-none-match" not in site.seen[-1][1]


def test_only_changed_files_of_a_folder_are_made_anew(cli: Command) -> None:
    """--overwrite changed on a folder: size and time tell."""
    folder = cli.folder / "in"
    folder.mkdir()
    for n in range(3):
        (folder / f"{n}.jpg").write_bytes(picture(seed=n))
    assert cli("process", "in", *PLAIN).code == 0
    (folder / "1.jpg").write_bytes(picture(100, 100))
    assert cli("process", "in", *PLAIN, "--overwrite", "changed", "--json").json["unchanged"] == 2
    assert cli.items()["1.jpg"]["width"] == 100


def test_what_became_unreachable_keeps_its_old_result(cli: Command, site: Site) -> None:
    """--overwrite changed and a 404: the item fails and says so; the file of the earlier run stays."""
    site.pages["/a.jpg"] = ranged(picture())
    assert cli("run", f"{site.url}/a.jpg", *PLAIN).code == 0
    del site.pages["/a.jpg"]
    assert cli("run", f"{site.url}/a.jpg", *PLAIN, "--overwrite", "changed").code == 1
    assert cli.items()["a.jpg"]["kind"] == "http_status"
    assert (cli.folder / "out/a.jpg").exists()
