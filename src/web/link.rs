//! The addresses of the pages of packages, versions and files.

use crate::domain::ids::FileId;
use crate::domain::names::{OwnerName, PackageName};
use crate::domain::version::Version;
use crate::http::params::escape;

/// The last segment of the address of the list of versions. A version can have this name too.
const VERSIONS: &str = "versions";
/// The parameter that selects the version of this name instead of the list.
pub const ITSELF: &str = "itself";

/// The page of a package, which redirects to its latest version.
pub fn package(owner: &OwnerName, name: &PackageName) -> String {
    format!("/{}/-/packages/generic/{}", escape(owner.as_str()), escape(name.as_str()))
}

/// The list of a package's versions.
pub fn versions(owner: &OwnerName, name: &PackageName) -> String {
    format!("{}/{VERSIONS}", package(owner, name))
}

/// The page of a version.
pub fn version(owner: &OwnerName, name: &PackageName, version: &Version) -> String {
    let itself = if version.as_str() == VERSIONS { format!("?{ITSELF}=1") } else { String::new() };
    format!("{}/{}{itself}", package(owner, name), escape(version.as_str()))
}

/// The download of a file, by its id.
pub fn file(owner: &OwnerName, name: &PackageName, version: &Version, id: FileId) -> String {
    format!("{}/{}/files/{id}", package(owner, name), escape(version.as_str()))
}

/// The page that deletes a version.
pub fn delete(owner: &OwnerName, name: &PackageName, version: &Version) -> String {
    format!("{}/{}/delete", package(owner, name), escape(version.as_str()))
}

/// The settings page of a package.
pub fn settings(owner: &OwnerName, name: &PackageName) -> String {
    format!("/{}/-/packages/settings/generic/{}", escape(owner.as_str()), escape(name.as_str()))
}

/// The upload page, with the names filled in.
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
    fn names_are_escaped_and_a_version_is_never_taken_for_the_list() {
        let (owner, name) = ("ada".parse().unwrap(), "c++".parse().unwrap());
        let url = |text: &str| version(&owner, &name, &text.parse().unwrap());
        assert_eq!(url("1.0/a ü"), "/ada/-/packages/generic/c%2B%2B/1.0%2Fa%20%C3%BC");
        assert_eq!(url("versions"), "/ada/-/packages/generic/c%2B%2B/versions?itself=1");
        assert_eq!(versions(&owner, &name), "/ada/-/packages/generic/c%2B%2B/versions");
        assert_eq!(upload(&owner, Some((&name, None))), "/ada/-/upload?package=c%2B%2B");
    }
}
