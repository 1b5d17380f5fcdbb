//! Who sends a request: what it presents is read here and judged in the same hop as its work.

mod basic;

use crate::domain::secret::TokenSecret;
use crate::error::{Error, Result};
use crate::http::middleware::{client, tell};
use crate::registry::access::{self, BAD_LOGIN, Caller, Credential};
use crate::state::App;
use actix_web::HttpRequest;
use actix_web::http::header;
use diesel::pg::PgConnection;
use std::net::IpAddr;
use std::sync::Arc;

/// What a request presents, on the faces for programs: never a cookie.
#[derive(Debug, Clone)]
pub struct Presented {
    credential: Credential,
    address: Option<IpAddr>,
}

const NOT_UNDERSTOOD: Error = Error::BadCredential(
    "the Authorization field is not understood: send Bearer or token with an access token, or Basic",
);
const NO_TOKEN: Error = Error::BadCredential("the access token is not valid: it is unknown, expired or revoked");

impl Presented {
    /// Reads the credential of a request: `Authorization` with `Bearer`, `token` or `Basic`, or, where the setting
    /// allows it, `?token=` and `?access_token=`. A password (and a second factor's code) is checked here already,
    /// because that takes long; whether its user may still come in is asked again with the work.
    ///
    /// # Errors
    /// [`Error::BadCredential`], [`Error::Unauthenticated`] where nobody may be anonymous, [`Error::RateLimited`],
    /// [`Error::Busy`].
    pub async fn read(req: &HttpRequest, app: &App) -> Result<Self> {
        let address = client(req);
        let mut fields = req.headers().get_all(header::AUTHORIZATION);
        let credential = match (fields.next(), fields.next()) {
            (None, _) => match query_token(req, app) {
                Some(text) => token(&text)?,
                None => Credential::Anonymous,
            },
            (Some(_), Some(_)) => return Err(NOT_UNDERSTOOD),
            (Some(value), None) => {
                let value = value.to_str().map_err(|_| NOT_UNDERSTOOD)?;
                let (scheme, rest) = value.split_once(' ').ok_or(NOT_UNDERSTOOD)?;
                match scheme.to_ascii_lowercase().as_str() {
                    "bearer" | "token" => token(rest.trim())?,
                    "basic" => basic::credential(req, app, rest.trim(), address).await?,
                    _ => return Err(NOT_UNDERSTOOD),
                }
            }
        };
        if app.config.require_signin && matches!(credential, Credential::Anonymous) {
            return Err(Error::Unauthenticated);
        }
        Ok(Self { credential, address })
    }

    /// Runs work that only reads, as the caller this is.
    ///
    /// # Errors
    /// As [`access::identify`] and [`crate::db::Db::read`].
    pub async fn reading<T: Send + 'static>(
        &self,
        req: &HttpRequest,
        app: &Arc<App>,
        work: impl FnMut(&mut PgConnection, &Caller) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.reading_then(req, app, work, |found| found).await
    }

    /// [`Presented::reading`], and then something on the same thread without the connection.
    ///
    /// # Errors
    /// As [`Presented::reading`].
    pub async fn reading_then<T: Send + 'static, U: Send + 'static>(
        &self,
        req: &HttpRequest,
        app: &Arc<App>,
        mut work: impl FnMut(&mut PgConnection, &Caller) -> Result<T> + Send + 'static,
        then: impl FnOnce(T) -> U + Send + 'static,
    ) -> Result<U> {
        let (presented, noted) = (self.clone(), Arc::clone(app));
        let (name, found) = app
            .db
            .read_then(
                move |conn| {
                    let caller = presented.identify(conn, &noted)?;
                    let name = caller.user().map(|user| user.name.clone());
                    Ok((name, work(conn, &caller)))
                },
                move |(name, found)| (name, found.map(then)),
            )
            .await?;
        tell(req, |story| story.actor = name.map(String::from));
        found
    }

    /// Runs one transaction, as the caller this is.
    ///
    /// # Errors
    /// As [`access::identify`] and [`crate::db::Db::write`].
    pub async fn writing<T: Send + 'static>(
        &self,
        req: &HttpRequest,
        app: &Arc<App>,
        mut work: impl FnMut(&mut PgConnection, &Caller) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (presented, noted) = (self.clone(), Arc::clone(app));
        let (name, done) = app
            .db
            .write(move |conn| {
                let caller = presented.identify(conn, &noted)?;
                let name = caller.user().map(|user| user.name.clone());
                work(conn, &caller).map(|done| (name, done))
            })
            .await?;
        tell(req, |story| story.actor = name.map(String::from));
        Ok(done)
    }

    fn identify(&self, conn: &mut PgConnection, app: &App) -> Result<Caller> {
        let now = app.clock.now();
        let caller = access::identify(conn, &self.credential, self.address, now)?;
        if let Some(token) = caller.token() {
            app.tally.token_use(token, now, self.address);
        }
        Ok(caller)
    }
}

fn token(text: &str) -> Result<Credential> {
    let secret: TokenSecret = text.parse().map_err(|_| NO_TOKEN)?;
    Ok(Credential::Token(secret.hash()))
}

/// A token in the query: where the setting allows it, and where no header says who it is.
fn query_token(req: &HttpRequest, app: &App) -> Option<String> {
    if !app.config.auth.query_tokens {
        return None;
    }
    let pairs = req.query_string().split('&').filter_map(|pair| pair.split_once('='));
    pairs.into_iter().find(|(name, _)| matches!(*name, "token" | "access_token")).map(|(_, value)| value.to_owned())
}

/// What a wrong user name, a wrong password and an account without access are told.
const fn bad_login() -> Error {
    BAD_LOGIN
}
