//! A stand-in for the network between a server and its Postgres, which delays and loses what the test chooses.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What the connection says that keeps a server's lease.
const LISTENS: &[u8] = b"LISTEN packhouse_coherence";

#[derive(Default)]
struct Shared {
    /// Until when nothing passes on the connection that keeps the lease.
    stalled_until: Mutex<Option<Instant>>,
    /// Loses the answer to the next COMMIT on a connection on which this was said before.
    loses_after: Mutex<Option<Vec<u8>>>,
}

/// A proxy on a Unix socket.
pub struct DatabaseProxy {
    /// The URL of the same database through the proxy.
    pub url: String,
    shared: Arc<Shared>,
    _dir: tempfile::TempDir,
}

impl DatabaseProxy {
    /// A proxy for a database whose URL names the directory of a socket.
    pub fn new(url: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("proxy-").tempdir_in(super::cluster::fast_dir()).unwrap();
        let host = url.split_once("host=").unwrap().1.split('&').next().unwrap();
        let decoded = percent_encoding::percent_decode_str(host).decode_utf8().unwrap();
        let port = url.split_once("port=").unwrap().1.split('&').next().unwrap();
        let socket = |dir: &Path| dir.join(format!(".s.PGSQL.{port}"));
        let (to, shared) = (socket(Path::new(&*decoded)), Arc::<Shared>::default());
        let listener = UnixListener::bind(socket(dir.path())).unwrap();
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                // The test's Postgres may have ended.
                if let (Ok(client), Ok(server)) = (client, UnixStream::connect(&to)) {
                    connect(client, server, &accepting);
                }
            }
        });
        let own = super::client::escape(dir.path().to_str().unwrap());
        Self { url: url.replacen(&format!("host={host}"), &format!("host={own}"), 1), shared, _dir: dir }
    }

    /// Stops the connection that keeps the lease for this time: what is sent in either direction arrives later.
    pub fn stall(&self, span: Duration) {
        *self.shared.stalled_until.lock().unwrap() = Some(Instant::now() + span);
    }

    /// Cuts the next connection on which a statement contained this text, as soon as Postgres has answered its COMMIT.
    pub fn lose_commit_after(&self, text: &str) {
        *self.shared.loses_after.lock().unwrap() = Some(text.as_bytes().to_vec());
    }

    /// Whether the answer was lost.
    pub fn has_lost(&self) -> bool {
        self.shared.loses_after.lock().unwrap().is_none()
    }
}

/// Where a connection is.
#[derive(Default)]
struct State {
    listens: AtomicBool,
    is_after: AtomicBool,
    /// The answer to COMMIT is to be lost.
    loses: AtomicBool,
}

fn connect(client: UnixStream, server: UnixStream, shared: &Arc<Shared>) {
    let state = Arc::new(State::default());
    let (to_server, to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    let (sharing, told) = (Arc::clone(shared), Arc::clone(&state));
    std::thread::spawn(move || {
        pass(client, to_server, |bytes| {
            told.listens.fetch_or(has(bytes, LISTENS), Ordering::SeqCst);
            wait(&sharing, &told);
            let mut loses_after = sharing.loses_after.lock().unwrap();
            if let Some(text) = &*loses_after {
                told.is_after.fetch_or(has(bytes, text), Ordering::SeqCst);
                if told.is_after.load(Ordering::SeqCst) && has(bytes, b"COMMIT") {
                    told.loses.store(true, Ordering::SeqCst);
                    *loses_after = None;
                }
            }
            true
        });
    });
    let sharing = Arc::clone(shared);
    std::thread::spawn(move || {
        pass(server, to_client, |_| {
            wait(&sharing, &state);
            !state.loses.load(Ordering::SeqCst)
        });
    });
}

fn wait(shared: &Shared, state: &State) {
    while state.listens.load(Ordering::SeqCst)
        && shared.stalled_until.lock().unwrap().is_some_and(|until| Instant::now() < until)
    {
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Passes bytes on until one side ends, or `goes_on` says no; then both directions end.
fn pass(mut from: UnixStream, mut to: UnixStream, mut goes_on: impl FnMut(&[u8]) -> bool) {
    let mut buffer = [0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer)
        && goes_on(&buffer[..count])
        && to.write_all(&buffer[..count]).is_ok()
    {}
    for stream in [from, to] {
        let _ = stream.shutdown(Shutdown::Both);
    }
}

fn has(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}
