//! Paths of packages, versions and files: the names that lead to them.

use super::names::{FileName, OwnerName, PackageName};
use super::version::Version;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::fmt;

/// The characters to escape in a path segment: everything but RFC 3986's unreserved characters.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The characters to escape in a path of several segments: the same, but the slashes between them stay.
const SEGMENTS: &AsciiSet = &SEGMENT.remove(b'/');

/// Escapes a file's path inside its version: each segment, and not the slashes between them.
pub fn escape_file(path: &str) -> impl fmt::Display + '_ {
    utf8_percent_encode(path, SEGMENTS)
}

/// Escapes a text as one segment of a path.
pub fn escape(text: &str) -> impl fmt::Display + '_ {
    utf8_percent_encode(text, SEGMENT)
}

/// A package of an owner.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PackagePath {
    pub owner: OwnerName,
    pub package: PackageName,
}

/// A version of a package.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VersionPath {
    pub owner: OwnerName,
    pub package: PackageName,
    pub version: Version,
}

/// A file of a version.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FilePath {
    pub owner: OwnerName,
    pub package: PackageName,
    pub version: Version,
    pub file: FileName,
}

impl FilePath {
    /// The version that contains the file.
    pub fn in_version(&self) -> VersionPath {
        VersionPath { owner: self.owner.clone(), package: self.package.clone(), version: self.version.clone() }
    }
}

impl VersionPath {
    /// The path of the package that this is a version of.
    pub fn in_package(&self) -> PackagePath {
        PackagePath { owner: self.owner.clone(), package: self.package.clone() }
    }

    /// The path of a file in this version.
    pub fn with_file(&self, file: FileName) -> FilePath {
        FilePath { owner: self.owner.clone(), package: self.package.clone(), version: self.version.clone(), file }
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{}", self.owner, self.package, self.version, self.file)
    }
}

impl fmt::Display for VersionPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.owner, self.package, self.version)
    }
}
