//! The manual's page about backups: its blocks, pasted as its readers would, by a user with a server of their own and
//! by the root of a machine with a service. And what root's commands leave in the service's data directory.

use std::fs::{self, File, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::examples::{blocks, source};
use crate::program::{Home, PASSWORD, Ran, Server, eventually, http, is_clean};

const PAGE: &str = "docs/operations/backup.md";
/// `nobody`, who stands for the service's user.
const SERVICE: u32 = 65_534;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The block of a page that contains these words.
fn block_of(page: &str, words: &str) -> String {
    let mut found = blocks(&source(page)).into_iter().filter(|block| block.text.contains(words));
    let block = found.next().unwrap_or_else(|| panic!("{page} has no block with {words}"));
    assert!(found.next().is_none(), "{page} has two blocks with {words}");
    assert!(matches!(block.language.as_str(), "sh" | "bash"), "{words}");
    block.text
}

fn block(words: &str) -> String {
    block_of(PAGE, words)
}

/// A machine below a directory: the paths of the manual are in it.
struct Machine {
    home: Home,
}

impl Machine {
    fn new() -> Self {
        let mut home = Home::new();
        home.env.clear();
        home.set("PACKHOUSE_WORKERS", "1");
        for dir in ["bin", "backup", "srv", "etc/packhouse", "var/lib"] {
            fs::create_dir_all(home.path(dir)).unwrap();
        }
        // Copied, because the build directory may be closed to the service's user. `cp` writes it: processes that this
        // one starts meanwhile would inherit a file open for writing, and such a file can't be executed.
        let program = home.path("bin/packhouse");
        assert!(Command::new("cp").arg(env!("CARGO_BIN_EXE_packhouse")).arg(&program).status().unwrap().success());
        Self { home }
    }

    fn script(&self, name: &str, text: &str) {
        let path = self.home.path("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}")).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    }

    /// The path of the manual on this machine.
    fn path(&self, shown: &str) -> PathBuf {
        self.home.path(shown.trim_start_matches('/'))
    }

    /// Pastes a block into a shell.
    fn paste(&self, text: &str) -> Ran {
        let root = self.home.dir.path().display();
        let mut text = text.to_owned();
        for shown in ["/backup/", "/srv/", "/var/lib/packhouse", "/etc/packhouse"] {
            text = text.replace(shown, &format!("{root}{shown}"));
        }
        fs::write(self.home.path("pasted"), text).unwrap();
        let path = format!("{root}/bin:{}", std::env::var("PATH").unwrap());
        let mut shell = Command::new("bash");
        shell.arg("--norc").stdin(File::open(self.home.path("pasted")).unwrap()).env_clear();
        shell.envs(self.home.env.iter().cloned()).env("PATH", path).current_dir(self.home.dir.path());
        Ran::from(shell.output().unwrap())
    }

    /// [`Machine::paste`] for a block that must succeed.
    fn works(&self, text: &str) -> String {
        let ran = self.paste(text);
        assert_eq!(ran.code, 0, "{text}\n{}{}", ran.out, ran.err);
        ran.out
    }
}

/// Everything below a directory that doesn't belong to the service's user.
fn foreign(path: &Path) -> Vec<PathBuf> {
    let found = fs::symlink_metadata(path).unwrap();
    let mut all = if found.uid() == SERVICE { Vec::new() } else { vec![path.to_owned()] };
    if found.is_dir() {
        all.extend(fs::read_dir(path).unwrap().flat_map(|entry| foreign(&entry.unwrap().path())));
    }
    all
}

#[test]
fn the_restore_block_starts_the_restored_instance_and_no_other() {
    let machine = Machine::new();
    let source = Home::new();
    source.make_user("ada");
    source.ok(&["backup", machine.path("/backup/packhouse").to_str().unwrap()]);

    // The server of the block runs until it listens.
    machine.script(
        "packhouse-serve",
        "PACKHOUSE_LISTEN=127.0.0.1:0 packhouse serve >said & pid=$!\n\
         until grep -q 'listens on' said; do kill -0 $pid || exit 1; sleep 0.02; done\n\
         kill $pid; wait $pid && cat said\n",
    );
    let pasted = block("packhouse serve").replace("packhouse serve", "packhouse-serve");
    let out = machine.works(&pasted);
    assert!(out.contains("restored the backup of 20") && out.contains("listens on"), "{out}");
    assert!(!out.contains("First start"), "it started another instance: {out}");
    assert!(!machine.path("data").exists() && machine.path("/srv/packhouse/postgres").exists());

    // Pasted again, the restore is refused, and nothing is started.
    fs::remove_file(machine.path("said")).unwrap();
    let again = machine.paste(&pasted);
    assert!(again.code != 0 && again.err.contains("the database is not empty"), "{}{}", again.out, again.err);
    assert!(!machine.path("said").exists(), "a server was started after a failed restore");

    let checks = format!("export PACKHOUSE_DATA_DIR=/srv/packhouse\n{}", block("packhouse check "));
    assert_eq!(machine.works(&checks).matches("no problems\n").count(), 2);
}

/// `systemctl` for the one service, which runs as the service's user. It is stopped when this is dropped.
struct Service<'a>(&'a Machine);

impl Service<'_> {
    fn install(machine: &Machine) -> Service<'_> {
        let [program, config, data, pid] =
            ["bin/packhouse", "etc/packhouse/packhouse.toml", "var/lib/packhouse", "pid"].map(|p| machine.home.path(p));
        // A free port, because the recipe asks the address that the configuration names.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let settings = format!("listen = \"127.0.0.1:{port}\"\ndata_dir = {data:?}\n");
        fs::write(&config, settings).unwrap();
        fs::create_dir(&data).unwrap();
        fs::set_permissions(&data, Permissions::from_mode(0o700)).unwrap();
        chown(&data, Some(SERVICE), Some(SERVICE)).unwrap();
        // A killed process that nobody waits for has no `exe`.
        let text = format!(
            "case $1 in\n\
             start) setpriv --reuid {SERVICE} --regid {SERVICE} --clear-groups {program} --config {config} serve \
             >>{log} 2>&1 </dev/null & echo $! >{pid} ;;\n\
             stop) [ -e {pid} ] || exit 0; kill $(cat {pid}) 2>/dev/null\n\
             while [ -e /proc/$(cat {pid})/exe ]; do sleep 0.02; done; rm {pid} ;;\n\
             restart) $0 stop && $0 start ;;\n\
             esac\n",
            program = program.display(),
            config = config.display(),
            log = machine.home.path("service.log").display(),
            pid = pid.display(),
        );
        machine.script("systemctl", &text);
        Service(machine)
    }

    fn address(&self) -> String {
        let settings: toml::Table =
            fs::read_to_string(self.0.path("/etc/packhouse/packhouse.toml")).unwrap().parse().unwrap();
        settings["listen"].as_str().unwrap().to_owned()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.0.home.path("service.log")).unwrap_or_default()
    }

    fn start(&self) {
        let before = self.log().matches("listens on").count();
        self.0.works("systemctl start packhouse\n");
        eventually("the service listens", || self.log().matches("listens on").count() > before);
    }

    /// The status of a request for a file of ada's package `app`.
    fn file(&self, method: &str, name: &str, headers: &[(&str, &str)]) -> u16 {
        http(&self.address(), method, &format!("/api/packages/ada/generic/app/1/{name}"), headers, b"content").0
    }
}

impl Drop for Service<'_> {
    fn drop(&mut self) {
        self.0.paste("systemctl stop packhouse\n");
    }
}

#[test]
fn the_recipe_restores_a_service_whose_user_can_open_all_of_it() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    let service = Service::install(&machine);
    let packhouse = "packhouse --config /etc/packhouse/packhouse.toml";
    service.start();
    machine.works(&format!("echo '{PASSWORD}' | {packhouse} user create ada --email a@b.example --password-stdin\n"));
    let create = format!("{packhouse} token create --user ada --name ci --scope write:package\n");
    let token = machine.works(&create);
    let authorization = format!("Bearer {}", token.trim_end());
    let credential = [("Authorization", authorization.as_str())];
    assert_eq!(service.file("PUT", "before.txt", &credential), 201);
    machine.works(&block("packhouse backup").replace("packhouse backup", &format!("{packhouse} backup")));
    let backup = fs::metadata(machine.path("/backup/packhouse")).unwrap();
    assert_eq!((backup.uid(), backup.mode() & 0o777), (0, 0o700), "closed to the service's user");
    assert_eq!(service.file("PUT", "after.txt", &credential), 201);

    let recipe = block("systemctl stop packhouse")
        .replace("-o packhouse -g packhouse", &format!("-o {SERVICE} -g {SERVICE}"))
        .replace("127.0.0.1:3000", &service.address());
    let out = machine.works(&recipe);
    assert_eq!(out.matches("no problems\n").count(), 2, "after the restore, and at the end: {out}");
    assert_eq!(foreign(&machine.path("/var/lib/packhouse")), Vec::<PathBuf>::new());
    assert_eq!(service.log().matches("First start").count(), 1, "{}", service.log());
    assert_eq!(service.file("GET", "before.txt", &[]), 200);
    assert_eq!(service.file("GET", "after.txt", &[]), 404);
    assert_eq!(service.file("PUT", "after.txt", &credential), 201);
    let kept = fs::read_dir(machine.path("/var/lib")).unwrap().count();
    assert_eq!(kept, 2, "the old data directory is kept");

    // An upgrade: the new program is what it was, but it is another file.
    let program = machine.home.path("bin/packhouse");
    fs::copy(&program, machine.home.path("packhouse-new")).unwrap();
    let before = fs::metadata(&program).unwrap().ino();
    let upgrade = block_of("docs/operations/upgrade.md", "packhouse-new");
    machine.works(&upgrade.replace("/usr/local/bin/packhouse", program.to_str().unwrap()));
    assert_ne!(fs::metadata(&program).unwrap().ino(), before);
    assert!(machine.path("/backup/before-the-upgrade/manifest.json").exists());
    eventually("the service listens again", || service.log().matches("listens on").count() == 3);
    assert_eq!(service.file("GET", "before.txt", &[]), 200);

    // With a backup that can't be restored, nothing is started.
    fs::remove_file(machine.path("/backup/packhouse/manifest.json")).unwrap();
    let failed = machine.paste(&recipe);
    assert!(failed.code != 0 && failed.err.contains("manifest.json"), "{}{}", failed.out, failed.err);
    assert!(!machine.home.path("pid").exists(), "the service was started after a failed restore");
    assert_eq!(fs::read_dir(machine.path("/var/lib/packhouse")).unwrap().count(), 0);
}

#[test]
fn commands_of_root_leave_only_files_that_the_instance_owner_can_open() {
    if !is_root() {
        return;
    }
    let mut home = Home::new();
    fs::create_dir(home.data()).unwrap();
    fs::set_permissions(home.data(), Permissions::from_mode(0o700)).unwrap();
    chown(home.data(), Some(SERVICE), Some(SERVICE)).unwrap();
    let store = home.path("store");
    fs::create_dir(&store).unwrap();
    chown(&store, Some(SERVICE), Some(SERVICE)).unwrap();
    home.set("PACKHOUSE_STORE_DIR", store.to_str().unwrap());
    // Readable for root alone, as secrets often are.
    let secret = home.path("metrics-token");
    fs::write(&secret, "a long metrics token").unwrap();
    fs::set_permissions(&secret, Permissions::from_mode(0o600)).unwrap();
    home.set("PACKHOUSE_METRICS_TOKEN_FILE", secret.to_str().unwrap());

    home.ok(&["migrate"]);
    home.make_user("ada");
    let token = home.make_token("ada");
    home.ok(&["gc", "--grace", "0"]);
    is_clean(&home, &["check"]);
    assert_eq!([foreign(&home.data()), foreign(&store)].concat(), Vec::<PathBuf>::new());

    let program = home.path("packhouse");
    assert!(Command::new("cp").arg(env!("CARGO_BIN_EXE_packhouse")).arg(&program).status().unwrap().success());
    fs::set_permissions(&secret, Permissions::from_mode(0o644)).unwrap();
    let [user, group] = ["--reuid", "--regid"].map(|option| format!("{option}={SERVICE}"));
    let own = home.command(&[]);
    let mut command = Command::new("setpriv");
    command.args([&user, &group, "--clear-groups"]).arg(&program).arg("serve").current_dir("/");
    for (name, value) in own.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let server = Server::spawn(&home, command);
    assert_eq!(server.put(&token, "ada/generic/app/1/file.txt", b"content"), 201);
    home.ok(&["user", "lock", "ada"]);
    server.stop();
    assert_eq!([foreign(&home.data()), foreign(&store)].concat(), Vec::<PathBuf>::new());
}
