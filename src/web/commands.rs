//! Commands to paste: how to download, verify and publish a file.

use super::quote::{powershell, powershell_file, sh, sh_file};
use crate::domain::address;
use crate::domain::digest::Sha256;
use crate::domain::names::{FileName, OwnerName, PackageName};
use crate::domain::path::VersionPath;

/// The list of checksums of a version, or of a directory of it.
const SUMS: &str = "SHA256SUMS";
/// Stands for the next version when it cannot be guessed.
pub const NEXT: &str = "NEXT";

/// The options that send an access token from a variable, for owners whose packages are not public.
fn authorization(needed: bool) -> (&'static str, &'static str, &'static str) {
    match needed {
        true => (
            " -H \"Authorization: Bearer $TOKEN\"",
            " --header=\"Authorization: Bearer $TOKEN\"",
            " -Headers @{ Authorization = \"Bearer $env:TOKEN\" }",
        ),
        false => ("", "", ""),
    }
}

/// Turns off `curl`'s globbing for names that contain its special characters.
fn globbing(name: &str) -> &'static str {
    if name.contains(['{', '}', '[', ']', '#']) { " -g" } else { "" }
}

/// The commands for one file of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commands {
    pub curl: String,
    pub wget: String,
    pub powershell: String,
    /// Compares the file with the registry's checksum.
    pub check: String,
    /// Compares all downloaded files of the version with the registry's checksums.
    pub check_all: String,
    /// Verifies the file offline, with its digest in the command.
    pub check_here: String,
    pub check_powershell: String,
}

impl Commands {
    /// For a file of the site at `root`; `token` says whether downloading needs one.
    pub fn new(root: &str, path: &VersionPath, file: &FileName, sha256: &Sha256, token: bool) -> Self {
        let (curl, wget, ps) = authorization(token);
        let plain = format!("{root}{}", address::generic_file(&path.with_file(file.clone())));
        let url = sh(&plain);
        // A file is saved without its directories, so the list must be that directory's own.
        let beside = file.directories().last().map_or_else(|| SUMS.to_owned(), |within| format!("{within}/{SUMS}"));
        let sums = sh(&format!("{root}{}", address::generic_download(path, &beside)));
        let sidecar = sh(&format!("{plain}.sha256"));
        let (name, digest) = (file.last_segment(), sha256.to_hex());
        let (globs, ps_url, ps_name) = (globbing(name), powershell(&plain), powershell_file(name));
        let name = sh_file(name);
        Self {
            curl: format!("curl -fL{globs}{curl} -o {name} {url}"),
            wget: format!("wget{wget} -O {name} {url}"),
            powershell: format!("Invoke-WebRequest{ps} -Uri {ps_url} -OutFile {ps_name}"),
            check: format!("curl -fsSL{curl} {sidecar} | sha256sum -c -"),
            check_all: format!("curl -fsSL{curl} {sums} | sha256sum -c --ignore-missing -"),
            check_here: format!("printf '%s  %s\\n' {digest} {name} | sha256sum -c -"),
            check_powershell: format!("(Get-FileHash -Algorithm SHA256 -LiteralPath {ps_name}).Hash -eq '{digest}'"),
        }
    }
}

/// The commands that publish the next version of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    pub curl: String,
    pub powershell: String,
    /// Whether the reader must fill in the version.
    pub is_open: bool,
}

impl Publish {
    /// For the version after this one, which has this file.
    pub fn next(root: &str, path: &VersionPath, file: &FileName) -> Self {
        let next = path.version.next();
        // If the file name contains the version, the next file name contains the next version.
        let renamed = next.as_ref().map(|next| file.as_str().replace(path.version.as_str(), next.as_str()));
        let name: FileName = renamed.and_then(|name| name.parse().ok()).unwrap_or_else(|| file.clone());
        let version = next.as_ref().map_or(NEXT, |next| next.as_str());
        Self { is_open: next.is_none(), ..Self::new(root, &path.owner, &path.package, version, &name) }
    }

    fn new(root: &str, owner: &OwnerName, package: &PackageName, version: &str, file: &FileName) -> Self {
        let (curl, _, ps) = authorization(true);
        let (owner, package, name) = (owner.as_str(), package.as_str(), file.as_str());
        let url = format!("{root}{}", address::generic_example(owner, package, version, name));
        Self {
            curl: format!("curl{}{curl} -T {} {}", globbing(name), sh_file(name), sh(&url)),
            powershell: format!(
                "Invoke-RestMethod -Method Put{ps} -InFile {} -Uri {}",
                powershell_file(name),
                powershell(&url)
            ),
            is_open: false,
        }
    }
}

/// The command that publishes an owner's first file.
pub fn first(root: &str, owner: &OwnerName) -> String {
    let url = format!("{root}{}", address::generic_example(owner.as_str(), "hello", "1.0.0", "hello.txt"));
    format!("echo 'hello, world' >hello.txt\ncurl -H \"Authorization: Bearer $TOKEN\" -T hello.txt {}", sh(&url))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(version: &str) -> VersionPath {
        let [owner, package] = ["ada", "tool"];
        VersionPath {
            owner: owner.parse().unwrap(),
            package: package.parse().unwrap(),
            version: version.parse().unwrap(),
        }
    }

    fn commands(file: &str, token: bool) -> Commands {
        let digest: Sha256 = "00".repeat(32).parse().unwrap();
        Commands::new("http://[::1]:3000", &path("1.0/ü"), &file.parse().unwrap(), &digest, token)
    }

    #[test]
    fn commands_contain_the_address_and_the_name_of_the_file() {
        let all = commands("a b.txt", false);
        let url = "'http://[::1]:3000/api/packages/ada/generic/tool/1.0%2F%C3%BC/a%20b.txt'";
        assert_eq!(all.curl, format!("curl -fL -o 'a b.txt' {url}"));
        assert_eq!(all.wget, format!("wget -O 'a b.txt' {url}"));
        assert_eq!(all.powershell, format!("Invoke-WebRequest -Uri {url} -OutFile 'a b.txt'"));
        assert!(all.check.ends_with("/a%20b.txt.sha256' | sha256sum -c -"), "{}", all.check);
        assert!(commands("x[1].txt", false).curl.starts_with("curl -fL -g -o 'x[1].txt' "));
    }

    #[test]
    fn a_file_in_a_directory_is_saved_and_checked_beside_its_neighbors() {
        let all = commands("linux/a b/tool.gz", false);
        let url = "'http://[::1]:3000/api/packages/ada/generic/tool/1.0%2F%C3%BC/linux/a%20b/tool.gz'";
        assert_eq!(all.curl, format!("curl -fL -o tool.gz {url}"));
        assert!(all.check.contains("/linux/a%20b/tool.gz.sha256'"), "{}", all.check);
        assert!(all.check_all.contains("%2F%C3%BC/linux/a%20b/SHA256SUMS'"), "{}", all.check_all);
        let next = Publish::next("http://h", &path("1.2.3"), &"linux/tool-1.2.3.zip".parse().unwrap());
        assert!(
            next.curl
                .ends_with("-T linux/tool-1.2.4.zip http://h/api/packages/ada/generic/tool/1.2.4/linux/tool-1.2.4.zip")
        );
    }

    #[test]
    fn commands_that_need_a_token_read_it_from_a_variable() {
        let all = commands("-rf", true);
        assert!(all.curl.starts_with("curl -fL -H \"Authorization: Bearer $TOKEN\" -o ./-rf "), "{}", all.curl);
        assert!(all.wget.starts_with("wget --header=\"Authorization: Bearer $TOKEN\" -O ./-rf "), "{}", all.wget);
        assert!(all.powershell.contains("-Headers @{ Authorization = \"Bearer $env:TOKEN\" }"), "{}", all.powershell);
        assert!(all.check_all.contains("$TOKEN"), "{}", all.check_all);
    }

    #[test]
    fn the_next_version_replaces_this_one_in_the_file_name() {
        let next = Publish::next("http://h", &path("1.2.3"), &"tool-1.2.3.zip".parse().unwrap());
        assert!(next.curl.ends_with("-T tool-1.2.4.zip http://h/api/packages/ada/generic/tool/1.2.4/tool-1.2.4.zip"));
        assert!(!next.is_open);
        let nightly = Publish::next("http://h", &path("nightly"), &"tool.zip".parse().unwrap());
        assert!(nightly.is_open && nightly.curl.ends_with("/tool/NEXT/tool.zip"), "{}", nightly.curl);
    }
}
