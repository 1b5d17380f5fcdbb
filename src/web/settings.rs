//! The navigation of the account settings.

use super::notifications;
use super::page::Frame;

/// The address, icon and title of each page. `templates/settings_side.html` shows them.
pub const SIDE: &[(&str, &str, &str)] = &[
    (PROFILE, "user", "Profile"),
    ("/user/settings/password", "lock", "Password"),
    ("/user/settings/security", "shield", "Security"),
    (notifications::PAGE, "bell", "Notifications"),
    ("/user/settings/tokens", "key-round", "Access tokens"),
    ("/user/settings/hooks", "webhook", "Webhooks"),
    ("/user/settings/retention", "clock", "Retention"),
    ("/user/settings/organizations", "building-2", "Organizations"),
];

/// The pages of [`SIDE`] that this instance has.
pub fn side(frame: &Frame) -> impl Iterator<Item = &'static (&'static str, &'static str, &'static str)> {
    let sends_mail = frame.sends_mail;
    SIDE.iter().filter(move |(path, ..)| sends_mail || *path != notifications::PAGE)
}

const PROFILE: &str = "/user/settings";

/// Whether a page is at or below one of these addresses. The other pages are below the profile too, so it is a special
/// case.
pub fn is_at(frame: &Frame, path: &str) -> bool {
    let other = || SIDE.iter().any(|(other, ..)| *other != PROFILE && frame.is_at(other));
    frame.is_at(path) && (path != PROFILE || !other())
}
