//! The frame of the pages of one's account: what stands beside each of them.

use super::page::Frame;

/// The pages: where, with which icon, and how they are called. `templates/settings_side.html` shows them.
pub const SIDE: &[(&str, &str, &str)] = &[
    (PROFILE, "user", "Profile"),
    ("/user/settings/password", "lock", "Password"),
    ("/user/settings/security", "shield", "Security"),
    ("/user/settings/tokens", "key-round", "Access tokens"),
    ("/user/settings/hooks", "webhook", "Webhooks"),
    ("/user/settings/organizations", "building-2", "Organizations"),
];

const PROFILE: &str = "/user/settings";

/// Whether a page is at or below one of them; below the profile's address are the others too.
pub fn is_at(frame: &Frame, path: &str) -> bool {
    let other = || SIDE.iter().any(|(other, ..)| *other != PROFILE && frame.is_at(other));
    frame.is_at(path) && (path != PROFILE || !other())
}
