//! The pages for site administrators.

mod attention;
pub mod audit;
mod forecast;
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
];

const OVERVIEW: &str = "/-/admin";

/// Whether a page is at or below one of these addresses. All other pages are below the overview, so it must match
/// exactly.
pub fn is_at(frame: &Frame, path: &str) -> bool {
    match path {
        OVERVIEW => frame.here.split('?').next() == Some(OVERVIEW),
        other => frame.is_at(other),
    }
}
