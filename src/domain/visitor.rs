//! The computer of someone who looks at a page, as their browser describes it, and the file that is right for it.

use super::platform::{Arch, Kind, Libc, Os, Platform};

/// What a browser says about its computer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Visitor {
    pub os: Option<Os>,
    /// `None` if the browser doesn't say, or can't be trusted: Safari says that every Mac has an Intel processor.
    pub arch: Option<Arch>,
}

/// The client hints of a request, without their quotes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Hints<'a> {
    /// `Sec-CH-UA-Platform`.
    pub platform: Option<&'a str>,
    /// `Sec-CH-UA-Arch`: `x86` or `arm`.
    pub arch: Option<&'a str>,
    /// `Sec-CH-UA-Bitness`: `64` or `32`.
    pub bitness: Option<&'a str>,
}

impl Visitor {
    /// Reads the header `User-Agent` and the client hints, which have more details.
    pub fn read(user_agent: &str, hints: Hints<'_>) -> Self {
        let of_agent = Self::of_agent(user_agent);
        let os = match hints.platform {
            Some("Windows") => Some(Os::Windows),
            Some("macOS") => Some(Os::MacOs),
            Some("Linux" | "Chrome OS" | "Chromium OS") => Some(Os::Linux),
            Some("Android") => Some(Os::Android),
            Some("iOS") => Some(Os::Ios),
            _ => of_agent.os,
        };
        let arch = match (hints.arch, hints.bitness) {
            (Some("x86"), Some("32")) => Some(Arch::X86),
            (Some("x86"), _) => Some(Arch::X86_64),
            (Some("arm"), Some("32")) => Some(Arch::Armv7),
            (Some("arm"), _) => Some(Arch::Arm64),
            // The rest of the header is about another system than the hint.
            _ if os != of_agent.os => None,
            _ => of_agent.arch,
        };
        Self { os, arch }
    }

    fn of_agent(text: &str) -> Self {
        let has = |part: &str| text.contains(part);
        let os = match () {
            () if has("Android") => Os::Android,
            () if has("iPhone") || has("iPad") => Os::Ios,
            () if has("Windows NT") => Os::Windows,
            () if has("Mac OS X") || has("Macintosh") => Os::MacOs,
            () if has("FreeBSD") => Os::FreeBsd,
            () if has("OpenBSD") => Os::OpenBsd,
            () if has("NetBSD") => Os::NetBsd,
            () if has("Linux") || has("CrOS") => Os::Linux,
            () => return Self::default(),
        };
        let arch = match () {
            // On these, the header names the same processor for every device.
            () if matches!(os, Os::MacOs | Os::Ios | Os::Android) => None,
            () if has("aarch64") || has("ARM64") || has("arm64") => Some(Arch::Arm64),
            () if has("x86_64") || has("x64") || has("Win64") || has("WOW64") || has("amd64") => Some(Arch::X86_64),
            () if has("armv7") || has("armv8l") => Some(Arch::Armv7),
            () if has("armv6") => Some(Arch::Armv6),
            () if has("riscv64") => Some(Arch::Riscv64),
            () if has("ppc64le") => Some(Arch::Ppc64le),
            () if has("i686") || has("i386") => Some(Arch::X86),
            () => None,
        };
        Self { os: Some(os), arch }
    }

    /// How well a file fits, the lowest number best; `None` for one that doesn't run on this computer.
    fn distance(self, file: &Platform) -> Option<(u8, u8, u8)> {
        if !file.is_usable() || file.os.is_none() || file.os != self.os {
            return None;
        }
        let arch = match (self.arch, file.arch) {
            (Some(own), Some(arch)) if own == arch => 0,
            (_, Some(Arch::Universal)) => 1,
            (_, None) => 2,
            // New Macs are arm64, and other computers x86-64, unless the browser says otherwise.
            (None, Some(Arch::Arm64)) => {
                if matches!(self.os, Some(Os::MacOs | Os::Android | Os::Ios)) {
                    3
                } else {
                    5
                }
            }
            (None, Some(Arch::X86_64)) => 4,
            (None, Some(_)) => 6,
            (Some(Arch::Armv7), Some(Arch::Arm)) => 3,
            (Some(Arch::Armv7), Some(Arch::Armv6)) => 4,
            // The system translates programs of the other architecture.
            (Some(Arch::Arm64), Some(Arch::X86_64)) if matches!(self.os, Some(Os::MacOs | Os::Windows)) => 7,
            (Some(Arch::X86_64), Some(Arch::X86)) => 8,
            _ => return None,
        };
        let kind = match (self.os, file.kind) {
            // On these, an installer is what people expect. Elsewhere the system has its own packages.
            (Some(Os::Windows | Os::MacOs), Kind::Installer) => 0,
            (_, Kind::Archive) => 1,
            (_, Kind::Program) => 2,
            (_, Kind::Installer) => 3,
            (_, Kind::Package) => 4,
            _ => 5,
        };
        Some((arch, kind, u8::from(file.libc == Some(Libc::Musl))))
    }

    /// The place of the file that is right for this computer, if there is one. If several files fit equally well, it is
    /// the one with the shortest name.
    pub fn choose<'a>(self, files: impl Iterator<Item = (&'a str, &'a Platform)>) -> Option<usize> {
        let fitting = files
            .enumerate()
            .filter_map(|(place, (name, file))| Some(((self.distance(file)?, name.chars().count(), name), place)));
        fitting.min().map(|(_, place)| place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHROME_LINUX: &str =
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36";
    const CHROME_WINDOWS: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36";
    const SAFARI: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15";

    fn visitor(agent: &str, arch: Option<&str>) -> Visitor {
        Visitor::read(agent, Hints { platform: None, arch, bitness: arch.map(|_| "64") })
    }

    #[test]
    fn the_system_and_the_architecture_are_read_from_the_user_agent() {
        for (agent, os, arch) in [
            (CHROME_LINUX, Some(Os::Linux), Some(Arch::X86_64)),
            (CHROME_WINDOWS, Some(Os::Windows), Some(Arch::X86_64)),
            (SAFARI, Some(Os::MacOs), None),
            (
                "Mozilla/5.0 (X11; Ubuntu; Linux aarch64; rv:133.0) Gecko/20100101 Firefox/133.0",
                Some(Os::Linux),
                Some(Arch::Arm64),
            ),
            ("Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 Chrome/131.0.0.0 Mobile", Some(Os::Android), None),
            ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15", Some(Os::Ios), None),
            (
                "Mozilla/5.0 (X11; FreeBSD amd64; rv:132.0) Gecko/20100101 Firefox/132.0",
                Some(Os::FreeBsd),
                Some(Arch::X86_64),
            ),
            ("Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) Chrome/131.0.0.0", Some(Os::Linux), Some(Arch::X86_64)),
            ("curl/8.11.0", None, None),
            ("", None, None),
        ] {
            assert_eq!(visitor(agent, None), Visitor { os, arch }, "{agent}");
        }
    }

    #[test]
    fn client_hints_know_more_than_the_user_agent() {
        assert_eq!(visitor(SAFARI, Some("arm")).arch, Some(Arch::Arm64));
        assert_eq!(visitor(CHROME_WINDOWS, Some("arm")).arch, Some(Arch::Arm64));
        let other = Visitor::read(CHROME_LINUX, Hints { platform: Some("macOS"), ..Hints::default() });
        assert_eq!(other, Visitor { os: Some(Os::MacOs), arch: None });
    }

    /// The file of a list that a visitor gets.
    fn chosen(visitor: Visitor, package: &str, names: &str) -> Option<String> {
        let names: Vec<&str> = names.split_whitespace().collect();
        let platforms: Vec<Platform> = names.iter().map(|name| Platform::of(package, name)).collect();
        visitor.choose(names.iter().copied().zip(&platforms)).map(|place| names[place].to_owned())
    }

    #[test]
    fn everybody_gets_the_file_for_their_computer() {
        let gh = "gh_2.62.0_checksums.txt gh_2.62.0_linux_386.tar.gz gh_2.62.0_linux_amd64.deb gh_2.62.0_linux_amd64.tar.gz \
                  gh_2.62.0_linux_arm64.tar.gz gh_2.62.0_macOS_amd64.zip gh_2.62.0_macOS_arm64.zip gh_2.62.0_macOS_universal.pkg \
                  gh_2.62.0_windows_amd64.msi gh_2.62.0_windows_amd64.zip gh_2.62.0_windows_arm64.msi";
        for (visitor, wanted) in [
            (visitor(CHROME_LINUX, None), Some("gh_2.62.0_linux_amd64.tar.gz")),
            (visitor(CHROME_WINDOWS, None), Some("gh_2.62.0_windows_amd64.msi")),
            (visitor(CHROME_WINDOWS, Some("arm")), Some("gh_2.62.0_windows_arm64.msi")),
            (visitor(SAFARI, None), Some("gh_2.62.0_macOS_universal.pkg")),
            (visitor(SAFARI, Some("x86")), Some("gh_2.62.0_macOS_amd64.zip")),
            (visitor("curl/8", None), None),
        ] {
            assert_eq!(chosen(visitor, "gh", gh).as_deref(), wanted, "{visitor:?}");
        }
        let hugo =
            "hugo_extended_0.139.0_linux-amd64.tar.gz hugo_0.139.0_linux-amd64.tar.gz hugo_0.139.0_windows-amd64.zip";
        assert_eq!(
            chosen(visitor(CHROME_LINUX, None), "hugo", hugo).as_deref(),
            Some("hugo_0.139.0_linux-amd64.tar.gz")
        );
        let uv = "uv-x86_64-unknown-linux-musl.tar.gz uv-x86_64-unknown-linux-gnu.tar.gz uv-aarch64-apple-darwin.tar.gz \
                  uv-x86_64-apple-darwin.tar.gz";
        assert_eq!(
            chosen(visitor(CHROME_LINUX, None), "uv", uv).as_deref(),
            Some("uv-x86_64-unknown-linux-gnu.tar.gz")
        );
        assert_eq!(chosen(visitor(SAFARI, None), "uv", uv).as_deref(), Some("uv-aarch64-apple-darwin.tar.gz"));
        assert_eq!(chosen(visitor(CHROME_WINDOWS, None), "uv", uv), None);
    }
}
