//! Runs the real `packhouse` binary, for tests that start, stop and kill it.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use diesel::prelude::*;
use packhouse::db::managed::running_url;
use packhouse::domain::digest::to_hex;
use rustix::process::{Pid, Signal, kill_process};
use sha2::Digest;

pub const MIB: usize = 1 << 20;
pub const PASSWORD: &str = "correct horse battery staple";

/// The directory of one instance: its data directory and its settings.
pub struct Home {
    pub dir: tempfile::TempDir,
    pub env: Vec<(String, String)>,
}

impl Home {
    /// In memory if possible. The user who runs Postgres must be able to enter it.
    pub fn new() -> Self {
        let base = if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/tmp" };
        let dir = tempfile::Builder::new().prefix("packhouse-cli-").tempdir_in(base).unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        let mut home = Self { dir, env: Vec::new() };
        home.set("PACKHOUSE_DATA_DIR", home.data().to_str().unwrap());
        home.set("PACKHOUSE_LISTEN", "127.0.0.1:0");
        home.set("PACKHOUSE_WORKERS", "1");
        home
    }

    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        self.env.push((key.to_owned(), value.into()));
    }

    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_packhouse"));
        for (key, _) in std::env::vars_os() {
            if key.to_string_lossy().starts_with("PACKHOUSE_") || key == "DATABASE_URL" {
                command.env_remove(key);
            }
        }
        command.args(args).envs(self.env.iter().cloned()).current_dir(self.dir.path()).stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, args: &[&str]) -> Ran {
        Ran::from(self.command(args).output().unwrap())
    }

    /// Runs a command that must succeed, and returns its output.
    pub fn ok(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!(ran.code, 0, "{args:?}: {}{}", ran.out, ran.err);
        ran.out
    }

    pub fn run_with_input(&self, args: &[&str], input: &str) -> Ran {
        let mut command = self.command(args);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        Ran::from(child.wait_with_output().unwrap())
    }

    pub fn make_user(&self, name: &str) {
        let email = format!("{name}@example.org");
        let ran = self.run_with_input(&["user", "create", name, "--email", &email, "--password-stdin"], PASSWORD);
        assert_eq!(ran.code, 0, "{}", ran.err);
    }

    /// A token that may publish.
    pub fn make_token(&self, user: &str) -> String {
        self.token(user, "ci", "write:package")
    }

    /// A token with a name and a scope.
    pub fn token(&self, user: &str, name: &str, scope: &str) -> String {
        let args = ["token", "create", "--user", user, "--name", name, "--scope", scope];
        self.ok(&args).trim_end().to_owned()
    }

    /// The private Postgres of the running server.
    pub fn database(&self) -> PgConnection {
        PgConnection::establish(&running_url(&self.data()).unwrap()).unwrap()
    }

    pub fn sql(&self, query: &str) {
        diesel::sql_query(query).execute(&mut self.database()).unwrap();
    }

    /// The number that a query returns as `n`.
    pub fn count(&self, query: &str) -> i64 {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = diesel::sql_types::BigInt)]
            n: i64,
        }
        diesel::sql_query(query).get_result::<Row>(&mut self.database()).unwrap().n
    }

    /// The path of the blob with this content.
    pub fn blob(&self, bytes: &[u8]) -> PathBuf {
        let digest = to_hex(&sha2::Sha256::digest(bytes));
        let shard = self.data().join("blobs/blobs").join(&digest[..2]);
        let found = fs::read_dir(shard).unwrap().map(|entry| entry.unwrap().path());
        let mut found = found.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(&digest));
        let path = found.next().unwrap_or_else(|| panic!("no blob {digest}"));
        assert_eq!(found.next(), None, "one blob per digest");
        path
    }
}

/// The outcome of a command.
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// A running server, killed when it is dropped.
pub struct Server {
    pub child: Child,
    pub address: String,
    /// The output until it listened.
    pub said: String,
}

impl Server {
    pub fn start(home: &Home) -> Self {
        Self::spawn(home, home.command(&["serve"]))
    }

    /// Starts it with a command that becomes the server.
    pub fn spawn(home: &Home, mut command: Command) -> Self {
        let log = fs::File::options().create(true).append(true).open(home.path("server.log")).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::from(log)).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        let address = loop {
            let mut line = String::new();
            if output.read_line(&mut line).unwrap() == 0 {
                let log = fs::read_to_string(home.path("server.log")).unwrap();
                panic!("the server ended: {:?}\n{said}\n{log}", child.wait());
            }
            said.push_str(&line);
            if let Some((_, address)) = line.trim_end().split_once(" listens on http://") {
                break address.to_owned();
            }
        };
        Self { child, address, said }
    }

    pub fn stop(mut self) {
        signal(i32::try_from(self.child.id()).unwrap(), Signal::TERM);
        assert!(self.child.wait().unwrap().success());
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn put(&self, token: &str, path: &str, bytes: &[u8]) -> u16 {
        let authorization = format!("Bearer {token}");
        http(&self.address, "PUT", &format!("/api/packages/{path}"), &[("Authorization", &authorization)], bytes).0
    }

    pub fn get(&self, path: &str) -> (u16, Vec<u8>) {
        http(&self.address, "GET", &format!("/api/packages/{path}"), &[], b"")
    }

    pub fn delete(&self, token: &str, path: &str) -> u16 {
        let authorization = format!("Bearer {token}");
        http(&self.address, "DELETE", &format!("/api/packages/{path}"), &[("Authorization", &authorization)], b"").0
    }

    /// Begins an upload of a declared length, and sends only the first bytes.
    pub fn begin_put(&self, token: &str, path: &str, length: usize, first: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(
            stream,
            "PUT /api/packages/{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        stream.write_all(first).unwrap();
        stream
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// The status and the body of an answer.
pub fn http(address: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, Vec<u8>) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n").unwrap();
    for (name, value) in headers {
        write!(stream, "{name}: {value}\r\n").unwrap();
    }
    write!(stream, "Content-Length: {}\r\n\r\n", body.len()).unwrap();
    // The server may refuse before the whole request is sent.
    let _ = stream.write_all(body);
    read_answer(&mut stream)
}

/// An answer; `None` if the server is gone.
pub fn try_http(at: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Option<(u16, Vec<u8>)> {
    let mut stream = TcpStream::connect(at).ok()?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let end = answer.windows(4).position(|part| part == b"\r\n\r\n")? + 4;
    let status = std::str::from_utf8(answer.get(9..12)?).ok()?.parse().ok()?;
    Some((status, answer.split_off(end)))
}

pub fn read_answer(stream: &mut TcpStream) -> (u16, Vec<u8>) {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|part| part == b"\r\n\r\n").expect("an answer") + 4;
    let status = std::str::from_utf8(&answer[9..12]).unwrap().parse().unwrap();
    (status, answer.split_off(end))
}

/// Waits until a condition holds, and fails after twenty seconds.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not within 20 s");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Pseudorandom bytes, different for each seed.
pub fn noise(seed: u64, size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ (seed << 32) ^ seed;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

/// Flips one bit of a file.
pub fn flip(path: &Path, at: u64) {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

/// Starts a server with one user, one small file and one large file. Returns the token that published them too.
pub fn with_two_files(home: &Home) -> (Server, String, [Vec<u8>; 2]) {
    home.make_user("ada");
    let token = home.make_token("ada");
    let files = [noise(1, 1000), noise(2, 2 * MIB + 77)];
    let server = Server::start(home);
    assert_eq!(server.put(&token, "ada/generic/app/1/small.bin", &files[0]), 201);
    assert_eq!(server.put(&token, "ada/generic/app/1/large.bin", &files[1]), 201);
    (server, token, files)
}

/// Asserts that `check` finds this problem and no other.
pub fn finds(home: &Home, args: &[&str], expected: &[&str]) {
    let ran = home.run(args);
    assert_eq!(ran.code, 1, "{expected:?} was not found: {}{}", ran.out, ran.err);
    let first = ran.out.lines().next().unwrap();
    for part in expected {
        assert!(first.contains(part), "{part:?} is not in: {}", ran.out);
    }
    assert!(ran.out.ends_with("\n1 problem\n"), "{}", ran.out);
}

/// Asserts that `check` finds no problem.
pub fn is_clean(home: &Home, args: &[&str]) {
    let ran = home.run(args);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    assert!(ran.out.ends_with("no problems\n"), "{}", ran.out);
}
