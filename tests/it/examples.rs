//! Runs the examples of the manual: every `sh` block of a page, in order, in an empty directory, with a new server. The
//! blocks of a page are pasted whole into one shell: it reads them from its standard input, so a command that reads that
//! too takes the rest of its block away. A `text` block is the expected output, in which `…` matches anything.
//!
//! A block in another language isn't run. [`NOT_RUN`] says why, and a test keeps it complete. The blocks of the pages
//! about clients are run by the scripts of `tests/clients`, each with its program.

use crate::program::{Home, Server};
use crate::support::people::db_caller;
use diesel::prelude::*;
use packhouse::domain::clock::Timestamp;
use packhouse::domain::digest::from_hex;
use packhouse::domain::secret::MasterKey;
use packhouse::registry::access::can_change_own;
use packhouse::registry::accounts::two_factor::{self, Seed};
use packhouse::web::manual::pages::ManualPages;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

/// The address of the server in the manual.
const SHOWN: &str = "127.0.0.1:3000";

/// What the manual shows and a test replaces: the public address of a server, and passwords that `curl` asks for.
const REPLACED: [(&str, &str); 3] = [
    ("https://packages.example.org", "http://127.0.0.1:3000"),
    (" -u ada ", " -u \"ada:$(cat ada.password)\" "),
    (" -u admin ", " -u \"admin:$(cat admin.password)\" "),
];

/// The shell blocks that no test runs, by page and first line, with the reason.
const NOT_RUN: [(&str, &str, &str); 20] = [
    ("docs/api.md", "curl --fail-with-body -u ada http://127.0.0.1:3000/api/v1/user", "it asks for a password"),
    ("docs/getting-started.md", "script/server", "it builds the program"),
    ("docs/index.md", "curl --fail-with-body -u YOUR_NAME -T app.tar.gz \\", "the name is the reader's"),
    ("docs/operations/mail.md", "packhouse mail test ada@example.org", "it needs a mail server; `mail` runs it"),
    (
        "docs/operations/mail.md",
        "curl --fail-with-body -u admin https://packages.example.org/api/v1/admin/invitations \\",
        "it needs a server that sends mail; `mail` does the same",
    ),
    (
        "docs/operations/object-store.md",
        "packhouse store copy --to new-store.toml",
        "it needs a new store; `object_store_program` runs it",
    ),
    ("docs/operations/running.md", "packhouse serve", "the server of the test is running"),
    ("docs/operations/running.md", "script/bootstrap", "it builds the program"),
    ("docs/operations/running.md", "install -m 755 target/release/packhouse /usr/local/bin/", "it changes the machine"),
    ("docs/operations/running.md", "systemctl daemon-reload", "it changes the machine"),
    (
        "docs/operations/running.md",
        "packhouse --config /etc/packhouse/packhouse.toml user password admin --random-password",
        "it is about the service that the block before starts",
    ),
    (
        "docs/operations/running.md",
        "psql 'postgresql:///packhouse?host=/var/lib/packhouse/postgres/socket&user=packhouse'",
        "it waits for commands",
    ),
    ("docs/operations/several-servers.md", "docker compose up --build", "it needs containers"),
    (
        "docs/operations/sizing.md",
        "curl -s http://127.0.0.1:3000/metrics | grep -E '^packhouse_(blobs|blob_bytes|store_free_bytes|db_)'",
        "the numbers are the reader's",
    ),
    (
        "docs/operations/several-servers.md",
        "(umask 077 && openssl rand -hex 32 >secret-key)",
        "the key is for other machines",
    ),
    (
        "docs/operations/upgrade.md",
        "packhouse --config /etc/packhouse/packhouse.toml backup /backup/before-the-upgrade &&",
        "it changes the machine; `backup_manual` runs it on another",
    ),
    ("docs/performance.md", "script/bench", "it takes ten minutes"),
    ("docs/performance.md", "script/fill", "it takes ten minutes"),
    (
        "docs/usage/authentication.md",
        "curl --fail-with-body -u ada -H 'X-Gitea-OTP: 123456' http://127.0.0.1:3000/api/v1/user",
        "the code is the reader's; `api` has an example with a real one",
    ),
    ("docs/usage/clients/index.md", "read -rs PACKHOUSE_TOKEN && export PACKHOUSE_TOKEN", "it asks for a token"),
];
/// The languages of blocks that no shell runs.
const NO_SHELL: [&str; 13] =
    ["text", "json", "toml", "ini", "nginx", "haproxy", "sql", "yaml", "python", "cmake", "hcl", "nix", "dockerfile"];
/// The pages whose examples follow each other, in this order. The last one removes what they leave.
const PAGES: [&str; 23] = [
    "docs/getting-started.md",
    "docs/usage/packages/generic.md",
    "docs/usage/packages/states.md",
    "docs/usage/packages/selectors.md",
    "docs/usage/packages/archives.md",
    "docs/usage/feeds.md",
    "docs/usage/packages/retention.md",
    "docs/usage/authentication.md",
    "docs/compatibility.md",
    "docs/usage/search.md",
    "docs/usage/webhooks.md",
    "docs/usage/accounts.md",
    "docs/operations/quotas.md",
    "docs/operations/audit.md",
    "docs/usage/package-access.md",
    "docs/usage/trusted-publishing.md",
    "docs/operations/reverse-proxy.md",
    "docs/operations/running.md",
    "docs/operations/upgrade.md",
    "docs/operations/integrity.md",
    "docs/usage/packages/replacing.md",
    "docs/usage/packages/trash.md",
    "docs/operations/configuration.md",
];
/// The pages with examples that have tests of their own.
const OTHER_PAGES: [&str; 3] = ["README.md", "docs/api.md", "docs/operations/backup.md"];

/// Separates the outputs of two blocks.
const MARK: char = '\u{1e}';

pub struct Block {
    /// The line where it begins, counted from 1.
    pub line: usize,
    pub language: String,
    pub text: String,
}

impl Block {
    /// It isn't run with the others of its page, because later pages need the examples.
    fn removes_examples(&self) -> bool {
        self.language == "bash" && self.text.starts_with("admin=")
    }
}

/// The text of a page, which is named by its path in the repository.
pub fn source(page: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).unwrap()
}

pub fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<(Block, usize)> = None;
    for (index, line) in page.lines().enumerate() {
        let bare = line.trim_start();
        match (&mut open, bare.strip_prefix("```")) {
            (None, Some(language)) => {
                let block = Block { line: index + 1, language: language.trim().to_owned(), text: String::new() };
                open = Some((block, line.len() - bare.len()));
            }
            (Some(_), Some("")) => blocks.extend(open.take().map(|(block, _)| block)),
            (Some((block, indent)), _) => {
                block.text.push_str(line.get(*indent..).unwrap_or_default());
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a code block is not closed");
    blocks
}

/// Removes white space, and everything that differs in each run: numbers in JSON, times, digests, secrets.
fn loose(line: &str) -> String {
    let is_json = line.contains('"') && !line.starts_with("etag:");
    for (differs, length) in [("last-modified: ", usize::MAX), ("\"token_last_eight\":\"", 8)] {
        if let Some((before, after)) = line.split_once(differs) {
            return loose(before) + differs.trim() + &loose(after.get(length..).unwrap_or_default());
        }
    }
    let mut all = String::new();
    let mut word = String::new();
    let mut end = |word: &mut String| {
        if word.starts_with("phk_") {
            all.push_str("phk_");
        } else if is_json && word.len() >= 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            all.push('#');
        } else if is_json {
            let mut before = ' ';
            for c in word.chars() {
                let c = if c.is_ascii_digit() { '0' } else { c };
                if !(c == '0' && before == '0') {
                    all.push(c);
                }
                before = c;
            }
        } else {
            all.push_str(word);
        }
        word.clear();
        all.len()
    };
    for c in line.chars().filter(|c| !c.is_whitespace()) {
        if c.is_ascii_alphanumeric() || c == '_' {
            word.push(c);
        } else {
            end(&mut word);
            word.push(c);
            end(&mut word);
        }
    }
    end(&mut word);
    all
}

/// The lines of an expected output. A line that begins with white space continues the line before.
fn entries(text: &str) -> Vec<String> {
    let mut entries: Vec<String> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        match entries.last_mut() {
            Some(last) if line.starts_with(' ') => last.push_str(line),
            _ => entries.push(line.to_owned()),
        }
    }
    entries
}

/// The output with one line per JSON document, because JSON answers don't end with a line break.
fn apart(output: &str) -> String {
    let mut apart = String::new();
    let mut before = ' ';
    for c in output.chars() {
        if matches!(before, '}' | ']') && !",]}:\"".contains(c) {
            apart.push('\n');
        }
        apart.push(c);
        before = c;
    }
    apart
}

/// The first expected line that isn't in the output.
fn missing(shown: &str, output: &str) -> Option<String> {
    let output: Vec<String> = apart(output).lines().map(loose).collect();
    let output = output.join("\n");
    let mut from = 0;
    entries(shown).into_iter().find(|entry| {
        // Headers come in any order.
        let is_field = entry
            .split_once(": ")
            .is_some_and(|(name, _)| name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'));
        let mut at = if is_field { 0 } else { from };
        for piece in entry.split('…').map(loose) {
            match output[at..].find(&piece) {
                Some(found) => at += found + piece.len(),
                None => return true,
            }
        }
        from = from.max(at);
        false
    })
}

/// An empty directory with a server, `packhouse` in the `PATH`, and curl without progress bars.
struct Desk {
    home: Home,
    server: Server,
}

impl Desk {
    fn new() -> Self {
        let home = Home::new();
        let server = Server::start(&home);
        let bin = home.path("bin");
        fs::create_dir(&bin).unwrap();
        symlink(env!("CARGO_BIN_EXE_packhouse"), bin.join("packhouse")).unwrap();
        // Progress bars would be in the output.
        fs::write(home.path(".curlrc"), "silent\nshow-error\n").unwrap();
        Self { home, server }
    }

    /// Runs the examples of a page, after the examples of earlier pages.
    fn run(&self, page: &str) {
        self.run_blocks(page, |block| block.language == "sh");
    }

    /// Runs the block of a page that removes its examples.
    fn remove(&self, page: &str) {
        self.run_blocks(page, Block::removes_examples);
    }

    fn run_blocks(&self, page: &str, is_run: impl Fn(&Block) -> bool) {
        let blocks = blocks(&source(page));
        // As in a terminal, `!` is special. Unlike there, a failed command ends the shell, so that the test sees it.
        let mut script = "set -eo pipefail -o history -o histexpand\n".to_owned();
        for block in blocks.iter().filter(|block| is_run(block)) {
            script.push_str(&format!("printf '{MARK}{}\\n'\n{}", block.line, block.text));
        }
        for (shown, replacement) in REPLACED {
            script = script.replace(shown, replacement);
        }
        let script = script.replace(SHOWN, &self.server.address);
        fs::write(self.home.path("pasted"), script).unwrap();
        let path = format!("{}:{}", self.home.path("bin").display(), std::env::var("PATH").unwrap());
        let mut shell = Command::new("bash");
        shell.arg("--norc").stdin(File::open(self.home.path("pasted")).unwrap());
        shell.env_clear().envs(self.home.env.iter().cloned());
        shell.env("PATH", path).env("HOME", self.home.dir.path()).current_dir(self.home.dir.path());
        let ran = shell.output().unwrap();
        let output = String::from_utf8(ran.stdout).unwrap().replace(&self.server.address, SHOWN);
        let errors = String::from_utf8_lossy(&ran.stderr);
        let mut outputs = output.split(MARK).skip(1).peekable();
        let mut last = String::new();
        for block in &blocks {
            let at = format!("{page}:{}", block.line);
            match block.language.as_str() {
                _ if is_run(block) => {
                    let (line, output) = outputs.next().unwrap_or_default().split_once('\n').unwrap_or_default();
                    assert_eq!(line, block.line.to_string(), "{at} did not run: the one before failed\n{errors}");
                    let failed = outputs.peek().is_none() && !ran.status.success();
                    assert!(!failed, "{at} failed\n{output}\n{errors}");
                    last.push_str(output);
                }
                "text" if !last.is_empty() => {
                    if let Some(entry) = missing(&block.text, &last) {
                        panic!("{at} expects output that is missing:\n{entry}\nactual output:\n{last}\n{errors}");
                    }
                    last.clear();
                }
                _ => {}
            }
        }
    }

    /// Creates a user who has set up two-factor authentication in the browser. `NAME.password` has their password, and
    /// `NAME.totp` the secret of their authenticator app.
    fn user_with_second_factor(&self, name: &str) {
        let email = format!("{name}@example.org");
        let password = self.home.ok(&["user", "create", name, "--email", &email, "--random-password"]);
        fs::write(self.home.path(&format!("{name}.password")), password).unwrap();
        let key = fs::read_to_string(self.home.data().join("secret-key")).unwrap();
        let key = MasterKey::new(from_hex(key.trim_end()).unwrap());
        let (seed, now) = (Seed::generate(), Timestamp::from(SystemTime::now()));
        // The code that confirms it can't be used again, so this is the previous one. The current code still works.
        let before = now.minus(Duration::from_secs(30));
        let enrolled = self.home.database().transaction(|conn| {
            let caller = db_caller(conn, name)?;
            let right = can_change_own(conn, &caller)?;
            two_factor::enroll(conn, &caller, &right, (&key, &seed), &seed.code_at(before)?, before)
        });
        enrolled.unwrap();
        fs::write(self.home.path(&format!("{name}.totp")), seed.spelled().unwrap().replace(' ', "")).unwrap();
    }
}

#[test]
fn the_api_examples_do_what_the_manual_says() {
    let desk = Desk::new();
    desk.user_with_second_factor("carl");
    desk.run("docs/api.md");
}

#[test]
fn readme_examples_can_be_repeated_and_use_their_own_names() {
    let desk = Desk::new();
    desk.run("README.md");
    desk.run("README.md");
    desk.run("docs/getting-started.md");
}

#[test]
fn manual_examples_run_page_after_page_and_can_be_repeated() {
    let desk = Desk::new();
    fs::set_permissions(desk.home.dir.path(), Permissions::from_mode(0o755)).unwrap();
    fs::write(desk.home.path("app.tar.gz"), "an application").unwrap();
    fs::write(desk.home.path("packhouse.log"), "request{request_id=5f0c1a9be2d47783}\n").unwrap();
    for _ in 0..2 {
        for page in PAGES {
            desk.run(page);
        }
        let password = fs::read(desk.home.path("admin.password")).unwrap();
        desk.remove("docs/getting-started.md");
        // The page tells readers who repeat it to use the new password.
        fs::write(desk.home.data().join("initial-admin-password"), password).unwrap();
    }
}

/// Every shell block of the manual, and its page.
fn shell_blocks() -> Vec<(String, Block)> {
    let mut pages = vec!["README.md".to_owned()];
    pages.extend(ManualPages::get().pages().map(|page| format!("docs/{}", page.file)));
    let mut found = Vec::new();
    for page in pages {
        for block in blocks(&source(&page)) {
            match block.language.as_str() {
                "sh" | "bash" => found.push((page.clone(), block)),
                language => {
                    assert!(NO_SHELL.contains(&language), "{page}:{}: what is a block of {language:?}?", block.line)
                }
            }
        }
    }
    found
}

/// Whether a script of `tests/clients` runs a `bash` block of a page. They are numbered from 1.
fn is_run_by_a_client(page: &str, number: usize) -> bool {
    let Some(name) = page.strip_prefix("docs/usage/clients/") else { return false };
    let ways = [format!("run {name} {number}\n"), format!("block {name} bash {number} ")];
    let scripts = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")).unwrap();
    scripts
        .map(|script| fs::read_to_string(script.unwrap().path()).unwrap())
        .any(|script| ways.iter().any(|way| script.contains(way.as_str())))
}

#[test]
fn every_shell_block_of_the_manual_is_run_or_says_why_not() {
    let pages: BTreeSet<&str> = PAGES.into_iter().chain(OTHER_PAGES).collect();
    let mut not_run = BTreeSet::new();
    let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
    for (page, block) in shell_blocks() {
        if block.language == "bash" {
            *numbers.entry(page.clone()).or_default() += 1;
        }
        let first = block.text.lines().next().unwrap_or_default();
        assert!(!first.starts_with("$ "), "{page}: {first}: a prompt can't be pasted");
        match block.language.as_str() {
            "sh" => assert!(pages.contains(page.as_str()), "no test runs the `sh` blocks of {page}: {first}"),
            _ if block.removes_examples() || is_run_by_a_client(&page, numbers[&page]) => {}
            _ => assert!(not_run.insert((page.clone(), first.to_owned())), "{page} has two blocks {first}"),
        }
    }
    let reasons = NOT_RUN.iter().map(|(page, first, _)| ((*page).to_owned(), (*first).to_owned())).collect();
    assert_eq!(not_run, reasons, "a block that no test runs needs a reason in NOT_RUN");
}

#[test]
fn example_output_is_compared_loosely_but_compared() {
    let json = r#"{"id":7,"name":"hello","at":"2026-11-23T16:53:16Z"}"#;
    assert_eq!(missing(r#"{"id":3, "name":"hello", …}"#, json), None);
    assert_eq!(missing("{\"id\":3,\n \"name\":\"hello\", \"at\":\"2031-01-01T00:00:00Z\"}", json), None);
    assert_eq!(missing(r#"{"id":3,"name":"other", …}"#, json), Some(r#"{"id":3,"name":"other", …}"#.to_owned()));
    assert_eq!(missing(r#"{"id":"3", …}"#, json), Some(r#"{"id":"3", …}"#.to_owned()));
    assert_eq!(missing("200\n304", "200\n304\n"), None);
    assert_eq!(missing("304\n200", "200\n304\n"), Some("200".to_owned()));
    assert_eq!(missing("HTTP/1.1 201 Created\netag: \"a\"", "HTTP/1.1 201 Created\nx: 1\netag: \"a\"\n"), None);
    assert_eq!(missing("HTTP/1.1 200 OK", "HTTP/1.1 201 Created\n"), Some("HTTP/1.1 200 OK".to_owned()));
}
