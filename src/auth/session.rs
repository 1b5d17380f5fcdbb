//! The cookies of browsers: JSON Web Tokens (RFC 7519) under the instance's key, each good for one purpose. The cookie of a
//! session names its row and proves nothing without it.

use crate::domain::clock::Timestamp;
use crate::domain::ids::{OwnerId, SessionId};
use crate::error::{Error, Result};
use crate::registry::accounts::sessions::LONGEST;
use crate::state::App;
use actix_web::HttpRequest;
use actix_web::cookie::{Cookie, SameSite};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long a password that was right waits for its second factor.
const PENDING: Duration = Duration::from_secs(300);
const ISSUER: &str = "packhouse";

/// What a token is for; none passes for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Purpose {
    /// A session.
    Session,
    /// A password was right, and the second factor is still to be shown.
    Pending,
}

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: Purpose,
    /// The session's id, or the user's.
    sub: String,
    /// The account's epoch, where it counts.
    epoch: i32,
    iat: i64,
    exp: i64,
}

/// Whether the site is reached by https, so that its cookies may go no other way.
pub fn is_secure(app: &App) -> bool {
    app.config.public_root().is_some_and(|root| root.starts_with("https://"))
}

/// A cookie's name: with the prefix that keeps other hosts and paths from setting it (RFC 6265bis), where https allows.
pub fn cookie_name(app: &App, name: &str) -> String {
    if is_secure(app) { format!("__Host-{name}") } else { name.to_owned() }
}

/// A cookie as all of this site are: for it alone, out of reach of scripts.
pub fn cookie(app: &App, name: &str, value: String) -> Cookie<'static> {
    Cookie::build(cookie_name(app, name), value)
        .path("/")
        .http_only(true)
        .secure(is_secure(app))
        .same_site(SameSite::Lax)
        .finish()
}

/// Takes a cookie back.
pub fn removal(app: &App, name: &str) -> Cookie<'static> {
    let mut cookie = cookie(app, name, String::new());
    cookie.make_removal();
    cookie
}

const SESSION: &str = "packhouse";
const PENDING_NAME: &str = "packhouse-pending";

fn key(app: &App) -> [u8; 32] {
    app.key.derive("tokens in cookies")
}

fn issue(app: &App, purpose: Purpose, sub: String, epoch: i32, life: Duration) -> Result<String> {
    let now = app.clock.now();
    let claims =
        Claims { iss: ISSUER.to_owned(), aud: purpose, sub, epoch, iat: now.unix(), exp: now.plus(life).unix() };
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(&key(app)))
        .map_err(Error::internal)
}

/// The claims of a token that this instance issued for this purpose and whose time is not over.
fn open(app: &App, purpose: Purpose, token: &str) -> Option<Claims> {
    let mut rules = Validation::new(Algorithm::HS256);
    // The time is the server's own, below.
    rules.validate_exp = false;
    rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    rules.set_issuer(&[ISSUER]);
    rules.validate_aud = false;
    let claims = jsonwebtoken::decode::<Claims>(token, &DecodingKey::from_secret(&key(app)), &rules).ok()?.claims;
    (claims.aud == purpose && Timestamp::from_unix(claims.exp) > app.clock.now()).then_some(claims)
}

/// The cookie of a session that has begun.
///
/// # Errors
/// [`Error::Internal`].
pub fn begin(app: &App, id: SessionId) -> Result<Cookie<'static>> {
    let token = issue(app, Purpose::Session, id.to_string(), 0, LONGEST)?;
    let mut cookie = cookie(app, SESSION, token);
    cookie.set_max_age(actix_web::cookie::time::Duration::seconds(LONGEST.as_secs().try_into().unwrap_or(i64::MAX)));
    Ok(cookie)
}

/// The cookie that ends a session in the browser.
pub fn end(app: &App) -> Cookie<'static> {
    removal(app, SESSION)
}

/// The session a request says it belongs to.
pub fn read(req: &HttpRequest, app: &App) -> Option<SessionId> {
    let cookie = req.cookie(&cookie_name(app, SESSION))?;
    open(app, Purpose::Session, cookie.value())?.sub.parse().ok()
}

/// The cookie of somebody whose password was right, and whose second factor is wanted now.
///
/// # Errors
/// [`Error::Internal`].
pub fn pend(app: &App, user: OwnerId, epoch: i32) -> Result<Cookie<'static>> {
    Ok(cookie(app, PENDING_NAME, issue(app, Purpose::Pending, user.to_string(), epoch, PENDING)?))
}

/// Ends that state.
pub fn unpend(app: &App) -> Cookie<'static> {
    removal(app, PENDING_NAME)
}

/// Whose second factor is wanted, and at which epoch of his account his password was right.
pub fn pending(req: &HttpRequest, app: &App) -> Option<(OwnerId, i32)> {
    let cookie = req.cookie(&cookie_name(app, PENDING_NAME))?;
    let claims = open(app, Purpose::Pending, cookie.value())?;
    Some((OwnerId(claims.sub.parse().ok()?), claims.epoch))
}
