//! The names in a path: each segment percent-decoded exactly once, after routing, and then parsed.

use crate::domain::names::{InvalidName, OwnerName};
use crate::domain::path::{FilePath, PackagePath, VersionPath};
use crate::error::{Error, Result};
use actix_web::HttpRequest;
use percent_encoding::percent_decode_str;
use std::str::FromStr;

pub use crate::domain::path::escape;

/// Where in a path the names stand, counted from 0.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    owner: usize,
    package: usize,
}

/// `/api/packages/{owner}/generic/{name}/{version}/{file}`.
pub const GENERIC: Layout = Layout { owner: 2, package: 4 };
/// `/api/v1/packages/{owner}/generic/{name}/{version}`.
pub const API_V1: Layout = Layout { owner: 3, package: 5 };

/// `/{owner}/-/upload/{name}/{version}/{file}`.
pub const UPLOAD: Layout = Layout { owner: 0, package: 3 };

/// One segment of a path, counted from 0, decoded and parsed. The raw path is read and not actix's decoded copy of it,
/// in which bytes that are no UTF-8 have become U+FFFD.
///
/// # Errors
/// [`Error::Invalid`] whose text begins with `invalid` and what it is.
pub fn segment<T: FromStr>(req: &HttpRequest, index: usize, field: &'static str) -> Result<T>
where
    T::Err: std::fmt::Display,
{
    let raw = req.uri().path().trim_start_matches('/').split('/').nth(index).unwrap_or_default();
    let wrong = |why: &dyn std::fmt::Display| Error::Invalid { field, problem: format!("invalid {field}: {why}") };
    let text = percent_decode_str(raw).decode_utf8().map_err(|_| wrong(&InvalidName::Encoding))?;
    text.parse().map_err(|why| wrong(&why))
}

/// The path and query of a request with an owner's new name in the place of the old one; `None` when it names no owner.
pub fn renamed(req: &HttpRequest, from: &OwnerName, to: &OwnerName) -> Option<String> {
    let pattern = req.match_pattern()?;
    let (mut names, mut found) = (pattern.split('/'), false);
    let segments = req.uri().path().split('/').map(|raw| {
        let is_name = names.next().is_some_and(|name| name.starts_with('{'));
        let is_it = || percent_decode_str(raw).decode_utf8().is_ok_and(|text| text.to_lowercase() == from.lower());
        if !found && is_name && is_it() {
            found = true;
            return escape(to.as_str()).to_string();
        }
        raw.to_owned()
    });
    let path = segments.collect::<Vec<_>>().join("/");
    let query = req.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    found.then(|| path + &query)
}

impl Layout {
    /// The owner in a path. One whose name cannot be is as unknown as any other.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the field `owner`.
    pub fn owner(self, req: &HttpRequest) -> Result<OwnerName> {
        segment(req, self.owner, "owner")
    }

    /// Owner and package in a path.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the first bad one.
    pub fn package(self, req: &HttpRequest) -> Result<PackagePath> {
        Ok(PackagePath { package: segment(req, self.package, "package name")?, owner: self.owner(req)? })
    }

    /// Owner, package and version in a path.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the first bad one.
    pub fn version(self, req: &HttpRequest) -> Result<VersionPath> {
        Ok(VersionPath {
            package: segment(req, self.package, "package name")?,
            version: segment(req, self.package + 1, "package version")?,
            owner: self.owner(req)?,
        })
    }

    /// Owner, package, version and file in a path.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the first bad one.
    pub fn file(self, req: &HttpRequest) -> Result<FilePath> {
        Ok(FilePath {
            package: segment(req, self.package, "package name")?,
            version: segment(req, self.package + 1, "package version")?,
            file: segment(req, self.package + 2, "filename")?,
            owner: self.owner(req)?,
        })
    }
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
