//! Where pages are: every address of packages, versions and files is written here.

use crate::domain::ids::FileId;
use crate::domain::names::{OwnerName, PackageName};
use crate::domain::version::Version;
use crate::http::params::escape;

/// The last part of the address of the list of versions. A version may be called so too.
const VERSIONS: &str = "versions";
/// The parameter that says that it is the version which is meant.
pub const ITSELF: &str = "itself";

/// A package: leads to its newest version.
pub fn package(owner: &OwnerName, name: &PackageName) -> String {
    format!("/{}/-/packages/generic/{}", escape(owner.as_str()), escape(name.as_str()))
}

/// The versions of a package.
pub fn versions(owner: &OwnerName, name: &PackageName) -> String {
    format!("{}/{VERSIONS}", package(owner, name))
}

/// A version.
pub fn version(owner: &OwnerName, name: &PackageName, version: &Version) -> String {
    let itself = if version.as_str() == VERSIONS { format!("?{ITSELF}=1") } else { String::new() };
    format!("{}/{}{itself}", package(owner, name), escape(version.as_str()))
}

/// A file to download, by its id.
pub fn file(owner: &OwnerName, name: &PackageName, version: &Version, id: FileId) -> String {
    format!("{}/{}/files/{id}", package(owner, name), escape(version.as_str()))
}

/// Where a version is deleted, after a question.
pub fn delete(owner: &OwnerName, name: &PackageName, version: &Version) -> String {
    format!("{}/{}/delete", package(owner, name), escape(version.as_str()))
}

/// The settings of a package.
pub fn settings(owner: &OwnerName, name: &PackageName) -> String {
    format!("/{}/-/packages/settings/generic/{}", escape(owner.as_str()), escape(name.as_str()))
}

/// Where files are uploaded; the names are there already.
pub fn upload(owner: &OwnerName, to: Option<(&PackageName, Option<&Version>)>) -> String {
    let mut url = format!("/{}/-/upload", escape(owner.as_str()));
    if let Some((name, version)) = to {
        url.push_str(&format!("?package={}", escape(name.as_str())));
        if let Some(version) = version {
            url.push_str(&format!("&version={}", escape(version.as_str())));
        }
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_and_no_version_gets_the_address_of_the_list() {
        let (owner, name) = ("ada".parse().unwrap(), "c++".parse().unwrap());
        let url = |text: &str| version(&owner, &name, &text.parse().unwrap());
        assert_eq!(url("1.0/a ü"), "/ada/-/packages/generic/c%2B%2B/1.0%2Fa%20%C3%BC");
        assert_eq!(url("versions"), "/ada/-/packages/generic/c%2B%2B/versions?itself=1");
        assert_eq!(versions(&owner, &name), "/ada/-/packages/generic/c%2B%2B/versions");
        assert_eq!(upload(&owner, Some((&name, None))), "/ada/-/upload?package=c%2B%2B");
    }
}
