//! All addresses of packages, versions and files that the server writes, as paths within the site: those of the generic
//! protocol and those of pages.

use super::ids::FileId;
use super::names::{OwnerName, PackageName};
use super::path::{FilePath, PackagePath, VersionPath, escape};
use super::version::Version;

/// The list of a package's versions.
pub fn generic_package(path: &PackagePath) -> String {
    format!("/api/packages/{}/generic/{}", escape(path.owner.as_str()), escape(path.package.as_str()))
}

/// The list of a version's files.
pub fn generic_version(path: &VersionPath) -> String {
    format!("{}/{}", generic_package(&path.in_package()), escape(path.version.as_str()))
}

/// The address for publishing and downloading a file.
pub fn generic_file(path: &FilePath) -> String {
    format!("{}/{}", generic_version(&path.in_version()), escape(path.file.as_str()))
}

/// The page of an owner, with the owner's packages.
pub fn owner_page(name: &OwnerName) -> String {
    format!("/{}", escape(name.as_str()))
}

/// The last segment of the address of the list of versions. A version may have this name too.
pub const VERSIONS: &str = "versions";
/// The parameter that says that the version with that name is meant.
pub const ITSELF: &str = "itself";

/// The page of a package, which redirects to its newest version.
pub fn package_page(owner: &OwnerName, name: &PackageName) -> String {
    format!("/{}/-/packages/generic/{}", escape(owner.as_str()), escape(name.as_str()))
}

/// The page with the versions of a package.
pub fn versions_page(owner: &OwnerName, name: &PackageName) -> String {
    format!("{}/{VERSIONS}", package_page(owner, name))
}

/// The page of a version.
pub fn version_page(owner: &OwnerName, name: &PackageName, version: &Version) -> String {
    let itself = if version.as_str() == VERSIONS { format!("?{ITSELF}=1") } else { String::new() };
    format!("{}/{}{itself}", package_page(owner, name), escape(version.as_str()))
}

/// The download of a file, by its id.
pub fn file_download(owner: &OwnerName, name: &PackageName, version: &Version, id: FileId) -> String {
    format!("{}/{}/files/{id}", package_page(owner, name), escape(version.as_str()))
}

/// The page that asks before a file is deleted.
pub fn file_deletion(owner: &OwnerName, name: &PackageName, version: &Version, id: FileId) -> String {
    format!("{}/delete", file_download(owner, name, version, id))
}

/// The page that asks before a version is deleted.
pub fn version_deletion(owner: &OwnerName, name: &PackageName, version: &Version) -> String {
    format!("{}/{}/delete", package_page(owner, name), escape(version.as_str()))
}

/// The page with the settings of a package.
pub fn package_settings(owner: &OwnerName, name: &PackageName) -> String {
    format!("/{}/-/packages/settings/generic/{}", escape(owner.as_str()), escape(name.as_str()))
}

/// The page for uploading files to a version, with the names filled in.
pub fn upload_page(owner: &OwnerName, to: Option<(&PackageName, Option<&Version>)>) -> String {
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
        let url = |text: &str| version_page(&owner, &name, &text.parse().unwrap());
        assert_eq!(url("1.0/a ü"), "/ada/-/packages/generic/c%2B%2B/1.0%2Fa%20%C3%BC");
        assert_eq!(url("versions"), "/ada/-/packages/generic/c%2B%2B/versions?itself=1");
        assert_eq!(versions_page(&owner, &name), "/ada/-/packages/generic/c%2B%2B/versions");
        assert_eq!(upload_page(&owner, Some((&name, None))), "/ada/-/upload?package=c%2B%2B");
    }
}
