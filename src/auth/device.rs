//! The cookie of a browser in which users signed in before: OWASP's "Slow Down Online Guessing Attacks with Device
//! Cookies". It proves nothing about who uses the browser; it only gives their sign-ins a bucket that strangers cannot
//! fill. Only a complete sign-in creates an entry, and a change of the account's epoch makes it worthless, so nobody
//! gains attempts by collecting such cookies.

use super::session::{self, Purpose};
use crate::domain::ids::OwnerId;
use crate::domain::secret::random_text;
use crate::error::{Error, Result};
use crate::registry::accounts::attempts::DeviceId;
use crate::state::App;
use actix_web::HttpRequest;
use actix_web::cookie::Cookie;
use serde::{Deserialize, Serialize};
use std::time::Duration;

const NAME: &str = "packhouse-device";
/// How long the browser is known after a sign-in. Browsers keep no cookie for longer than 400 days.
const KNOWN_FOR: Duration = Duration::from_secs(180 * 24 * 3600);
/// The most accounts that one browser is known for, because the size of a request's headers is limited.
const MOST_ACCOUNTS: usize = 8;
/// The characters of a device's name.
const ID_LENGTH: usize = 16;

/// A browser's entry for one account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Device {
    user: i64,
    epoch: i32,
    id: String,
    /// When the browser is forgotten, in seconds after the Unix epoch.
    until: i64,
}

/// The entries of the request's cookie that are still valid, the latest first.
pub(super) fn read(req: &HttpRequest, app: &App) -> Vec<Device> {
    let Some(cookie) = session::cookie_value(req, app, NAME) else { return Vec::new() };
    let text = session::subject(app, Purpose::Devices, &cookie);
    let mut devices: Vec<Device> = text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let now = app.clock.now();
    devices.retain(|device| device.until > now.unix() && device.until <= now.latest_end_of(KNOWN_FOR).unix());
    devices
}

/// The name of the browser for an account at this epoch.
pub(super) fn id_for(devices: &[Device], (user, epoch): (OwnerId, i32)) -> Option<DeviceId> {
    let own = devices.iter().find(|device| device.user == user.0 && device.epoch == epoch);
    own.map(|device| DeviceId(device.id.clone()))
}

/// Whether a user signed in with this browser before, at any epoch of their account. It only decides whether they are
/// told of a new device.
pub fn is_known(req: &HttpRequest, app: &App, user: OwnerId) -> bool {
    read(req, app).iter().any(|device| device.user == user.0)
}

/// The cookie of a browser in which a user has just signed in, completely.
///
/// # Errors
/// [`Error::Internal`].
pub fn remember(req: &HttpRequest, app: &App, (user, epoch): (OwnerId, i32)) -> Result<Cookie<'static>> {
    let mut devices = read(req, app);
    // The name stays, so that signing in again does not empty its bucket.
    let id = id_for(&devices, (user, epoch)).map_or_else(|| random_text(ID_LENGTH), |DeviceId(id)| id);
    devices.retain(|device| device.user != user.0);
    devices.insert(0, Device { user: user.0, epoch, id, until: app.clock.now().plus(KNOWN_FOR).unix() });
    devices.truncate(MOST_ACCOUNTS);
    let text = serde_json::to_string(&devices).map_err(Error::internal)?;
    let token = session::issue(app, Purpose::Devices, text, 0, KNOWN_FOR)?;
    Ok(session::lasting(app, NAME, token, KNOWN_FOR))
}
