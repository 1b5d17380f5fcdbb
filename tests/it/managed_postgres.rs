//! The private Postgres, with the binaries of this machine: created, stopped, killed, and broken in every known way.
//!
//! If root runs these tests, Postgres runs as the user `postgres`, and the tests that depend on the user run again as
//! `nobody` and as a root with the few capabilities of a container.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use packhouse::db::managed::{ManagedError, ManagedOptions, ManagedPostgres, running_url};
use packhouse::domain::digest::to_hex;
use sha2::Digest;

/// Tells [`a_server_to_be_killed`] which data directory to serve.
const SERVE: &str = "PACKHOUSE_TEST_SERVE";

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

#[derive(QueryableByName)]
struct Word {
    #[diesel(sql_type = Text)]
    word: String,
}

/// A directory in memory if possible, which other users may enter.
fn temp_dir() -> tempfile::TempDir {
    let base = if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/tmp" };
    let temp = tempfile::Builder::new().prefix("packhouse-test-").tempdir_in(base).unwrap();
    fs::set_permissions(temp.path(), Permissions::from_mode(0o755)).unwrap();
    temp
}

fn options(data_dir: &Path) -> ManagedOptions {
    let mut options = ManagedOptions::new(data_dir);
    options.search_path = std::env::split_paths(&std::env::var_os("PATH").unwrap()).collect();
    options
}

fn start(data_dir: &Path) -> ManagedPostgres {
    ManagedPostgres::start(&options(data_dir)).unwrap_or_else(|error| panic!("{error}"))
}

fn connect(url: &str) -> PgConnection {
    PgConnection::establish(url).unwrap()
}

fn ask(conn: &mut PgConnection, query: &str) -> i64 {
    diesel::sql_query(query).get_result::<Number>(conn).unwrap().n
}

fn word(conn: &mut PgConnection, query: &str) -> String {
    diesel::sql_query(query).get_result::<Word>(conn).unwrap().word
}

/// Waits until a condition holds, and fails after ten seconds.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not within 10 s");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn cluster(data_dir: &Path) -> PathBuf {
    data_dir.join("postgres/cluster")
}

fn postmaster(data_dir: &Path) -> i32 {
    let text = fs::read_to_string(cluster(data_dir).join("postmaster.pid")).unwrap();
    text.lines().next().unwrap().parse().unwrap()
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn kill(pid: i32, signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// The Postgres processes of this data directory, found by the name in their process titles, because not every user
/// may read the working directory of a process.
fn processes(data_dir: &Path) -> Vec<i32> {
    let path = fs::canonicalize(data_dir).unwrap();
    let tag = to_hex(&sha2::Sha256::digest(path.as_os_str().as_bytes())[..8]);
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
        .filter(|pid| {
            let title = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&title).contains(&tag)
        })
        .collect()
}

/// A separate process that runs the private Postgres of a data directory, and may be killed.
struct Server(Child);

impl Server {
    fn start(data_dir: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "managed_postgres::a_server_to_be_killed", "--nocapture", "--ignored"])
            .env(SERVE, data_dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        assert!(output.lines().map_while(Result::ok).any(|line| line.contains("serving")), "the server did not start");
        Self(child)
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
#[ignore = "other tests run it as a separate process"]
fn a_server_to_be_killed() {
    let Some(data_dir) = std::env::var_os(SERVE) else { return };
    let _postgres = start(Path::new(&data_dir));
    println!("serving");
    std::thread::sleep(Duration::from_secs(120));
}

#[test]
fn the_first_start_creates_a_private_cluster_and_the_second_uses_it() {
    let temp = temp_dir();
    let postgres = start(temp.path());
    let mut conn = connect(postgres.url());
    diesel::sql_query("CREATE TABLE t AS SELECT 42::int8 AS n").execute(&mut conn).unwrap();
    for (setting, value) in [
        ("server_encoding", "UTF8"),
        ("lc_collate", "C"),
        ("data_checksums", "on"),
        ("listen_addresses", ""),
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("unix_socket_permissions", "0700"),
    ] {
        // Since version 16, `lc_collate` is no longer a setting.
        let query = match setting {
            "lc_collate" => "SELECT datcollate::text AS word FROM pg_database WHERE datname = 'packhouse'".to_owned(),
            _ => format!("SELECT current_setting('{setting}') AS word"),
        };
        assert_eq!(word(&mut conn, &query), value, "{setting}");
    }
    for closed in ["postgres/socket", "postgres/cluster"] {
        assert_eq!(fs::metadata(temp.path().join(closed)).unwrap().mode() & 0o777, 0o700, "{closed}");
    }
    drop(conn);
    postgres.stop();
    assert!(processes(temp.path()).is_empty());

    let postgres = start(temp.path());
    assert_eq!(ask(&mut connect(postgres.url()), "SELECT n FROM t"), 42);
}

#[test]
fn a_command_finds_the_postgres_of_a_running_server_and_only_that() {
    let temp = temp_dir();
    assert_eq!(running_url(temp.path()), None);
    let postgres = start(temp.path());
    assert_eq!(running_url(temp.path()).as_deref(), Some(postgres.url()));
    postgres.stop();
    assert_eq!(running_url(temp.path()), None);
    fs::write(cluster(temp.path()).join("postmaster.pid"), "1\n/x\n1\n5432\n../socket\n\n\nready\n").unwrap();
    assert_eq!(running_url(temp.path()), None);
}

#[test]
fn two_starts_on_one_data_directory_fail_and_the_first_keeps_running() {
    let temp = temp_dir();
    let postgres = start(temp.path());
    let error = ManagedPostgres::start(&options(temp.path())).unwrap_err();
    assert!(matches!(error, ManagedError::InUse(_)), "{error}");
    assert!(error.to_string().contains("another packhouse server"), "{error}");
    assert_eq!(ask(&mut connect(postgres.url()), "SELECT 1::int8 AS n"), 1);
}

#[test]
fn a_postgres_that_dies_while_the_server_runs_is_restarted() {
    let temp = temp_dir();
    let postgres = start(temp.path());
    for signal in [rustix::process::Signal::KILL, rustix::process::Signal::QUIT] {
        let mut conn = connect(postgres.url());
        diesel::sql_query("CREATE TABLE IF NOT EXISTS t (n int8)").execute(&mut conn).unwrap();
        diesel::sql_query("INSERT INTO t VALUES (1)").execute(&mut conn).unwrap();
        let before = ask(&mut conn, "SELECT count(*) AS n FROM t");
        let old = postmaster(temp.path());
        kill(old, signal);
        eventually("Postgres is back", || {
            PgConnection::establish(postgres.url()).is_ok_and(|_| postmaster(temp.path()) != old)
        });
        assert_eq!(ask(&mut connect(postgres.url()), "SELECT count(*) AS n FROM t"), before, "after {signal:?}");
    }
    postgres.stop();
    assert!(processes(temp.path()).is_empty());
}

#[test]
fn a_killed_server_stops_its_postgres() {
    let temp = temp_dir();
    let server = Server::start(temp.path());
    let _idle = connect(&running_url(temp.path()).unwrap());
    server.kill();
    eventually("Postgres has ended", || processes(temp.path()).is_empty());
    start(temp.path());
}

#[test]
fn a_server_started_right_after_a_killed_one_finds_its_data() {
    let temp = temp_dir();
    let server = Server::start(temp.path());
    let mut conn = connect(&running_url(temp.path()).unwrap());
    diesel::sql_query("CREATE TABLE t AS SELECT 7::int8 AS n").execute(&mut conn).unwrap();
    server.kill();
    let postgres = start(temp.path());
    assert_eq!(ask(&mut connect(postgres.url()), "SELECT n FROM t"), 7);
}

#[test]
fn all_commits_survive_if_all_is_killed_at_once_with_a_busy_orphan() {
    let temp = temp_dir();
    let server = Server::start(temp.path());
    let url = running_url(temp.path()).unwrap();
    let mut conn = connect(&url);
    diesel::sql_query("CREATE TABLE t AS SELECT 7::int8 AS n").execute(&mut conn).unwrap();
    let busy = std::thread::spawn(move || {
        let mut conn = connect(&url);
        // If this test fails, the query still ends.
        diesel::sql_query("SET statement_timeout = '60s'").execute(&mut conn).unwrap();
        // This loop never checks its postmaster, so it doesn't notice that the postmaster is gone.
        diesel::sql_query("DO $$ DECLARE i int8 := 0; BEGIN LOOP i := i + 1; END LOOP; END $$").execute(&mut conn)
    });
    eventually("the query is running", || {
        ask(&mut conn, "SELECT count(*) AS n FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'DO %'") == 1
    });
    let old = postmaster(temp.path());
    kill(old, rustix::process::Signal::KILL);
    server.kill();
    std::thread::sleep(Duration::from_millis(50));
    assert!(!processes(temp.path()).is_empty(), "a Postgres process outlives its postmaster");
    let began = Instant::now();
    let postgres = start(temp.path());
    println!("start beside a busy orphan: {:?}", began.elapsed());
    assert!(busy.join().unwrap().is_err());
    assert_eq!(ask(&mut connect(postgres.url()), "SELECT n FROM t"), 7);
}

#[test]
fn a_cluster_starts_again_after_any_of_its_processes_was_killed() {
    let temp = temp_dir();
    let server = Server::start(temp.path());
    connect(&running_url(temp.path()).unwrap());
    let all = processes(temp.path());
    assert!(all.len() > 3);
    server.kill();
    for pid in all {
        let _ =
            rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), rustix::process::Signal::KILL);
    }
    let began = Instant::now();
    let postgres = start(temp.path());
    println!("start after everything was killed: {:?}", began.elapsed());
    connect(postgres.url());
}

#[test]
fn a_stale_pid_file_with_the_id_of_another_process_is_harmless() {
    let temp = temp_dir();
    start(temp.path()).stop();
    let owner = fs::metadata(cluster(temp.path())).unwrap();
    let mut foreign = Command::new("/bin/sleep");
    if is_root() {
        foreign.uid(owner.uid()).gid(owner.gid());
    }
    let mut foreign = foreign.arg("60").spawn().unwrap();
    let pid_file = cluster(temp.path()).join("postmaster.pid");
    let lock_file = temp.path().join("postgres/socket/.s.PGSQL.5432.lock");
    for file in [pid_file, lock_file] {
        fs::write(&file, format!("{}\n/x\n1\n5432\n../socket\n\n 1 1\nready\n", foreign.id())).unwrap();
        chown(&file, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    let postgres = start(temp.path());
    connect(postgres.url());
    assert!(foreign.try_wait().unwrap().is_none(), "the other process was left alone");
    foreign.kill().unwrap();
    foreign.wait().unwrap();
}

#[test]
fn a_shell_inside_of_the_cluster_directory_is_left_alone() {
    let temp = temp_dir();
    start(temp.path()).stop();
    let mut shell = Command::new("/bin/sleep").arg("60").current_dir(cluster(temp.path())).spawn().unwrap();
    fs::write(cluster(temp.path()).join("postmaster.pid"), format!("{}\n", shell.id())).unwrap();
    start(temp.path()).stop();
    assert!(shell.try_wait().unwrap().is_none());
    shell.kill().unwrap();
    shell.wait().unwrap();
}

#[test]
fn an_interrupted_first_start_does_not_block_the_next() {
    let temp = temp_dir();
    let draft = temp.path().join("postgres/cluster.new-1");
    fs::create_dir_all(draft.join("base")).unwrap();
    fs::set_permissions(temp.path().join("postgres"), Permissions::from_mode(0o711)).unwrap();
    fs::write(draft.join("PG_VERSION"), "15").unwrap();
    let postgres = start(temp.path());
    connect(postgres.url());
    assert!(!draft.exists());
}

#[test]
fn a_data_directory_too_deep_for_a_socket_gets_one_elsewhere() {
    let temp = temp_dir();
    let sockets = temp_dir();
    let data_dir = temp.path().join("d".repeat(120)).join("with a space, and a comma");
    fs::create_dir_all(&data_dir).unwrap();
    let mut options = options(&data_dir);
    options.temp_dir = sockets.path().to_owned();
    options.runtime_dir = Some(sockets.path().to_owned());
    let postgres = ManagedPostgres::start(&options).unwrap();
    connect(postgres.url());
    assert_eq!(running_url(&data_dir).as_deref(), Some(postgres.url()));
    postgres.stop();
    let digest = to_hex(&sha2::Sha256::digest(fs::canonicalize(&data_dir).unwrap().as_os_str().as_bytes()));
    let place = if is_root() { Path::new("/run") } else { sockets.path() };
    let directory = place.join(format!("packhouse-{}", &digest[..16]));
    assert!(!directory.exists(), "a clean stop removes it");
    options.settings = vec![("shared_buffers".to_owned(), "nonsense".to_owned())];
    ManagedPostgres::start(&options).unwrap_err();
    assert!(!directory.exists(), "a failed start removes it");
}

#[test]
fn a_socket_directory_open_to_other_users_is_not_trusted() {
    let temp = temp_dir();
    start(temp.path()).stop();
    fs::set_permissions(temp.path().join("postgres/socket"), Permissions::from_mode(0o777)).unwrap();
    let error = ManagedPostgres::start(&options(temp.path())).unwrap_err().to_string();
    assert!(error.contains("has mode 0777"), "{error}");
    if is_root() {
        fs::remove_dir(temp.path().join("postgres/socket")).unwrap();
        fs::create_dir(temp.path().join("postgres/socket")).unwrap();
        chown(temp.path().join("postgres/socket"), Some(65_534), None).unwrap();
        let error = ManagedPostgres::start(&options(temp.path())).unwrap_err().to_string();
        assert!(error.contains("belongs to another user"), "{error}");
    }
}

#[test]
fn missing_postgres_binaries_are_explained_with_the_package_name() {
    let temp = temp_dir();
    let mut options = ManagedOptions::new(temp.path());
    options.system_root = temp.path().to_owned();
    let error = ManagedPostgres::start(&options).unwrap_err().to_string();
    assert!(error.contains("`apt install postgresql`"), "{error}");
    assert!(error.contains("DATABASE_URL"), "{error}");
    options.bin_dir = Some(temp.path().to_owned());
    let error = ManagedPostgres::start(&options).unwrap_err().to_string();
    assert!(error.contains("no `initdb`"), "{error}");
}

#[test]
fn a_cluster_of_a_missing_postgres_version_is_left_alone() {
    let temp = temp_dir();
    start(temp.path()).stop();
    let version = cluster(temp.path()).join("PG_VERSION");
    fs::write(&version, "12\n").unwrap();
    let error = ManagedPostgres::start(&options(temp.path())).unwrap_err();
    assert!(matches!(error, ManagedError::WrongVersion { cluster: 12, .. }), "{error}");
    assert!(error.to_string().contains("`apt install postgresql-12`"), "{error}");
}

#[test]
fn a_failed_postgres_start_shows_the_end_of_the_log() {
    let temp = temp_dir();
    let mut options = options(temp.path());
    options.settings.push(("shared_buffers".to_owned(), "nonsense".to_owned()));
    let error = ManagedPostgres::start(&options).unwrap_err().to_string();
    assert!(error.contains("invalid value for parameter \"shared_buffers\""), "{error}");
}

#[test]
fn root_in_a_closed_home_directory_still_gets_a_private_postgres() {
    if !is_root() {
        return;
    }
    let temp = temp_dir();
    fs::set_permissions(temp.path(), Permissions::from_mode(0o700)).unwrap();
    let data_dir = temp.path().join("home/data");
    fs::create_dir_all(&data_dir).unwrap();
    let postgres = start(&data_dir);
    let mut conn = connect(postgres.url());
    // Enough rows that files are created, sorted and written.
    diesel::sql_query("CREATE TABLE t AS SELECT n::int8 FROM generate_series(1, 200000) AS n")
        .execute(&mut conn)
        .unwrap();
    diesel::sql_query("CREATE INDEX ON t (n)").execute(&mut conn).unwrap();
    diesel::sql_query("CHECKPOINT").execute(&mut conn).unwrap();
    let old = postmaster(&data_dir);
    kill(old, rustix::process::Signal::KILL);
    eventually("Postgres is back", || {
        PgConnection::establish(postgres.url()).is_ok_and(|_| postmaster(&data_dir) != old)
    });
    assert_eq!(ask(&mut connect(postgres.url()), "SELECT count(*) AS n FROM t"), 200_000);
    assert_eq!(running_url(&data_dir).as_deref(), Some(postgres.url()));
    postgres.stop();
    start(&data_dir).stop();
}

#[test]
fn a_directory_the_postgres_user_cannot_reach_is_refused() {
    if !is_root() {
        return;
    }
    let temp = temp_dir();
    fs::create_dir(temp.path().join("postgres")).unwrap();
    fs::set_permissions(temp.path().join("postgres"), Permissions::from_mode(0o700)).unwrap();
    let error = ManagedPostgres::start(&options(temp.path())).unwrap_err();
    assert!(matches!(error, ManagedError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("postgres has mode 0700"), "{error}");
    assert!(error.to_string().contains("put the data directory elsewhere"), "{error}");
}

/// A copy of this program that every user can run, because the build directory may be closed to others.
fn copy_of_this_program(dir: &Path) -> PathBuf {
    let program = dir.join("it");
    // `cp` writes it, because processes that this one starts meanwhile would inherit a file open for writing, and
    // such a file can't be executed.
    assert!(Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&program).status().unwrap().success());
    program
}

/// Runs the tests of this file whose names contain one of these words again, under `setpriv` with these options.
fn again(setpriv: &[&str], words: &[&str]) {
    if !is_root() || std::env::var_os("PACKHOUSE_TEST_AGAIN").is_some() {
        return;
    }
    let temp = temp_dir();
    let program = copy_of_this_program(temp.path());
    let listed = Command::new(&program).arg("--list").output().unwrap().stdout;
    let listed = String::from_utf8(listed).unwrap();
    let names = listed.lines().filter_map(|line| line.strip_suffix(": test"));
    let ours = names.filter(|name| name.starts_with("managed_postgres::") && words.iter().any(|w| name.contains(w)));
    let output = Command::new("setpriv")
        .args(setpriv)
        .arg(&program)
        .arg("--exact")
        .args(ours)
        .env("PACKHOUSE_TEST_AGAIN", "yes")
        .env("TMPDIR", "/tmp")
        .current_dir("/")
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn these_tests_pass_as_an_ordinary_user() {
    again(
        &["--reuid", "65534", "--regid", "65534", "--clear-groups"],
        &["first_start", "kill", "dies_while", "stale_pid", "too_deep", "two_starts", "not_trusted"],
    );
}

#[test]
fn these_tests_pass_as_root_of_a_container_without_ptrace() {
    again(&["--bounding-set=-sys_ptrace"], &["kill", "finds_the_postgres", "stale_pid"]);
}

#[test]
fn a_user_id_without_an_account_gets_an_explanation() {
    if !is_root() {
        return;
    }
    let temp = temp_dir();
    let data_dir = temp.path().join("data");
    fs::create_dir(&data_dir).unwrap();
    chown(&data_dir, Some(54_321), Some(54_321)).unwrap();
    let program = copy_of_this_program(temp.path());
    let output = Command::new(&program)
        .args(["--exact", "managed_postgres::a_server_to_be_killed", "--nocapture", "--ignored"])
        .env(SERVE, &data_dir)
        .uid(54_321)
        .gid(54_321)
        .current_dir("/")
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("runs as user id 54321, which has no entry in the password database"), "{said}");
}
