//! The credentials of a request: read here, and checked on the same connection as the request's work.

use super::bearer::{NOT_UNDERSTOOD, feed_token, token};
use super::policy::{AcceptedCredentials, Policy, Right};
use super::{basic, session};
use crate::db::Connection;
use crate::domain::names::OwnerName;
use crate::domain::role::Level;
use crate::error::{Error, Result};
use crate::http::paging::{param, params};
use crate::http::request_log::{client, log_fields};
use crate::registry::caller::{self, Caller, Credential, SignedIn};
use crate::state::App;
use crate::state::download_cache::{Reader, Requester};
use actix_web::http::header;
use actix_web::{HttpMessage, HttpRequest};
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

/// The credentials of a request: the interfaces for programs never accept a cookie, and pages accept nothing else,
/// except for the links to files.
#[derive(Debug, Clone)]
pub struct Credentials {
    credential: Credential,
    address: Option<IpAddr>,
    policy: Policy,
    needs_user: bool,
    sudo: Option<Sudo>,
    /// Whether the query has a token that was not read, because the setting forbids it.
    has_unread_token: bool,
}

impl Credentials {
    /// Reads the credential of a request: `Authorization` with `Bearer`, `token` or `Basic`, or, if the setting allows
    /// it, `?token=` and `?access_token=`; for a feed `?feed_token=`. Passwords and two-factor codes are checked here
    /// already, because that takes long; whether the user may still sign in is checked again together with the work.
    ///
    /// # Errors
    /// [`Error::BadCredential`], [`Error::Unauthenticated`] if the route is not open to the anonymous,
    /// [`Error::RateLimited`], [`Error::Busy`]; [`Error::Internal`] for a route without a policy.
    pub async fn read(req: &HttpRequest, app: &App) -> Result<Self> {
        let policy = req.extensions().get::<Policy>().copied();
        let policy = policy.ok_or_else(|| Error::internal(anyhow::anyhow!("this route has no policy")))?;
        let address = client(req);
        let session = || session::read(req, app).map(Credential::Session);
        let of_browser = match policy.credentials {
            AcceptedCredentials::Session => Some(session().unwrap_or(Credential::Anonymous)),
            // The session comes first: a proxy with a password of its own sends that along.
            AcceptedCredentials::SessionOrAny => session(),
            AcceptedCredentials::Feed => match param(req, "feed_token") {
                Some(text) => Some(feed_token(text)?),
                None => session(),
            },
            _ => None,
        };
        // A browser's session never acts as another user.
        let is_page = of_browser.is_some();
        let (credential, sudo) = match of_browser {
            Some(credential) => (credential, None),
            None => (authorization(req, app).await?, Sudo::read(req)?),
        };
        let needs_user = policy.needs_user() || app.config.require_signin && policy.right != Right::Public;
        let is_absent = matches!(credential, Credential::Anonymous);
        let has_unread_token = is_absent && !is_page && query_token(req).is_some();
        let credentials = Self { credential, address, policy, needs_user, sudo, has_unread_token };
        if needs_user && is_absent {
            return Err(credentials.explained(Error::Unauthenticated));
        }
        Ok(credentials)
    }

    /// Says why a request without a credential is refused although its address has a token.
    fn explained(&self, error: Error) -> Error {
        match error {
            Error::Unauthenticated if self.has_unread_token => UNREAD_TOKEN,
            other => other,
        }
    }

    /// Whether the request has no credential.
    pub fn is_absent(&self) -> bool {
        matches!(self.credential, Credential::Anonymous)
    }

    /// Whose request it is for the cache of downloads; `None` for a session, and for one user acting as another.
    pub(super) fn requester(&self) -> Option<Requester> {
        if self.sudo.is_some() { None } else { Requester::of(&self.credential) }
    }

    /// Records that the request is the reader's, whose credential was checked when an entry was remembered.
    pub(super) fn note_reader(&self, req: &HttpRequest, app: &App, reader: &Reader) {
        if let Some(token) = reader.token {
            app.counters.token_use(token, app.clock.now(), self.address);
        }
        if let Some((_, name)) = &reader.user {
            log_fields(req, |log| log.actor = Some(name.to_string()));
        }
    }

    /// Runs work that only reads, as the caller, and then more work on the same thread without the connection.
    ///
    /// # Errors
    /// As [`caller::identify`], [`Policy::admit`] and [`crate::db::Db::read`].
    pub async fn reading_then<T: Send + 'static, U: Send + 'static>(
        &self,
        req: &HttpRequest,
        app: &Arc<App>,
        work: impl FnMut(&mut Connection, &Caller) -> Result<T> + Send + 'static,
        then: impl FnOnce(T) -> U + Send + 'static,
    ) -> Result<U> {
        let actor = Actor::default();
        let done = app.db.read_then(self.as_caller(app, &actor, work), then).await;
        actor.log(req);
        done.map_err(|error| self.explained(error))
    }

    /// Runs one transaction, as the caller, that usually only adds.
    ///
    /// # Errors
    /// As [`caller::identify`], [`Policy::admit`] and [`crate::db::Db::write`].
    pub async fn adding<T: Send + 'static>(
        &self,
        req: &HttpRequest,
        app: &Arc<App>,
        work: impl FnMut(&mut Connection, &Caller) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let actor = Actor::default();
        let done = app.db.write(self.as_caller(app, &actor, work)).await;
        actor.log(req);
        done.map_err(|error| self.explained(error))
    }

    /// Runs one transaction, as the caller, and then waits for the other servers, as
    /// [`crate::db::Db::write_and_settle`] does.
    ///
    /// # Errors
    /// The same.
    pub async fn writing<T: Send + 'static>(
        &self,
        req: &HttpRequest,
        app: &Arc<App>,
        work: impl FnMut(&mut Connection, &Caller) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let actor = Actor::default();
        let done = app.db.write_and_settle(self.as_caller(app, &actor, work)).await;
        actor.log(req);
        done.map_err(|error| self.explained(error))
    }

    /// The work, after a check of credential and policy on the same connection.
    fn as_caller<T>(
        &self,
        app: &Arc<App>,
        actor: &Actor,
        mut work: impl FnMut(&mut Connection, &Caller) -> Result<T> + Send + 'static,
    ) -> impl FnMut(&mut Connection) -> Result<T> + Send + 'static {
        let (credentials, app, actor) = (self.clone(), Arc::clone(app), actor.clone());
        move |conn| {
            let caller = credentials.identify(conn, &app)?;
            actor.is(&caller);
            // A session may have ended in the meantime.
            if credentials.needs_user {
                caller.signed_in()?;
            }
            credentials.policy.admit(&caller)?;
            work(conn, &caller)
        }
    }

    fn identify(&self, conn: &mut Connection, app: &App) -> Result<Caller> {
        let now = app.clock.now();
        let caller = caller::identify(conn, &self.credential, self.address, now)?;
        if let Some(token) = caller.token() {
            app.counters.token_use(token, now, self.address);
        }
        if let Some(session) = caller.session() {
            app.counters.session_use(session, now);
        }
        match &self.sudo {
            Some(sudo) => caller::act_as(conn, caller, &sudo.name, sudo.level),
            None => Ok(caller),
        }
    }
}

/// The user of the browser's session, for a page that is shown whatever its policy demands.
pub async fn reader(req: &HttpRequest, app: &Arc<App>) -> Option<SignedIn> {
    let credential = Credential::Session(session::read(req, app)?);
    let (address, now) = (client(req), app.clock.now());
    let caller = app.db.read(move |conn| caller::identify(conn, &credential, address, now)).await.ok()?;
    caller.user().cloned()
}

/// The user that an administrator wants to act as: `Sudo: name` or `?sudo=name`, as in Gitea. It is never ignored,
/// because the request would then be the administrator's own.
#[derive(Debug, Clone)]
struct Sudo {
    name: String,
    /// The scope that a token needs for it: reading or writing as the request does.
    level: Level,
}

impl Sudo {
    /// # Errors
    /// [`Error::Invalid`] when the request names two users.
    fn read(req: &HttpRequest) -> Result<Option<Self>> {
        let header = req.headers().get_all("sudo").map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let mut names: Vec<String> =
            header.chain(params(req, "sudo")).map(|name| name.trim().to_ascii_lowercase()).collect();
        names.sort();
        names.dedup();
        let level = if req.method().is_safe() { Level::Read } else { Level::Write };
        match names.pop() {
            None => Ok(None),
            Some(name) if names.is_empty() => Ok(Some(Self { name, level })),
            Some(_) => Err(Error::invalid("sudo", "sudo: name one user, in the header or in the query")),
        }
    }
}

/// The names of the caller, on their way from the database's thread to the log line of the request.
#[derive(Clone, Default)]
struct Actor(Arc<OnceLock<(OwnerName, Option<OwnerName>)>>);

impl Actor {
    fn is(&self, caller: &Caller) {
        if let Some(user) = caller.user() {
            self.0.get_or_init(|| (user.name.clone(), caller.administrator().map(|user| user.name.clone())));
        }
    }

    fn log(&self, req: &HttpRequest) {
        if let Some((user, administrator)) = self.0.get() {
            log_fields(req, |log| {
                log.actor = Some(user.to_string());
                log.administrator = administrator.as_ref().map(OwnerName::to_string);
            });
        }
    }
}

/// The credential in the headers, or else in the query, if that is allowed.
async fn authorization(req: &HttpRequest, app: &App) -> Result<Credential> {
    let mut fields = req.headers().get_all(header::AUTHORIZATION);
    match (fields.next(), fields.next()) {
        (None, _) => match query_token(req) {
            Some(text) if app.config.auth.query_tokens => token(text),
            _ => Ok(Credential::Anonymous),
        },
        (Some(_), Some(_)) => Err(NOT_UNDERSTOOD),
        (Some(value), None) => {
            let value = value.to_str().map_err(|_| NOT_UNDERSTOOD)?;
            if let Some(credential) = bearer_credential(value) {
                return credential;
            }
            match value.split_once(' ') {
                Some((scheme, rest)) if scheme.eq_ignore_ascii_case("basic") => {
                    basic::credential(req, app, rest.trim()).await
                }
                _ => Err(NOT_UNDERSTOOD),
            }
        }
    }
}

/// The access token in an `Authorization` header, which takes no time to check; `None` for another kind of credential.
///
/// # Errors
/// [`Error::BadCredential`] for a text that can't be a token.
pub fn bearer_credential(value: &str) -> Option<Result<Credential>> {
    let (scheme, rest) = value.split_once(' ')?;
    let is_token = scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("token");
    is_token.then(|| token(rest.trim()))
}

/// The error for a token in the query where the setting forbids it.
const UNREAD_TOKEN: Error = Error::BadCredential(
    "this server does not read access tokens in addresses (?token=), because addresses are logged: send the token in \
     the Authorization field, or ask an administrator to set auth.query_tokens",
);

/// A token in the query.
fn query_token(req: &HttpRequest) -> Option<&str> {
    param(req, "token").or_else(|| param(req, "access_token"))
}
