//! Browser cookies: JSON Web Tokens (RFC 7519) signed with the instance's key, each valid for one purpose. A session
//! cookie names the session's row and proves nothing without it.

use crate::domain::clock::Timestamp;
use crate::domain::ids::{IdentityId, OwnerId, SessionId};
use crate::domain::public_url::PublicUrl;
use crate::error::{Error, Result};
use crate::registry::accounts::session_expiry::LONGEST;
use crate::state::App;
use actix_web::HttpRequest;
use actix_web::cookie::{Cookie, SameSite};
use actix_web::http::header;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long a sign-in waits for the two-factor code after the correct password.
const PENDING: Duration = Duration::from_secs(300);
const ISSUER: &str = "packhouse";

/// The purpose of a token; a token for one purpose is invalid for the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Purpose {
    /// A session.
    Session,
    /// The password was correct, and the two-factor code is still missing.
    Pending,
    /// The accounts that signed in with this browser before.
    Devices,
}

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: Purpose,
    /// The session's id, or the user's, or the entries of a device cookie.
    sub: String,
    /// The account's epoch, where it counts.
    epoch: i32,
    iat: i64,
    exp: i64,
}

/// Whether the site is served over https, so that its cookies must be sent over https only.
pub fn is_secure(app: &App) -> bool {
    app.config.public_url.as_ref().is_some_and(PublicUrl::is_secure)
}

/// The port of the site's address as browsers see it, unless it is the default.
fn port(req: &HttpRequest, app: &App) -> Option<u16> {
    if let Some(url) = &app.config.public_url {
        return url.port();
    }
    let host = req.headers().get(header::HOST)?.to_str().ok()?;
    host.rsplit_once(':')?.1.parse().ok().filter(|port| *port != 80)
}

/// The name of a cookie in browsers. With https it has the prefix that keeps other hosts from setting it (RFC 6265bis);
/// the stricter of the two prefixes is only for cookies of a whole host. Browsers don't tell the ports of a host apart,
/// so the name does: otherwise two servers on one host would replace each other's sessions.
fn browser_name(req: &HttpRequest, app: &App, name: &str) -> String {
    let prefix = match (is_secure(app), app.config.base_path().is_root()) {
        (false, _) => "",
        (true, true) => "__Host-",
        (true, false) => "__Secure-",
    };
    match port(req, app) {
        Some(port) => format!("{prefix}{name}-{port}"),
        None => format!("{prefix}{name}"),
    }
}

/// The value of one of our cookies in a request.
pub fn cookie_value(req: &HttpRequest, app: &App, name: &str) -> Option<String> {
    req.cookie(&browser_name(req, app, name)).map(|cookie| cookie.value().to_owned())
}

/// Gives a cookie the name and the path that it has in browsers.
pub fn address_cookie(req: &HttpRequest, app: &App, cookie: &mut Cookie<'static>) {
    let base = app.config.base_path();
    cookie.set_name(browser_name(req, app, cookie.name()));
    cookie.set_path(if base.is_root() { "/".to_owned() } else { base.as_str().to_owned() });
}

/// A cookie with the attributes of all cookies of this site: for this site only, and unreadable for scripts. Its name
/// and path are completed by [`address_cookie`].
pub fn cookie(app: &App, name: &'static str, value: String) -> Cookie<'static> {
    Cookie::build(name, value).http_only(true).secure(is_secure(app)).same_site(SameSite::Lax).finish()
}

/// Removes a cookie from the browser.
pub fn removal(app: &App, name: &'static str) -> Cookie<'static> {
    let mut cookie = cookie(app, name, String::new());
    cookie.make_removal();
    cookie
}

const SESSION: &str = "packhouse";
const PENDING_NAME: &str = "packhouse-pending";

fn key(app: &App) -> [u8; 32] {
    app.key.derive("tokens in cookies")
}

pub(super) fn issue(app: &App, purpose: Purpose, sub: String, epoch: i32, life: Duration) -> Result<String> {
    let now = app.clock.now();
    let claims =
        Claims { iss: ISSUER.to_owned(), aud: purpose, sub, epoch, iat: now.unix(), exp: now.plus(life).unix() };
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(&key(app)))
        .map_err(Error::internal)
}

/// The claims of a token that this instance issued for this purpose and that has not expired. A token from the future
/// comes from a clock that was wrong, and would be valid for too long.
fn open(app: &App, purpose: Purpose, token: &str) -> Option<Claims> {
    let mut rules = Validation::new(Algorithm::HS256);
    // The expiry is checked below, with the server's own clock.
    rules.validate_exp = false;
    rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    rules.set_issuer(&[ISSUER]);
    rules.validate_aud = false;
    let claims = jsonwebtoken::decode::<Claims>(token, &DecodingKey::from_secret(&key(app)), &rules).ok()?.claims;
    let (now, of) = (app.clock.now(), Timestamp::from_unix);
    let is_now = of(claims.exp) > now && of(claims.iat) <= now.latest_end_of(Duration::ZERO);
    (claims.aud == purpose && is_now).then_some(claims)
}

/// The subject of a valid token.
pub(super) fn subject(app: &App, purpose: Purpose, token: &str) -> Option<String> {
    open(app, purpose, token).map(|claims| claims.sub)
}

/// A cookie that the browser keeps for this time.
pub fn lasting(app: &App, name: &'static str, value: String, life: Duration) -> Cookie<'static> {
    let mut cookie = cookie(app, name, value);
    cookie.set_max_age(actix_web::cookie::time::Duration::seconds(life.as_secs().try_into().unwrap_or(i64::MAX)));
    cookie
}

/// The cookie of a new session.
///
/// # Errors
/// [`Error::Internal`].
pub fn begin(app: &App, id: SessionId) -> Result<Cookie<'static>> {
    let token = issue(app, Purpose::Session, id.to_string(), 0, LONGEST)?;
    Ok(lasting(app, SESSION, token, LONGEST))
}

/// The cookie that ends a session in the browser.
pub fn end(app: &App) -> Cookie<'static> {
    removal(app, SESSION)
}

/// Whether the browser sends the cookie of a session, which may have ended.
pub fn is_sent(req: &HttpRequest, app: &App) -> bool {
    cookie_value(req, app, SESSION).is_some()
}

/// The session that the request's cookie names.
pub fn read(req: &HttpRequest, app: &App) -> Option<SessionId> {
    subject(app, Purpose::Session, &cookie_value(req, app, SESSION)?)?.parse().ok()
}

/// A user whose password was correct, or for whom a provider vouched, and who must enter a two-factor code now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PendingUser {
    pub id: OwnerId,
    /// The epoch of their account at that time.
    pub epoch: i32,
    /// The identity that a provider vouched for, instead of a password.
    pub identity: Option<IdentityId>,
}

/// The cookie of a user who must enter a two-factor code now.
///
/// # Errors
/// [`Error::Internal`].
pub fn pend(app: &App, user: PendingUser) -> Result<Cookie<'static>> {
    let sub = match user.identity {
        Some(identity) => format!("{} {identity}", user.id),
        None => user.id.to_string(),
    };
    Ok(cookie(app, PENDING_NAME, issue(app, Purpose::Pending, sub, user.epoch, PENDING)?))
}

/// Removes that cookie.
pub fn unpend(app: &App) -> Cookie<'static> {
    removal(app, PENDING_NAME)
}

/// The user whose two-factor code is needed.
pub fn pending(req: &HttpRequest, app: &App) -> Option<PendingUser> {
    let claims = open(app, Purpose::Pending, &cookie_value(req, app, PENDING_NAME)?)?;
    let (user, identity) = match claims.sub.split_once(' ') {
        Some((user, identity)) => (user, Some(IdentityId(identity.parse().ok()?))),
        None => (claims.sub.as_str(), None),
    };
    Some(PendingUser { id: OwnerId(user.parse().ok()?), epoch: claims.epoch, identity })
}
