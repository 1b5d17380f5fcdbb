//! The pages for site administrators.

mod attention;
pub mod audit;
pub mod mail;
pub mod overview;
pub mod owners;
mod plot;
pub mod providers;
pub mod quota;
pub mod system;
mod traffic;
pub mod user;
pub mod users;

use super::page::Frame;

/// The address, icon and title of each page. `templates/admin_side.html` shows them.
pub const SIDE: &[(&str, &str, &str)] = &[
    (OVERVIEW, "layout-dashboard", "Overview"),
    ("/-/admin/users", "users", "Users"),
    ("/-/admin/orgs", "building-2", "Organizations"),
    ("/-/admin/packages", "package", "Packages"),
    ("/-/admin/sign-in", "key-round", "Sign-in"),
    ("/-/admin/audit", "history", "Audit log"),
    ("/-/admin/system", "activity", "System"),
    (mail::PAGE, "mail", "Mail"),
];

/// The pages of [`SIDE`] that this instance has.
pub fn side(frame: &Frame) -> impl Iterator<Item = &'static (&'static str, &'static str, &'static str)> {
    let sends_mail = frame.sends_mail;
    SIDE.iter().filter(move |(path, ..)| sends_mail || *path != mail::PAGE)
}

const OVERVIEW: &str = "/-/admin";

/// Whether a page is at or below one of these addresses. All other pages are below the overview, so it must match
/// exactly.
pub fn is_at(frame: &Frame, path: &str) -> bool {
    match path {
        OVERVIEW => frame.here.split('?').next() == Some(OVERVIEW),
        other => frame.is_at(other),
    }
}
