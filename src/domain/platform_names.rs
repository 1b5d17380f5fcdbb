//! Reads the names of release files. They are read word by word, so `darwin` is not Windows and `x86_64` is not `x86`.

use super::platform::{Arch, Kind, Libc, Os, Platform};
use std::collections::HashMap;
use std::sync::LazyLock;

/// What one word means.
#[derive(Debug, Clone, Copy)]
enum Word {
    Is(Os),
    For(Arch),
    With(Libc),
    /// A word such as `win64`; another word may name the architecture better.
    Usually(Os, Arch),
    Only(Kind),
}

/// All spellings that are known, in lower case.
const WORDS: &[(&str, Word)] = &[
    ("linux", Word::Is(Os::Linux)),
    ("ubuntu", Word::Is(Os::Linux)),
    ("debian", Word::Is(Os::Linux)),
    ("fedora", Word::Is(Os::Linux)),
    ("centos", Word::Is(Os::Linux)),
    ("rhel", Word::Is(Os::Linux)),
    ("manylinux", Word::Is(Os::Linux)),
    ("musllinux", Word::Is(Os::Linux)),
    ("alpine", Word::Is(Os::Linux)),
    ("linux64", Word::Usually(Os::Linux, Arch::X86_64)),
    ("linux32", Word::Usually(Os::Linux, Arch::X86)),
    ("darwin", Word::Is(Os::MacOs)),
    ("macos", Word::Is(Os::MacOs)),
    ("macosx", Word::Is(Os::MacOs)),
    ("osx", Word::Is(Os::MacOs)),
    ("mac", Word::Is(Os::MacOs)),
    ("apple", Word::Is(Os::MacOs)),
    ("macos64", Word::Usually(Os::MacOs, Arch::X86_64)),
    ("osx64", Word::Usually(Os::MacOs, Arch::X86_64)),
    ("windows", Word::Is(Os::Windows)),
    ("win", Word::Is(Os::Windows)),
    ("msvc", Word::Is(Os::Windows)),
    ("mingw", Word::Is(Os::Windows)),
    ("win64", Word::Usually(Os::Windows, Arch::X86_64)),
    ("win32", Word::Usually(Os::Windows, Arch::X86)),
    ("windows64", Word::Usually(Os::Windows, Arch::X86_64)),
    ("freebsd", Word::Is(Os::FreeBsd)),
    ("openbsd", Word::Is(Os::OpenBsd)),
    ("netbsd", Word::Is(Os::NetBsd)),
    ("dragonfly", Word::Is(Os::DragonFly)),
    ("dragonflybsd", Word::Is(Os::DragonFly)),
    ("illumos", Word::Is(Os::Illumos)),
    ("solaris", Word::Is(Os::Solaris)),
    ("sunos", Word::Is(Os::Solaris)),
    ("aix", Word::Is(Os::Aix)),
    ("plan9", Word::Is(Os::Plan9)),
    ("android", Word::Is(Os::Android)),
    ("ios", Word::Is(Os::Ios)),
    ("wasm", Word::Is(Os::Wasm)),
    ("wasm32", Word::Is(Os::Wasm)),
    ("wasi", Word::Is(Os::Wasm)),
    ("amd64", Word::For(Arch::X86_64)),
    ("x64", Word::For(Arch::X86_64)),
    ("64bit", Word::For(Arch::X86_64)),
    ("intel", Word::For(Arch::X86_64)),
    ("arm64", Word::For(Arch::Arm64)),
    ("aarch64", Word::For(Arch::Arm64)),
    ("arm64e", Word::For(Arch::Arm64)),
    ("arm64v8", Word::For(Arch::Arm64)),
    ("armv8", Word::For(Arch::Arm64)),
    ("silicon", Word::For(Arch::Arm64)),
    ("386", Word::For(Arch::X86)),
    ("i386", Word::For(Arch::X86)),
    ("i486", Word::For(Arch::X86)),
    ("i586", Word::For(Arch::X86)),
    ("i686", Word::For(Arch::X86)),
    ("x86", Word::For(Arch::X86)),
    ("ia32", Word::For(Arch::X86)),
    ("32bit", Word::For(Arch::X86)),
    ("armv7", Word::For(Arch::Armv7)),
    ("armv7l", Word::For(Arch::Armv7)),
    ("armv7a", Word::For(Arch::Armv7)),
    ("armv7hf", Word::For(Arch::Armv7)),
    ("armhf", Word::For(Arch::Armv7)),
    ("arm32v7", Word::For(Arch::Armv7)),
    ("armeabi", Word::For(Arch::Armv7)),
    ("armv6", Word::For(Arch::Armv6)),
    ("armv6l", Word::For(Arch::Armv6)),
    ("armv6hf", Word::For(Arch::Armv6)),
    ("arm32v6", Word::For(Arch::Armv6)),
    ("armv5", Word::For(Arch::Armv5)),
    ("armv5te", Word::For(Arch::Armv5)),
    ("armel", Word::For(Arch::Armv5)),
    ("arm", Word::For(Arch::Arm)),
    ("riscv64", Word::For(Arch::Riscv64)),
    ("riscv64gc", Word::For(Arch::Riscv64)),
    ("ppc64le", Word::For(Arch::Ppc64le)),
    ("powerpc64le", Word::For(Arch::Ppc64le)),
    ("ppc64el", Word::For(Arch::Ppc64le)),
    ("ppc64", Word::For(Arch::Ppc64)),
    ("powerpc64", Word::For(Arch::Ppc64)),
    ("s390x", Word::For(Arch::S390x)),
    ("loong64", Word::For(Arch::Loong64)),
    ("loongarch64", Word::For(Arch::Loong64)),
    ("mips64le", Word::For(Arch::Mips64le)),
    ("mips64el", Word::For(Arch::Mips64le)),
    ("mips64", Word::For(Arch::Mips64)),
    ("mipsle", Word::For(Arch::Mipsle)),
    ("mipsel", Word::For(Arch::Mipsle)),
    ("mips", Word::For(Arch::Mips)),
    ("sparc64", Word::For(Arch::Sparc64)),
    ("sparcv9", Word::For(Arch::Sparc64)),
    ("universal", Word::For(Arch::Universal)),
    ("universal2", Word::For(Arch::Universal)),
    ("all", Word::For(Arch::Universal)),
    ("noarch", Word::For(Arch::Universal)),
    ("musl", Word::With(Libc::Musl)),
    ("musleabi", Word::With(Libc::Musl)),
    ("musleabihf", Word::With(Libc::Musl)),
    ("gnu", Word::With(Libc::Gnu)),
    ("glibc", Word::With(Libc::Gnu)),
    ("gnueabi", Word::With(Libc::Gnu)),
    ("gnueabihf", Word::With(Libc::Gnu)),
    ("source", Word::Only(Kind::Source)),
    ("sources", Word::Only(Kind::Source)),
    ("src", Word::Only(Kind::Source)),
    ("vendored", Word::Only(Kind::Source)),
    ("debug", Word::Only(Kind::Development)),
    ("debuginfo", Word::Only(Kind::Development)),
    ("dbg", Word::Only(Kind::Development)),
    ("dbgsym", Word::Only(Kind::Development)),
    ("symbols", Word::Only(Kind::Development)),
    ("headers", Word::Only(Kind::Development)),
    ("pdb", Word::Only(Kind::Development)),
];

/// Endings with their kind, and the operating system that they are for. The first that fits counts.
const ENDINGS: &[(&str, Kind, Option<Os>)] = &[
    (".pkg.tar.zst", Kind::Package, Some(Os::Linux)),
    (".pkg.tar.xz", Kind::Package, Some(Os::Linux)),
    (".src.rpm", Kind::Source, Some(Os::Linux)),
    (".deb", Kind::Package, Some(Os::Linux)),
    (".rpm", Kind::Package, Some(Os::Linux)),
    (".apk", Kind::Package, None),
    (".flatpak", Kind::Package, Some(Os::Linux)),
    (".snap", Kind::Package, Some(Os::Linux)),
    (".appimage", Kind::Program, Some(Os::Linux)),
    (".run", Kind::Installer, Some(Os::Linux)),
    (".dmg", Kind::Installer, Some(Os::MacOs)),
    (".pkg", Kind::Installer, None),
    (".msi", Kind::Installer, Some(Os::Windows)),
    (".msix", Kind::Installer, Some(Os::Windows)),
    (".msixbundle", Kind::Installer, Some(Os::Windows)),
    (".exe", Kind::Program, Some(Os::Windows)),
    (".ipa", Kind::Package, Some(Os::Ios)),
    (".wasm", Kind::Program, Some(Os::Wasm)),
    (".tar", Kind::Archive, None),
    (".gz", Kind::Archive, None),
    (".tgz", Kind::Archive, None),
    (".xz", Kind::Archive, None),
    (".txz", Kind::Archive, None),
    (".bz2", Kind::Archive, None),
    (".tbz", Kind::Archive, None),
    (".zst", Kind::Archive, None),
    (".lz4", Kind::Archive, None),
    (".7z", Kind::Archive, None),
    (".zip", Kind::Archive, None),
    (".jar", Kind::Program, None),
    (".whl", Kind::Archive, None),
    (".md", Kind::Text, None),
    (".txt", Kind::Text, None),
    (".json", Kind::Text, None),
    (".yaml", Kind::Text, None),
    (".yml", Kind::Text, None),
    (".xml", Kind::Text, None),
    (".html", Kind::Text, None),
    (".toml", Kind::Text, None),
    (".rb", Kind::Text, None),
    (".sh", Kind::Text, None),
    (".ps1", Kind::Text, Some(Os::Windows)),
    (".sum", Kind::Text, None),
    (".sums", Kind::Text, None),
    (".pdb", Kind::Development, Some(Os::Windows)),
];

/// Names of texts without an ending, in lower case.
const TEXTS: &[&str] =
    &["license", "copying", "notice", "readme", "changelog", "changes", "news", "authors", "makefile", "version"];

impl Platform {
    /// Reads the name of a file of a package: the name of the package itself, such as `windows-exporter`, says nothing.
    pub fn of(package: &str, file: &str) -> Self {
        let lower = file.to_lowercase();
        let ending = ENDINGS.iter().find(|(ending, ..)| lower.ends_with(ending));
        let (kind, os) = ending.map_or((None, None), |(_, kind, os)| (Some(*kind), *os));
        let mut found = Self { os: None, arch: None, libc: None, kind: kind.unwrap_or(Kind::Other) };
        let mut usual = None;
        let mut last = String::new();
        for word in words(&own(&package.to_lowercase(), &lower)) {
            match meaning(&word) {
                Some(Word::Is(os)) => found.put_os(os),
                Some(Word::For(arch)) => found.arch = Some(arch),
                Some(Word::With(libc)) => found.libc = Some(libc),
                Some(Word::Usually(os, arch)) => {
                    found.put_os(os);
                    usual = Some(arch);
                }
                Some(Word::Only(kind)) => found.kind = kind,
                None => found.note(&word, &last),
            }
            last = word;
        }
        found.arch = found.arch.or(usual);
        found.finish(&lower, os, kind.is_some())
    }

    /// `android` beats the `linux` of its triples, and `wasm` beats both.
    fn put_os(&mut self, os: Os) {
        if !matches!((self.os, os), (Some(Os::Android | Os::Wasm), Os::Linux) | (Some(Os::MacOs), Os::Ios)) {
            self.os = Some(os);
        }
    }

    /// A word that means something only together with the word before it, or glued to another word.
    fn note(&mut self, word: &str, last: &str) {
        match (last, word) {
            ("arm", "v7") => self.arch = Some(Arch::Armv7),
            ("arm", "v6") => self.arch = Some(Arch::Armv6),
            ("arm", "v5") => self.arch = Some(Arch::Armv5),
            ("arm", "v8") => self.arch = Some(Arch::Arm64),
            ("arm64", "v8a") | ("armeabi", "v7a") => self.os = Some(Os::Android),
            _ => {
                if let Some((os, arch)) = glued(word) {
                    self.put_os(os);
                    self.arch = arch.or(self.arch);
                }
            }
        }
    }

    fn finish(mut self, lower: &str, os: Option<Os>, has_ending: bool) -> Self {
        // Android and Alpine have the same ending. Alpine names an architecture of servers.
        let apk = lower.ends_with(".apk").then(|| if self.arch.is_some() { Os::Linux } else { Os::Android });
        let pkg = lower.ends_with(".pkg").then_some(Os::MacOs);
        self.os = self.os.or(os).or(apk).or(pkg);
        if lower.ends_with(".exe") && ["setup", "installer"].iter().any(|word| lower.contains(word)) {
            self.kind = Kind::Installer;
        }
        if self.libc.is_none() && (lower.contains("musllinux") || lower.contains("alpine")) {
            self.libc = Some(Libc::Musl);
        }
        let name = lower.rsplit('/').next().unwrap_or_default();
        if self.kind == Kind::Other && (TEXTS.contains(&name) || name.ends_with("sums")) {
            self.kind = Kind::Text;
        }
        // A program for a system often has no ending, as `kubectl` or `tool-linux-amd64`.
        if self.kind == Kind::Other && !has_ending && (self.os.is_some() || !lower.contains('.')) {
            self.kind = Kind::Program;
        }
        // `all` and `noarch` in the name of a text or of a file for no system say nothing.
        if self.arch == Some(Arch::Universal) && self.os.is_none() {
            self.arch = None;
        }
        self
    }
}

/// The name without the package's name in front of it.
fn own(package: &str, file: &str) -> String {
    let (directories, name) = file.rsplit_once('/').map_or(("", file), |(within, name)| (within, name));
    let rest = name.strip_prefix(package).filter(|rest| rest.starts_with(['-', '_', '.', ' '])).unwrap_or(name);
    format!("{directories}/{rest}")
}

/// The words of a name. `x86_64` is one word, although other words end at `_`.
fn words(name: &str) -> Vec<String> {
    let mut name = name.to_owned();
    for spelling in ["x86_64", "x86-64", "x86.64", "x8664"] {
        name = name.replace(spelling, "-amd64-");
    }
    let apart = |c: char| !c.is_alphanumeric();
    name.split(apart).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// The spellings by name: a version may have thousands of files.
static BY_SPELLING: LazyLock<HashMap<&str, Word>> = LazyLock::new(|| WORDS.iter().copied().collect());

fn meaning(word: &str) -> Option<Word> {
    BY_SPELLING.get(word).copied()
}

/// A system with a number or an architecture right behind it, such as `macos13`, `el9` or `linuxarm64`.
fn glued(word: &str) -> Option<(Os, Option<Arch>)> {
    let digits = |rest: &str| rest.bytes().all(|byte| byte.is_ascii_digit());
    if word.strip_prefix("el").is_some_and(|rest| !rest.is_empty() && digits(rest)) {
        return Some((Os::Linux, None));
    }
    WORDS.iter().find_map(|(spelling, meaning)| {
        let (Word::Is(os), Some(rest)) = (meaning, word.strip_prefix(spelling)) else { return None };
        if digits(rest) {
            return Some((*os, None));
        }
        match self::meaning(rest) {
            Some(Word::For(arch)) => Some((*os, Some(arch))),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a name as `os arch libc kind`, with `-` for what the name doesn't say.
    fn read(package: &str, file: &str) -> String {
        let Platform { os, arch, libc, kind } = Platform::of(package, file);
        let word = |text: Option<&'static str>| text.unwrap_or("-");
        format!("{} {} {} {kind:?}", word(os.map(Os::label)), word(arch.map(Arch::label)), word(libc.map(Libc::label)))
    }

    #[track_caller]
    fn all(package: &str, files: &[(&str, &str)]) {
        let wrong: Vec<String> = files
            .iter()
            .filter(|(file, wanted)| read(package, file) != *wanted)
            .map(|(file, wanted)| format!("{file}: {} instead of {wanted}", read(package, file)))
            .collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn triples_of_rust_are_read() {
        all(
            "ripgrep",
            &[
                ("ripgrep-14.1.1-x86_64-unknown-linux-musl.tar.gz", "Linux x86-64 musl Archive"),
                ("ripgrep-14.1.1-aarch64-unknown-linux-gnu.tar.gz", "Linux arm64 glibc Archive"),
                ("ripgrep-14.1.1-armv7-unknown-linux-gnueabihf.tar.gz", "Linux armv7 glibc Archive"),
                ("ripgrep-14.1.1-armv7-unknown-linux-musleabi.tar.gz", "Linux armv7 musl Archive"),
                ("ripgrep-14.1.1-i686-unknown-linux-gnu.tar.gz", "Linux x86 glibc Archive"),
                ("ripgrep-14.1.1-s390x-unknown-linux-gnu.tar.gz", "Linux s390x glibc Archive"),
                ("ripgrep-14.1.1-aarch64-apple-darwin.tar.gz", "macOS arm64 - Archive"),
                ("ripgrep-14.1.1-x86_64-apple-darwin.tar.gz", "macOS x86-64 - Archive"),
                ("ripgrep-14.1.1-x86_64-pc-windows-msvc.zip", "Windows x86-64 - Archive"),
                ("ripgrep-14.1.1-x86_64-pc-windows-gnu.zip", "Windows x86-64 glibc Archive"),
                ("ripgrep-14.1.1-i686-pc-windows-msvc.zip", "Windows x86 - Archive"),
                ("ripgrep_14.1.1-1_amd64.deb", "Linux x86-64 - Package"),
            ],
        );
        all(
            "uv",
            &[
                ("uv-x86_64-unknown-linux-gnu.tar.gz", "Linux x86-64 glibc Archive"),
                ("uv-arm-unknown-linux-musleabihf.tar.gz", "Linux arm musl Archive"),
                ("uv-powerpc64le-unknown-linux-gnu.tar.gz", "Linux ppc64le glibc Archive"),
                ("uv-riscv64gc-unknown-linux-gnu.tar.gz", "Linux riscv64 glibc Archive"),
                ("uv-aarch64-pc-windows-msvc.zip", "Windows arm64 - Archive"),
                ("uv-installer.sh", "- - - Text"),
                ("uv-installer.ps1", "Windows - - Text"),
                ("source.tar.gz", "- - - Source"),
                ("sha256.sum", "- - - Text"),
                ("dist-manifest.json", "- - - Text"),
            ],
        );
    }

    #[test]
    fn names_of_go_programs_are_read() {
        all(
            "gh",
            &[
                ("gh_2.62.0_linux_amd64.tar.gz", "Linux x86-64 - Archive"),
                ("gh_2.62.0_linux_386.deb", "Linux x86 - Package"),
                ("gh_2.62.0_linux_armv6.rpm", "Linux armv6 - Package"),
                ("gh_2.62.0_macOS_arm64.zip", "macOS arm64 - Archive"),
                ("gh_2.62.0_macOS_universal.pkg", "macOS universal - Installer"),
                ("gh_2.62.0_windows_amd64.msi", "Windows x86-64 - Installer"),
                ("gh_2.62.0_windows_arm64.zip", "Windows arm64 - Archive"),
                ("gh_2.62.0_checksums.txt", "- - - Text"),
            ],
        );
        all(
            "terraform",
            &[
                ("terraform_1.9.8_linux_amd64.zip", "Linux x86-64 - Archive"),
                ("terraform_1.9.8_linux_arm.zip", "Linux arm - Archive"),
                ("terraform_1.9.8_solaris_amd64.zip", "Solaris x86-64 - Archive"),
                ("terraform_1.9.8_freebsd_386.zip", "FreeBSD x86 - Archive"),
                ("terraform_1.9.8_openbsd_amd64.zip", "OpenBSD x86-64 - Archive"),
                ("terraform_1.9.8_SHA256SUMS", "- - - Text"),
                ("LICENSE", "- - - Text"),
                ("terraform_1.9.8_darwin_arm64.zip", "macOS arm64 - Archive"),
            ],
        );
        all(
            "restic",
            &[
                ("restic_0.17.3_linux_amd64.bz2", "Linux x86-64 - Archive"),
                ("restic_0.17.3_linux_mips64le.bz2", "Linux mips64le - Archive"),
                ("restic_0.17.3_aix_ppc64.bz2", "AIX ppc64 - Archive"),
                ("restic_0.17.3_dragonfly_amd64.bz2", "DragonFly BSD x86-64 - Archive"),
                ("restic_0.17.3_windows_386.zip", "Windows x86 - Archive"),
                ("restic-0.17.3.tar.gz", "- - - Archive"),
            ],
        );
        all(
            "hugo",
            &[
                ("hugo_extended_0.139.0_linux-amd64.tar.gz", "Linux x86-64 - Archive"),
                ("hugo_0.139.0_darwin-universal.tar.gz", "macOS universal - Archive"),
                ("hugo_0.139.0_windows-arm64.zip", "Windows arm64 - Archive"),
                ("hugo_0.54.0_Linux-64bit.tar.gz", "Linux x86-64 - Archive"),
                ("hugo_0.54.0_macOS-32bit.tar.gz", "macOS x86 - Archive"),
                ("hugo_0.139.0_linux-amd64.deb", "Linux x86-64 - Package"),
            ],
        );
        all(
            "syncthing",
            &[
                ("syncthing-linux-amd64-v1.28.0.tar.gz", "Linux x86-64 - Archive"),
                ("syncthing-linux-arm64-v1.28.0.tar.gz", "Linux arm64 - Archive"),
                ("syncthing-linux-riscv64-v1.28.0.tar.gz", "Linux riscv64 - Archive"),
                ("syncthing-macos-universal-v1.28.0.zip", "macOS universal - Archive"),
                ("syncthing-windows-386-v1.28.0.zip", "Windows x86 - Archive"),
                ("syncthing-illumos-amd64-v1.28.0.tar.gz", "illumos x86-64 - Archive"),
                ("syncthing-source-v1.28.0.tar.gz", "- - - Source"),
            ],
        );
        all(
            "goreleaser",
            &[
                ("goreleaser_Linux_x86_64.tar.gz", "Linux x86-64 - Archive"),
                ("goreleaser_Linux_i386.tar.gz", "Linux x86 - Archive"),
                ("goreleaser_Darwin_all.tar.gz", "macOS universal - Archive"),
                ("goreleaser_Windows_arm64.zip", "Windows arm64 - Archive"),
                ("goreleaser-2.4.8-1.x86_64.rpm", "Linux x86-64 - Package"),
                ("goreleaser_2.4.8_aarch64.apk", "Linux arm64 - Package"),
                ("goreleaser-2.4.8-1-aarch64.pkg.tar.zst", "Linux arm64 - Package"),
            ],
        );
    }

    #[test]
    fn directories_and_bare_programs_are_read() {
        all(
            "kubectl",
            &[
                ("bin/linux/amd64/kubectl", "Linux x86-64 - Program"),
                ("bin/linux/s390x/kubectl", "Linux s390x - Program"),
                ("bin/darwin/arm64/kubectl", "macOS arm64 - Program"),
                ("bin/windows/386/kubectl.exe", "Windows x86 - Program"),
                ("kubectl", "- - - Program"),
            ],
        );
        all(
            "cosign",
            &[
                ("cosign-linux-amd64", "Linux x86-64 - Program"),
                ("cosign-linux-pivkey-pkcs11key-arm64", "Linux arm64 - Program"),
                ("cosign-windows-amd64.exe", "Windows x86-64 - Program"),
            ],
        );
    }

    #[test]
    fn names_of_node_and_zig_are_read() {
        all(
            "node",
            &[
                ("node-v22.11.0-linux-x64.tar.xz", "Linux x86-64 - Archive"),
                ("node-v22.11.0-linux-armv7l.tar.gz", "Linux armv7 - Archive"),
                ("node-v22.11.0-linux-ppc64le.tar.xz", "Linux ppc64le - Archive"),
                ("node-v22.11.0-darwin-arm64.tar.gz", "macOS arm64 - Archive"),
                ("node-v22.11.0-aix-ppc64.tar.gz", "AIX ppc64 - Archive"),
                ("node-v22.11.0-win-x64.zip", "Windows x86-64 - Archive"),
                ("node-v22.11.0-x64.msi", "Windows x86-64 - Installer"),
                ("node-v22.11.0.pkg", "macOS - - Installer"),
                ("node-v22.11.0-headers.tar.xz", "- - - Development"),
                ("win-x64/node_pdb.zip", "Windows x86-64 - Development"),
            ],
        );
        all(
            "zig",
            &[
                ("zig-linux-x86_64-0.13.0.tar.xz", "Linux x86-64 - Archive"),
                ("zig-linux-x86-0.13.0.tar.xz", "Linux x86 - Archive"),
                ("zig-x86_64-linux-0.14.0.tar.xz", "Linux x86-64 - Archive"),
                ("zig-loongarch64-linux-0.14.0.tar.xz", "Linux loong64 - Archive"),
                ("zig-macos-aarch64-0.13.0.tar.xz", "macOS arm64 - Archive"),
                ("zig-windows-aarch64-0.13.0.zip", "Windows arm64 - Archive"),
                ("zig-freebsd-x86_64-0.13.0.tar.xz", "FreeBSD x86-64 - Archive"),
            ],
        );
    }

    #[test]
    fn other_spellings_are_read() {
        all(
            "tool",
            &[
                ("tool-win32-x64.zip", "Windows x86-64 - Archive"),
                ("tool-win32.zip", "Windows x86 - Archive"),
                ("tool-win64.exe", "Windows x86-64 - Program"),
                ("tool-setup-1.0.exe", "Windows - - Installer"),
                ("tool-linux64.tgz", "Linux x86-64 - Archive"),
                ("tool-linuxarm64.tgz", "Linux arm64 - Archive"),
                ("tool-macos13-arm64.zip", "macOS arm64 - Archive"),
                ("tool-1.0-1.el9.x86_64.rpm", "Linux x86-64 - Package"),
                ("tool-1.0-x86_64.AppImage", "Linux x86-64 - Program"),
                ("tool-1.0.dmg", "macOS - - Installer"),
                ("tool-linux-arm-v7.tar.gz", "Linux armv7 - Archive"),
                ("tool-arm64-v8a-release.apk", "Android arm64 - Package"),
                ("tool.apk", "Android - - Package"),
                ("tool-aarch64-linux-android.tar.gz", "Android arm64 - Archive"),
                ("tool-wasm32-wasi.wasm", "WebAssembly - - Program"),
                ("tool-1.0-py3-none-manylinux_2_17_x86_64.whl", "Linux x86-64 - Archive"),
                ("tool-1.0-py3-none-musllinux_1_2_aarch64.whl", "Linux arm64 musl Archive"),
                ("tool-1.0-py3-none-any.whl", "- - - Archive"),
                ("tool_1.0_all.deb", "Linux universal - Package"),
                ("tool-1.0.jar", "- - - Program"),
                ("firmware.bin", "- - - Other"),
                ("swindow-1.0.tar.gz", "- - - Archive"),
            ],
        );
        // The package's own name says nothing.
        all("windows-exporter", &[("windows-exporter-0.29.2-linux-amd64.tar.gz", "Linux x86-64 - Archive")]);
        all("linux-firmware", &[("linux-firmware-2026.tar.gz", "- - - Archive")]);
    }

    #[test]
    fn no_spelling_is_listed_twice_and_all_are_in_lower_case() {
        let mut seen = std::collections::BTreeSet::new();
        for (spelling, _) in WORDS {
            assert!(seen.insert(spelling) && *spelling == spelling.to_lowercase(), "{spelling}");
        }
        assert!(seen.len() >= 60);
    }

    #[test]
    fn labels_name_the_system_and_the_architecture() {
        assert_eq!(Platform::of("t", "t-linux-x64.tgz").label().as_deref(), Some("Linux x86-64"));
        assert_eq!(Platform::of("t", "t.dmg").label().as_deref(), Some("macOS"));
        assert_eq!(Platform::of("t", "t.bin").label(), None);
    }
}
