//! S3 servers of others, each where it is installed; `script/test-stores` installs them.

use crate::support::cluster::{cluster, config};
use crate::support::{Plan, Site, TestStore, eventually, noise, path};
use packhouse::domain::clock::Clock;
use packhouse::instance::Instance;
use packhouse::jobs::check::{self, Options};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const MIB: usize = 1 << 20;
const ACCESS_KEY: &str = "test-access";
const SECRET_KEY: &str = "test-secret";

fn file(name: &str) -> String {
    path(&["ada", "tool", "1.0", name])
}

/// A running server, killed when it is dropped.
struct Store {
    process: Child,
    endpoint: String,
    _dir: tempfile::TempDir,
}

impl Store {
    /// Starts a program that listens on a port and has its files in a directory; `None` if it isn't installed.
    #[expect(clippy::print_stdout, reason = "a test that did nothing says so")]
    async fn start(program: &str, arguments: impl Fn(&str, &Path) -> Vec<String>) -> Option<Self> {
        let dir = cluster().directory();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
        let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/stores/bin").join(program);
        let command = if installed.exists() { installed.as_os_str() } else { program.as_ref() };
        let started = Command::new(command)
            .args(arguments(&port, dir.path()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let process = match started {
            Ok(process) => process,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                println!("skipped, because {program} is not installed: script/test-stores installs it");
                return None;
            }
            Err(error) => panic!("{program}: {error}"),
        };
        let store = Self { process, endpoint: format!("http://127.0.0.1:{port}"), _dir: dir };
        eventually("the store listens", async || tokio::net::TcpStream::connect(&store.endpoint[7..]).await.is_ok())
            .await;
        Some(store)
    }

    fn settings<'a>(&'a self, secret: &'a str) -> [(&'static str, &'a str); 6] {
        [
            ("PACKHOUSE_STORE_KIND", "s3"),
            ("PACKHOUSE_STORE_BUCKET", "blobs"),
            ("PACKHOUSE_STORE_ENDPOINT", &self.endpoint),
            ("PACKHOUSE_STORE_ACCESS_KEY_ID", ACCESS_KEY),
            ("PACKHOUSE_STORE_SECRET_ACCESS_KEY", secret),
            ("PACKHOUSE_TRASH_KEEP_DAYS", "0"),
        ]
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Publishes, downloads, redirects, interrupts, deletes, sweeps and checks. Returns the status of an address whose
/// signature was changed.
async fn is_used_in_every_way(store: &Store) -> u16 {
    let mut settings = store.settings(SECRET_KEY).to_vec();
    settings.extend([("PACKHOUSE_STORE_REDIRECT", "auto"), ("PACKHOUSE_STORE_REDIRECT_FROM_BYTES", "10000000")]);
    let plan = Plan { settings: &settings, real_time: true, store: TestStore::Directory, ..Plan::default() };
    let site = Site::start(plan);
    let sizes = [0, 1, 70_000, 9 * MIB, 25 * MIB + 17];
    for size in sizes {
        let name = file(&size.to_string());
        site.ci().publish(&name, noise(size)).await;
        assert!(site.anon().get(&format!("{name}?redirect=false")).await.is(200).body == noise(size), "{size}");
    }
    let part = site.anon().get(&file(&(9 * MIB).to_string())).header("range", "bytes=5000000-5000009").await.is(206);
    assert_eq!(part.body, noise(9 * MIB)[5_000_000..=5_000_009]);
    let redirect = site.anon().get(&file(&(25 * MIB + 17).to_string())).await.is(307);
    let address = redirect.header("location").unwrap();
    assert!(site.plain(address).await.is(200).body == noise(25 * MIB + 17));
    let forged = site.plain(&address.replace("X-Amz-Expires=600", "X-Amz-Expires=6000")).await.status;
    // An upload of which nothing is left.
    let (head, tail) = (noise(20 * MIB), std::io::Error::other("interrupted"));
    let pieces = futures_util::stream::iter([Ok(head), Err(tail)]);
    assert!(site.ci().put(&file("cut"), reqwest::Body::wrap_stream(pieces)).send().await.is_err());
    site.anon().get(&file("cut")).await.is(404);
    site.ci().delete(&file(&(9 * MIB).to_string())).await.is(204);
    eventually("the blob is swept", async || site.sweep(Duration::ZERO).await.unwrap().unused == 1).await;
    assert_eq!(site.store_blobs(), sizes.len() - 1);
    let (mut lines, app) = (Vec::new(), &site.app);
    let options = Options { patience: Duration::ZERO, digests: true };
    check::run(&app.db, &app.store, &app.clock, options, |line| lines.push(line.to_owned())).await.unwrap();
    assert_eq!(lines, [""; 0]);
    forged
}

#[tokio::test]
async fn versitygw_keeps_blobs_and_checks_every_signature() {
    let arguments = |port: &str, dir: &Path| {
        let (buckets, metadata) = (dir.join("buckets"), dir.join("metadata"));
        std::fs::create_dir_all(buckets.join("blobs")).unwrap();
        std::fs::create_dir(&metadata).unwrap();
        let address = format!("127.0.0.1:{port}");
        let mut all: Vec<String> =
            ["--port", &address, "--access", ACCESS_KEY, "--secret", SECRET_KEY, "--quiet"].map(str::to_owned).to_vec();
        all.extend(["posix".to_owned(), "--sidecar".to_owned()]);
        all.extend([metadata, buckets].map(|dir| dir.to_str().unwrap().to_owned()));
        all
    };
    let Some(store) = Store::start("versitygw", arguments).await else { return };
    assert_eq!(is_used_in_every_way(&store).await, 403);
    let (name, url) = cluster().database();
    let dir = cluster().directory();
    let refused = Instance::open(config(dir.path(), &url, &store.settings("wrong")), true, Clock::system()).await;
    let error = refused.err().unwrap().to_string();
    assert!(error.contains("check store.access_key_id and store.secret_access_key"), "{error}");
    cluster().drop_database(&name);
}

#[tokio::test]
async fn moto_keeps_blobs() {
    let arguments = |port: &str, _: &Path| ["-H", "127.0.0.1", "-p", port].map(str::to_owned).to_vec();
    let Some(store) = Store::start("moto_server", arguments).await else { return };
    let made = reqwest::Client::builder().no_proxy();
    let made = made.tls_backend_preconfigured(packhouse::outbound::tls(false).unwrap()).build().unwrap();
    assert!(made.put(format!("{}/blobs", store.endpoint)).send().await.unwrap().status().is_success());
    // It checks no signature.
    assert_eq!(is_used_in_every_way(&store).await, 200);
}
