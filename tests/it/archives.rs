//! A whole version as one archive: unpacked with the usual tools, the same each time, continued, cut when damaged.

use crate::support::people::db_user;
use crate::support::{Answer, Site, noise, path};
use packhouse::domain::role::Visibility;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const VERSION: &str = "/api/v1/packages/ada/generic/tool/1.0.0";

/// The files of the version, by name.
fn contents() -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    all.insert("README.md".to_owned(), b"hello\n".to_vec());
    all.insert("a b & c.txt".to_owned(), b"x".to_vec());
    all.insert("empty".to_owned(), Vec::new());
    all.insert("exact".to_owned(), noise(512));
    all.insert("large.bin".to_owned(), noise(3_500_000));
    all.insert("n".repeat(255), noise(1000));
    all.insert("small.bin".to_owned(), noise(70_000));
    all
}

async fn published() -> (Site, BTreeMap<String, Vec<u8>>) {
    let site = Site::new();
    let all = contents();
    for (name, bytes) in all.iter().rev() {
        site.ci().publish(&path(&["ada", "tool", "1.0.0", name]), bytes.clone()).await;
    }
    (site, all)
}

/// Runs a program on the bytes of an archive, in an empty directory, and reads what it unpacked.
fn unpacked(archive: &[u8], program: &str, arguments: &[&str]) -> BTreeMap<String, Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("archive"), archive).unwrap();
    let mut tool = Command::new(program);
    let tool = tool.args(arguments).current_dir(dir.path()).stdin(Stdio::null()).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&tool.stdout), String::from_utf8_lossy(&tool.stderr));
    assert!(tool.status.success() && tool.stderr.is_empty(), "{program}: {said}");
    fs::remove_file(dir.path().join("archive")).unwrap();
    let mut found = BTreeMap::new();
    read(dir.path(), dir.path(), &mut found);
    found
}

fn read(root: &Path, dir: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(dir).unwrap() {
        let at = entry.unwrap().path();
        if at.is_dir() {
            read(root, &at, found);
        } else {
            let name = at.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            assert_eq!(fs::metadata(&at).unwrap().permissions().mode() & 0o777, 0o644, "{name}");
            found.insert(name, fs::read(&at).unwrap());
        }
    }
}

const UNZIP: &str = "import sys, zipfile, os\nz = zipfile.ZipFile('archive')\nassert z.testzip() is None\nz.extractall('.')\n\
                     [os.chmod(i.filename, i.external_attr >> 16 & 0o777) for i in z.infolist()]";

#[tokio::test]
async fn archives_are_unpacked_by_the_usual_tools_to_the_same_files() {
    let (site, all) = published().await;
    let get = async |ending: &str| site.anon().get(&format!("{VERSION}/archive.{ending}")).await.is(200);
    let (tar, gz, zip) = (get("tar").await, get("tar.gz").await, get("zip").await);
    assert!(unpacked(&tar.body, "tar", &["-xf", "archive"]) == all);
    assert!(unpacked(&gz.body, "tar", &["-xzf", "archive"]) == all);
    assert!(unpacked(&zip.body, "python3", &["-c", UNZIP]) == all);
    for (answer, ending, kind) in
        [(&tar, "tar", "application/x-tar"), (&gz, "tar.gz", "application/gzip"), (&zip, "zip", "application/zip")]
    {
        assert_eq!(answer.header("content-type"), Some(kind));
        let name = format!("attachment; filename=\"tool-1.0.0.{ending}\"; filename*=UTF-8''tool-1.0.0.{ending}");
        assert_eq!(answer.header("content-disposition"), Some(&*name));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert!(answer.header("content-security-policy").is_some());
    }
    assert_eq!(tar.header("content-length"), Some(&*tar.body.len().to_string()));
    let list = Command::new("tar").args(["-tvf", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut list = list.unwrap();
    list.stdin.take().unwrap().write_all(&tar.body).unwrap();
    let list = String::from_utf8(list.wait_with_output().unwrap().stdout).unwrap();
    let names: Vec<&str> = list.lines().filter_map(|line| line.split_once(":00 ").map(|(_, name)| name)).collect();
    assert_eq!(names, all.keys().map(String::as_str).collect::<Vec<_>>(), "sorted by path");
    site.db_flush().await;
    assert_eq!(site.db_number("SELECT min(download_count) AS n FROM files"), 3, "each file counts once an archive");
}

#[tokio::test]
async fn an_archive_is_the_same_each_time_and_another_when_a_file_is_added() {
    let (site, _) = published().await;
    for ending in ["tar", "tar.gz", "zip"] {
        let address = format!("{VERSION}/archive.{ending}");
        let first = site.anon().get(&address).await.is(200);
        site.pass(Duration::from_secs(100_000));
        let again = site.anon().get(&address).await.is(200);
        assert!(first.body == again.body, "{ending}");
        let etag = first.header("etag").unwrap().to_owned();
        assert_eq!(again.header("etag"), Some(&*etag));
        let current = site.anon().get(&address).header("if-none-match", &etag).await.is(304);
        assert_eq!((current.header("etag"), current.body.len()), (Some(&*etag), 0));
        site.anon().get(&address).header("if-match", "\"x\"").await.is(412);
        let head = site.anon().head(&address).await.is(200);
        assert_eq!(head.header("etag"), Some(&*etag));
        if ending == "tar" {
            assert_eq!(head.header("content-length"), first.header("content-length"));
        }
        site.ci().publish(&path(&["ada", "tool", "1.0.0", &format!("more.{ending}")]), "x").await;
        let other = site.anon().get(&address).header("if-none-match", &etag).await.is(200);
        assert_ne!(other.header("etag"), Some(&*etag));
    }
    // The order and the time of the uploads make no difference.
    let copy = Site::new();
    for (name, bytes) in contents() {
        copy.ci().publish(&path(&["ada", "tool", "1.0.0", &name]), bytes).await;
    }
    for ending in ["tar", "tar.gz", "zip"] {
        copy.ci().publish(&path(&["ada", "tool", "1.0.0", &format!("more.{ending}")]), "x").await;
    }
    let address = format!("{VERSION}/archive.tar");
    let (one, other) = (site.anon().get(&address).await.is(200), copy.anon().get(&address).await.is(200));
    assert!(one.body == other.body && one.header("etag") == other.header("etag"));
}

#[tokio::test]
async fn a_tar_archive_can_be_continued_anywhere() {
    let (site, _) = published().await;
    let address = format!("{VERSION}/archive.tar");
    let whole = site.anon().get(&address).await.is(200);
    let (bytes, etag) = (whole.body.clone(), whole.header("etag").unwrap().to_owned());
    let size = bytes.len();
    let part = async |range: String| site.anon().get(&address).header("range", range).header("if-range", &etag).await;
    let starts = [0, 1, 511, 512, 513, 1024, 4096, 500_000, 2_000_003, 3_560_000, size - 1025, size - 1024, size - 1];
    for start in starts {
        let answer = part(format!("bytes={start}-")).await.is(206);
        assert!(answer.body == bytes[start..], "{start}");
        assert_eq!(answer.header("content-range"), Some(&*format!("bytes {start}-{}/{size}", size - 1)));
        for end in [start + 1, start + 700, start + 1_500_000].into_iter().filter(|end| *end <= size) {
            let answer = part(format!("bytes={start}-{}", end - 1)).await.is(206);
            assert!(answer.body == bytes[start..end], "{start}..{end}");
        }
    }
    assert!(part("bytes=-100".to_owned()).await.is(206).body == bytes[size - 100..]);
    assert!(part("bytes=0-1,5-6".to_owned()).await.is(200).body == bytes, "several parts: the whole");
    let beyond = part(format!("bytes={size}-")).await.is(416);
    assert_eq!(beyond.header("content-range"), Some(&*format!("bytes */{size}")));
    let stale = site.anon().get(&address).header("range", "bytes=5-").header("if-range", "\"x\"").await.is(200);
    assert!(stale.body == bytes);
    let zip = site.anon().get(&format!("{VERSION}/archive.zip")).header("range", "bytes=5-").await.is(200);
    assert_eq!(zip.header("accept-ranges"), Some("none"));
    assert_eq!(whole.header("accept-ranges"), Some("bytes"));
}

#[tokio::test]
async fn patterns_choose_files_of_an_archive() {
    let (site, all) = published().await;
    let get = async |query: &str| site.anon().get(&format!("{VERSION}/archive.tar?{query}")).await;
    let two = get("match=*.BIN").await.is(200);
    let names: Vec<String> = unpacked(&two.body, "tar", &["-xf", "archive"]).into_keys().collect();
    assert_eq!(names, ["large.bin", "small.bin"]);
    let three = get("match=*.bin&match=README.*").await.is(200);
    assert_eq!(unpacked(&three.body, "tar", &["-xf", "archive"]).len(), 3);
    assert_ne!(two.header("etag"), three.header("etag"));
    let every = get("match=**").await.is(200);
    assert_eq!(unpacked(&every.body, "tar", &["-xf", "archive"]).len(), all.len());
    get("match=*.deb").await.is(404);
    get("match=%5Ba").await.is(422).says("match:");
    get(&["match=*"; 21].join("&")).await.is(422).says("at most 20 patterns");
}

/// The path of the blob with these bytes.
fn blob_of(site: &Site, bytes: &[u8]) -> std::path::PathBuf {
    let shards = fs::read_dir(site.dir.join("data/blobs/blobs")).unwrap();
    let mut blobs = shards.flat_map(|shard| fs::read_dir(shard.unwrap().path()).unwrap());
    blobs.find_map(|blob| Some(blob.unwrap().path()).filter(|path| fs::read(path).unwrap() == bytes)).unwrap()
}

#[tokio::test]
async fn a_damaged_file_cuts_an_archive_before_its_end() {
    for (name, at) in [("small.bin", 69_999), ("large.bin", 3_499_999), ("large.bin", 0), ("README.md", 0)] {
        let (site, all) = published().await;
        let blob = blob_of(&site, &all[name]);
        fs::set_permissions(&blob, fs::Permissions::from_mode(0o600)).unwrap();
        fs::OpenOptions::new().write(true).open(&blob).unwrap().write_all_at(&[all[name][at] ^ 1], at as u64).unwrap();
        for ending in ["tar", "tar.gz", "zip"] {
            // An error means that the connection was closed early.
            if let Ok(answer) = site.anon().get(&format!("{VERSION}/archive.{ending}")).send().await {
                answer.is(503);
            }
            let without = if name == "README.md" { "empty" } else { "README.md" };
            let sound = format!("{VERSION}/archive.{ending}?match={without}");
            site.anon().get(&sound).await.is(200);
        }
    }
}

#[tokio::test]
async fn an_archive_of_many_files_is_whole() {
    let site = Site::new();
    let names: Vec<String> = (0..900).map(|at| format!("file-{at:04}.txt")).collect();
    site.ci().publish(&path(&["ada", "tool", "1.0.0", &names[0]]), "the same").await;
    site.db_execute(
        "INSERT INTO files (version_id, blob_id, name, lower_name, created_at, download_count) SELECT version_id, \
         blob_id, 'file-' || to_char(n, 'FM0000') || '.txt', 'file-' || to_char(n, 'FM0000') || '.txt', now(), 0 \
         FROM files, generate_series(1, 899) AS n",
    );
    for (ending, program, arguments) in [
        ("tar", "tar", vec!["-xf", "archive"]),
        ("tar.gz", "tar", vec!["-xzf", "archive"]),
        ("zip", "python3", vec!["-c", UNZIP]),
    ] {
        let answer = site.anon().get(&format!("{VERSION}/archive.{ending}")).await.is(200);
        let found = unpacked(&answer.body, program, &arguments);
        assert!(found.keys().eq(names.iter()) && found.values().all(|bytes| bytes == b"the same"), "{ending}");
    }
}

#[tokio::test]
async fn archives_of_drafts_and_of_private_owners_look_absent() {
    let (site, _) = published().await;
    site.db(|conn| db_user(conn, "hidden", Visibility::Private, false));
    let own = site.anon().bearer(&site.db_token("hidden", &["write:package"]));
    own.publish(&path(&["hidden", "tool", "1.0.0", "f"]), "x").await;
    let archive = |owner: &str, version: &str| format!("/api/v1/packages/{owner}/generic/tool/{version}/archive.zip");
    for client in [site.anon(), site.stranger()] {
        let (hidden, absent) =
            (client.get(&archive("hidden", "1.0.0")).await, client.get(&archive("none", "1.0.0")).await);
        assert_eq!(hidden.looks(), absent.looks());
    }
    own.get(&archive("hidden", "1.0.0")).await.is(200);
    site.db_execute("UPDATE versions SET state = 0");
    let absent = site.stranger().get(&archive("ada", "9")).await;
    assert_eq!(site.stranger().get(&archive("ada", "1.0.0")).await.looks(), absent.looks());
    site.ci().get(&archive("ada", "1.0.0")).await.is(200);
}

#[tokio::test]
async fn selectors_and_pages_lead_to_archives() {
    let (site, _) = published().await;
    let to = |answer: Answer| answer.is(302).header("location").unwrap().to_owned();
    let found = to(site.anon().get("/api/v1/packages/ada/generic/tool/@%5E1/archive.tar?match=*.md").await);
    assert_eq!(found, format!("{VERSION}/archive.tar?match=*.md"));
    site.anon().get("/api/v1/packages/ada/generic/tool/@%5E2/archive.tar").await.is(404).says("there are 1.0.0");
    site.db_execute("UPDATE owners SET visibility = 2 WHERE name = 'ada'");
    let mut browser = site.browser_of("ada").await;
    browser.go("/ada/-/packages/generic/tool/1.0.0").await.is(200);
    for ending in ["zip", "tar.gz"] {
        let page = format!("/ada/-/packages/generic/tool/1.0.0/archive.{ending}");
        browser.go(&page).await.is(200);
        assert_eq!(browser.answer.header("content-disposition").map(|name| name.contains("tool-1.0.0.")), Some(true));
        site.anon().get(&page).await.is(401);
    }
}
