//! The names in a path: each segment percent-decoded exactly once, after routing, and then parsed.

use crate::domain::names::{InvalidName, OwnerName};
use crate::domain::path::{FilePath, PackagePath, VersionPath};
use crate::error::{Error, Result};
use actix_web::HttpRequest;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use std::str::FromStr;

/// Where a package's segments begin: `/api/packages/{owner}/generic/{name}/…`.
const OWNER: usize = 2;
const PACKAGE: usize = 4;
const VERSION: usize = 5;
const FILE: usize = 6;

/// What is escaped in a segment of an address we write: everything but RFC 3986's unreserved characters.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A text as one segment of a path.
pub fn escape(text: &str) -> impl std::fmt::Display + '_ {
    utf8_percent_encode(text, SEGMENT)
}

/// One segment, decoded and parsed.
///
/// # Errors
/// [`Error::Invalid`] whose text begins with `invalid` and what it is.
fn parse<T: FromStr<Err = InvalidName>>(req: &HttpRequest, index: usize, field: &'static str) -> Result<T> {
    let raw = req.uri().path().trim_start_matches('/').split('/').nth(index).unwrap_or_default();
    let text = percent_decode_str(raw).decode_utf8().map_err(|_| InvalidName::Encoding);
    text.and_then(|text| text.parse())
        .map_err(|why| Error::Invalid { field, problem: format!("invalid {field}: {why}") })
}

/// The owner in a path. One whose name cannot be is as unknown as any other.
///
/// # Errors
/// [`Error::Invalid`] with the field `owner`.
pub fn owner(req: &HttpRequest) -> Result<OwnerName> {
    parse(req, OWNER, "owner")
}

/// Owner and package in a path.
///
/// # Errors
/// [`Error::Invalid`] naming the first bad one.
pub fn package_path(req: &HttpRequest) -> Result<PackagePath> {
    Ok(PackagePath { package: parse(req, PACKAGE, "package name")?, owner: owner(req)? })
}

/// Owner, package and version in a path.
///
/// # Errors
/// [`Error::Invalid`] naming the first bad one.
pub fn version_path(req: &HttpRequest) -> Result<VersionPath> {
    Ok(VersionPath {
        package: parse(req, PACKAGE, "package name")?,
        version: parse(req, VERSION, "package version")?,
        owner: owner(req)?,
    })
}

/// Owner, package, version and file in a path.
///
/// # Errors
/// [`Error::Invalid`] naming the first bad one.
pub fn file_path(req: &HttpRequest) -> Result<FilePath> {
    Ok(FilePath {
        package: parse(req, PACKAGE, "package name")?,
        version: parse(req, VERSION, "package version")?,
        file: parse(req, FILE, "filename")?,
        owner: owner(req)?,
    })
}

/// The path of a version in the generic protocol.
pub fn version_url(path: &VersionPath) -> String {
    let (owner, package, version) = (path.owner.as_str(), path.package.as_str(), path.version.as_str());
    format!("/api/packages/{}/generic/{}/{}", escape(owner), escape(package), escape(version))
}

/// The path of a file in the generic protocol.
pub fn file_url(path: &FilePath) -> String {
    format!("{}/{}", version_url(&path.in_version()), escape(path.file.as_str()))
}
