//! 201 means durable: the power of the store's disk fails right after the answer, and no byte is lost.
//!
//! The disk is an ext4 image on a loop device, shut down without writing its journal (`FS_IOC_SHUTDOWN`), as in a power
//! failure. Needs root and loop devices, and is skipped with a message otherwise.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::program::{Home, Server, is_clean, noise};

/// A disk whose power can fail.
struct Disk {
    image: PathBuf,
    mount: PathBuf,
}

impl Disk {
    fn new(home: &Home) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: mounting a disk needs root");
            return None;
        }
        let disk = Self { image: home.path("disk.img"), mount: home.path("disk") };
        std::fs::create_dir(&disk.mount).unwrap();
        std::fs::File::create(&disk.image).unwrap().set_len(64 << 20).unwrap();
        assert!(run("mkfs.ext4", &["-q".as_ref(), &disk.image]));
        if !disk.mount() {
            eprintln!("skipped: no loop device can be mounted here");
            return None;
        }
        Some(disk)
    }

    /// Mounted so that the kernel writes nothing by itself: only synced data reaches the image.
    fn mount(&self) -> bool {
        run("mount", &["-o".as_ref(), "loop,commit=300".as_ref(), &self.image, &self.mount])
    }

    /// Shuts the file system down without writing the journal (`EXT4_GOING_FLAGS_NOLOGFLUSH`) and mounts it again,
    /// which replays the journal on the disk.
    fn lose_power(&self) {
        let shut_down =
            "open(my $dir, '<', $ARGV[0]) or die; my $how = pack('L', 2); ioctl($dir, 0x8004587d, $how) or die";
        assert!(run("perl", &["-e".as_ref(), shut_down.as_ref(), &self.mount]));
    }

    fn come_back(&self) {
        assert!(run("umount", &[&self.mount]));
        assert!(self.mount());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.mount).status();
    }
}

fn run(program: &str, args: &[&Path]) -> bool {
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    Command::new(program).args(args).env("PATH", path).status().unwrap().success()
}

/// A home whose blobs are on a separate disk. The database isn't.
fn home_with_disk() -> Option<(Home, Disk)> {
    let mut home = Home::new();
    let disk = Disk::new(&home)?;
    home.set("PACKHOUSE_STORE_DIR", disk.mount.join("store").to_str().unwrap());
    home.set("PACKHOUSE_STORE_RESERVE_BYTES", "0");
    Some((home, disk))
}

#[test]
fn every_acknowledged_upload_survives_a_power_failure() {
    let Some((home, disk)) = home_with_disk() else { return };
    let server = Server::start(&home);
    home.make_user("ada");
    let token = home.make_token("ada");
    let files: Vec<Vec<u8>> = [0, 1, 1024, (1 << 20) + 1, 5_000_000].map(|size| noise(size as u64, size)).to_vec();
    for (number, bytes) in files.iter().enumerate() {
        assert_eq!(server.put(&token, &format!("ada/generic/tool/1/f{number}"), bytes), 201);
    }
    disk.lose_power();
    server.kill();
    disk.come_back();
    let server = Server::start(&home);
    for (number, bytes) in files.iter().enumerate() {
        let (status, found) = server.get(&format!("ada/generic/tool/1/f{number}"));
        assert!(status == 200 && found == *bytes, "f{number} of {} bytes: {status}", bytes.len());
    }
    is_clean(&home, &["check", "--digests"]);
    server.stop();
}

#[test]
fn the_power_failure_test_notices_a_missing_fsync() {
    let Some((home, disk)) = home_with_disk() else { return };
    let server = Server::start(&home);
    home.make_user("ada");
    let token = home.make_token("ada");
    assert_eq!(server.put(&token, "ada/generic/tool/1/synced", &noise(1, 5000)), 201);
    server.stop();
    // The same program under strace, which makes fsync and fdatasync succeed without doing anything.
    let plain = home.command(&["serve"]);
    let mut command = Command::new("strace");
    command.args(["-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync,syncfs"]);
    command.args(["-e", "inject=fsync,fdatasync,syncfs:retval=0"]).arg(plain.get_program()).args(plain.get_args());
    command.envs(plain.get_envs().filter_map(|(key, value)| Some((key, value?)))).current_dir(home.dir.path());
    let server = Server::spawn(&home, command);
    assert_eq!(server.put(&token, "ada/generic/tool/1/unsynced", &noise(2, 5000)), 201);
    disk.lose_power();
    server.kill();
    disk.come_back();
    let server = Server::start(&home);
    assert!(server.get("ada/generic/tool/1/synced") == (200, noise(1, 5000)));
    assert!(
        server.get("ada/generic/tool/1/unsynced") != (200, noise(2, 5000)),
        "the files survived although nothing was synced"
    );
    server.stop();
}
