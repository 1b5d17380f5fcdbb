//! The scripts for people: what they say before they do anything.

use base64::Engine;
use sha2::Digest;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What can be run in `script/`, and `.ci/run`.
fn scripts() -> Vec<PathBuf> {
    let mut scripts: Vec<PathBuf> = fs::read_dir(root().join("script"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| fs::metadata(path).unwrap().permissions().mode() & 0o111 != 0)
        .collect();
    scripts.push(root().join(".ci/run"));
    scripts
}

/// A machine with these programs and no others: nothing can be installed, built or downloaded.
struct Bare(tempfile::TempDir);

impl Bare {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["bash", "basename", "cut", "dirname", "env", "getent", "id", "sed", "sh"] {
            let dirs = ["/bin", "/usr/bin"].map(|dir| Path::new(dir).join(name));
            let program = dirs.iter().find(|program| program.exists()).unwrap_or_else(|| panic!("no {name} here"));
            symlink(program, dir.path().join(name)).unwrap();
        }
        Self(dir)
    }

    /// A Rust of this version in a folder of this name.
    fn install_rust(&self, folder: &str, version: &str) -> PathBuf {
        let folder = self.0.path().join(folder);
        fs::create_dir_all(&folder).unwrap();
        for name in ["cargo", "rustc"] {
            let program = folder.join(name);
            fs::write(&program, format!("#!/bin/sh\necho '{name} {version} (a date)'\n")).unwrap();
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        }
        folder
    }

    /// The password database of this machine.
    fn install_homes(&self) {
        let home = self.0.path().display();
        let script =
            format!("#!/bin/sh\ncase $2 in ada) echo x:x:1:1::{home}/ada:x ;; *) echo x:x:0:0::{home}:x ;; esac\n");
        let program = self.0.path().join("getent");
        fs::remove_file(&program).unwrap();
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn run(&self, program: &Path, args: &[&str], environment: &[(&str, &str)]) -> Output {
        Command::new(program)
            .args(args)
            .env_clear()
            .env("PATH", self.0.path())
            .env("HOME", self.0.path())
            .envs(environment.iter().copied())
            .current_dir(self.0.path())
            .output()
            .unwrap()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The version of Rust that Cargo.toml asks for, such as 1.95.
fn needed_rust() -> String {
    let manifest: toml::Table = fs::read_to_string(root().join("Cargo.toml")).unwrap().parse().unwrap();
    manifest["package"]["rust-version"].as_str().unwrap().to_owned()
}

#[test]
fn every_script_answers_help_before_it_installs_or_builds_anything() {
    let bare = Bare::new();
    for script in scripts() {
        let name = script.strip_prefix(root()).unwrap().display().to_string();
        for option in ["--help", "-h"] {
            let output = bare.run(&script, &[option], &[]);
            let (out, err) = (text(&output.stdout), text(&output.stderr));
            assert!(output.status.success() && err.is_empty(), "{name} {option}: {err}");
            assert!(out.contains(&format!("\nUsage: {name}")), "{name} {option}: {out}");
        }
    }
}

#[test]
fn the_rust_that_is_needed_is_said_before_anything_is_installed() {
    let needed = needed_rust();
    let bare = Bare::new();
    bare.install_homes();
    let bootstrap = root().join("script/bootstrap");
    let none = bare.run(&bootstrap, &[], &[]);
    let said = text(&none.stderr);
    assert!(!none.status.success() && said.contains(&format!("needs Rust {needed} or later")), "{said}");
    assert!(said.contains("none here") && said.contains("https://rustup.rs"), "{said}");

    bare.install_rust(".cargo/bin", "1.63.0");
    let old = bare.run(&bootstrap, &[], &[]);
    let said = text(&old.stderr);
    assert!(!old.status.success() && said.contains(&format!("needs Rust {needed} or later")), "{said}");
    assert!(said.contains("Rust 1.63.0") && said.contains("rustup update"), "{said}");

    for page in ["README.md", "CONTRIBUTING.md", "script/bootstrap"] {
        let page_text = fs::read_to_string(root().join(page)).unwrap().replace(['[', ']'], "");
        let says = page_text.contains(&format!("{needed} or later"));
        assert!(says, "{page} does not say that Rust {needed} or later is needed");
    }
}

#[test]
fn a_rust_that_is_new_enough_is_found_in_the_home_and_under_sudo() {
    let bare = Bare::new();
    bare.install_homes();
    let library = root().join("script/lib.sh");
    let find = format!(". {}\nfind_rust {}\nrustc --version\n", library.display(), root().display());
    let found = |environment: &[(&str, &str)]| {
        let output = bare.run(Path::new("/bin/sh"), &["-euc", &find], environment);
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    };
    bare.install_rust("ada/.cargo/bin", "1.999.1");
    assert!(found(&[]).is_err(), "another user's Rust is not ours");
    assert!(found(&[("SUDO_USER", "ada")]).unwrap().contains("1.999.1"));
    bare.install_rust(".cargo/bin", "2.0.0");
    assert!(found(&[]).unwrap().contains("2.0.0"));
    // An old one in the PATH, such as Debian's, hides neither.
    let old = bare.install_rust("old", "1.63.0");
    let path = format!("{}:{}", old.display(), bare.0.path().display());
    assert!(found(&[("PATH", &path)]).unwrap().contains("2.0.0"));
    fs::remove_dir_all(bare.0.path().join(".cargo")).unwrap();
    assert!(found(&[("PATH", &path), ("SUDO_USER", "ada")]).unwrap().contains("1.999.1"));
}

/// A registry that answers each request with this file, and returns the requests' headers.
fn registry(file: Vec<u8>, requests: usize) -> (String, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let answered = std::thread::spawn(move || {
        let answer = |_| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", file.len()).unwrap();
            stream.write_all(&file).unwrap();
            text(&head)
        };
        (0..requests).map(answer).collect()
    });
    (address, answered)
}

#[test]
fn browser_packages_come_from_the_configured_registry_and_are_verified() {
    let dir = tempfile::tempdir().unwrap();
    let (home, project) = (dir.path().join("home"), dir.path().join("project"));
    fs::create_dir_all(dir.path().join("package")).unwrap();
    fs::write(dir.path().join("package/index.js"), "1").unwrap();
    let tar = ["-C", dir.path().to_str().unwrap(), "-czf", "-", "package"];
    let archive = Command::new("tar").args(tar).output().unwrap().stdout;
    let digest = base64::prelude::BASE64_STANDARD.encode(sha2::Sha512::digest(&archive));
    let lock = |digest: &str| {
        let tiny = serde_json::json!({"version": "1.2.3", "integrity": format!("sha512-{digest}")});
        serde_json::json!({"packages": {"": {"name": "project"}, "node_modules/@scope/tiny": tiny}}).to_string()
    };
    fs::create_dir(&home).unwrap();
    fs::create_dir(&project).unwrap();
    let (address, answered) = registry(archive, 2);
    let settings = format!("registry=http://{address}/npm/\n//{address}/npm/:_authToken=${{SECRET}}\n");
    fs::write(home.join(".npmrc"), settings).unwrap();
    let install = |lock: &str| {
        fs::write(project.join("package-lock.json"), lock).unwrap();
        let path = std::env::var_os("PATH").unwrap();
        let mut node = Command::new("node");
        node.arg(root().join("tests/browser/install.mjs")).arg(&project);
        node.env_clear().env("PATH", path).env("HOME", &home).env("SECRET", "hush").output().unwrap()
    };
    let installed = install(&lock(&digest));
    assert!(installed.status.success(), "{}", text(&installed.stderr));
    let file = project.join("node_modules/@scope/tiny/index.js");
    assert_eq!(fs::read_to_string(&file).unwrap(), "1");
    assert_eq!(fs::read_to_string(project.join("node_modules/.package-lock.json")).unwrap(), lock(&digest));

    // A file with other bytes is refused, and what was there stays.
    let refused = install(&lock(&digest.replace(&digest[..4], "AAAA")));
    let said = text(&refused.stderr);
    assert!(!refused.status.success() && said.contains("isn't the file that package-lock.json names"), "{said}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "1");
    assert_eq!(fs::read_dir(&project).unwrap().count(), 2, "no draft is left");
    for request in answered.join().unwrap() {
        assert!(request.starts_with("GET /npm/@scope/tiny/-/tiny-1.2.3.tgz HTTP/1.1"), "{request}");
        assert!(request.contains("Authorization: Bearer hush"), "{request}");
    }
}
