//! What someone is asked to sign in for, in words. They come from the address alone, without a look at the database, so
//! they say nothing about what exists.

use crate::domain::names::{OwnerName, PackageName};
use percent_encoding::percent_decode_str;

/// The end of the sentence "Sign in to …" for a path within the site; `None` for the home page.
pub fn purpose(path: &str) -> Option<String> {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let parts = path.split('/').filter(|part| !part.is_empty());
    let parts: Vec<String> = parts.map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned()).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    Some(match parts.as_slice() {
        [] => return None,
        ["-", "admin", ..] => "open the administration".to_owned(),
        ["user", "settings", "tokens", ..] => "open your access tokens".to_owned(),
        ["user", ..] => "open your settings".to_owned(),
        ["org", "create", ..] => "create an organization".to_owned(),
        ["org", owner, ..] => of_owner("open", owner),
        ["explore", ..] => "explore packages".to_owned(),
        ["docs", ..] => "read the manual".to_owned(),
        [owner, "-", "upload", ..] => of_owner("upload files to", owner),
        [owner, "-", "trash", ..] => of_owner("open the trash of", owner),
        [owner, "-", "packages", "settings", "generic", package, ..] => of_package("change", owner, package),
        [owner, "-", "packages", "generic", package, ..] => of_package("open", owner, package),
        [owner, ..] => of_owner("open", owner),
    })
}

/// For an address that no page can have. Only names are repeated, so a link can't put a text of its own here.
const UNKNOWN: &str = "open this page";

fn of_owner(verb: &str, owner: &str) -> String {
    let owner = owner.parse::<OwnerName>();
    owner.map_or_else(|_| UNKNOWN.to_owned(), |owner| format!("{verb} {owner}"))
}

fn of_package(verb: &str, owner: &str, package: &str) -> String {
    match package.parse::<PackageName>() {
        Ok(package) if owner.parse::<OwnerName>().is_ok() => format!("{verb} {owner}/{package}"),
        _ => UNKNOWN.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::purpose;

    #[test]
    fn the_purpose_of_a_sign_in_comes_from_the_address() {
        for (path, text) in [
            ("/acme", "open acme"),
            ("/acme/-/packages/generic/firmware/1.0?file=3#get", "open acme/firmware"),
            ("/acme/-/packages/settings/generic/firmware", "change acme/firmware"),
            ("/acme/-/upload?package=a", "upload files to acme"),
            ("/org/acme/members", "open acme"),
            ("/-/admin/users", "open the administration"),
            ("/user/settings/tokens/new", "open your access tokens"),
            ("/user/settings/hooks", "open your settings"),
            ("/call%20us%20now", "open this page"),
            ("/acme/-/packages/generic/%2E%2E/1", "open this page"),
        ] {
            assert_eq!(purpose(path).as_deref(), Some(text), "{path}");
        }
        assert_eq!(purpose("/?page=2"), None);
    }
}
