//! The computers that a release file is for: operating system, architecture, C library and kind of package.

/// An operating system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Os {
    Linux,
    MacOs,
    Windows,
    FreeBsd,
    OpenBsd,
    NetBsd,
    DragonFly,
    Illumos,
    Solaris,
    Aix,
    Plan9,
    Android,
    Ios,
    Wasm,
}

impl Os {
    /// The name as people write it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Linux => "Linux",
            Self::MacOs => "macOS",
            Self::Windows => "Windows",
            Self::FreeBsd => "FreeBSD",
            Self::OpenBsd => "OpenBSD",
            Self::NetBsd => "NetBSD",
            Self::DragonFly => "DragonFly BSD",
            Self::Illumos => "illumos",
            Self::Solaris => "Solaris",
            Self::Aix => "AIX",
            Self::Plan9 => "Plan 9",
            Self::Android => "Android",
            Self::Ios => "iOS",
            Self::Wasm => "WebAssembly",
        }
    }
}

/// An architecture of processors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Arch {
    /// Runs on every processor of its operating system.
    Universal,
    X86_64,
    Arm64,
    X86,
    Armv7,
    Armv6,
    Armv5,
    Arm,
    Riscv64,
    Ppc64le,
    Ppc64,
    S390x,
    Loong64,
    Mips64le,
    Mips64,
    Mipsle,
    Mips,
    Sparc64,
}

impl Arch {
    /// The name as people write it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Universal => "universal",
            Self::X86_64 => "x86-64",
            Self::Arm64 => "arm64",
            Self::X86 => "x86",
            Self::Armv7 => "armv7",
            Self::Armv6 => "armv6",
            Self::Armv5 => "armv5",
            Self::Arm => "arm",
            Self::Riscv64 => "riscv64",
            Self::Ppc64le => "ppc64le",
            Self::Ppc64 => "ppc64",
            Self::S390x => "s390x",
            Self::Loong64 => "loong64",
            Self::Mips64le => "mips64le",
            Self::Mips64 => "mips64",
            Self::Mipsle => "mipsle",
            Self::Mips => "mips",
            Self::Sparc64 => "sparc64",
        }
    }
}

/// A C library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Libc {
    Gnu,
    Musl,
}

impl Libc {
    /// The name as people write it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Gnu => "glibc",
            Self::Musl => "musl",
        }
    }
}

/// What a file is, by its ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// An archive or a compressed program.
    Archive,
    /// A program without an ending, or one that runs as it is.
    Program,
    /// Installs itself with a click.
    Installer,
    /// For the package manager of an operating system.
    Package,
    /// Source code.
    Source,
    /// Debug symbols or headers, which few people need.
    Development,
    /// A README, a list or another text.
    Text,
    Other,
}

/// What the name of a file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Platform {
    pub os: Option<Os>,
    pub arch: Option<Arch>,
    pub libc: Option<Libc>,
    pub kind: Kind,
}

impl Platform {
    /// Whether it runs somewhere: it is neither source code nor a text.
    pub fn is_usable(&self) -> bool {
        !matches!(self.kind, Kind::Source | Kind::Development | Kind::Text)
    }

    /// The operating system and the architecture in words, such as `Linux x86-64`; `None` if the name has no system.
    pub fn label(&self) -> Option<String> {
        let os = self.os?;
        let arch = self.arch.map_or_else(String::new, |arch| format!(" {}", arch.label()));
        Some(format!("{}{arch}", os.label()))
    }
}
