//! Who sends a request: what it presents is read here and judged in the same hop as its work.

mod basic;
pub mod call;
pub mod password;
pub mod policy;
pub mod session;

use crate::db::Connection;
use crate::domain::names::OwnerName;
use crate::domain::secret::TokenSecret;
use crate::error::{Error, Result};
use crate::http::paging::param;
use crate::http::request_log::{client, log_fields};
use crate::registry::caller::{self, BAD_TOKEN, Caller, Credential};
use crate::state::App;
use actix_web::http::header;
use actix_web::{HttpMessage, HttpRequest};
use policy::{Credentials, Policy, Right};
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

/// What a request presents: on the faces for programs never a cookie, in pages nothing else.
#[derive(Debug, Clone)]
pub struct Presented {
    credential: Credential,
    address: Option<IpAddr>,
    policy: Policy,
    needs_user: bool,
}

const NOT_UNDERSTOOD: Error = Error::BadCredential(
    "the Authorization field is not understood: send Bearer or token with an access token, or Basic",
);

impl Presented {
    /// Reads the credential of a request: `Authorization` with `Bearer`, `token` or `Basic`, or, where the setting
    /// allows it, `?token=` and `?access_token=`. A password (and a second factor's code) is checked here already,
    /// because that takes long; whether its user may still come in is asked again with the work.
    ///
    /// # Errors
    /// [`Error::BadCredential`], [`Error::Unauthenticated`] where nobody may be anonymous, [`Error::RateLimited`],
    /// [`Error::Busy`]; [`Error::Internal`] for a route without a policy.
    pub async fn read(req: &HttpRequest, app: &App) -> Result<Self> {
        let policy = req.extensions().get::<Policy>().copied();
        let policy = policy.ok_or_else(|| Error::internal(anyhow::anyhow!("this route has no policy")))?;
        let address = client(req);
        let credential = match policy.credentials {
            Credentials::Session => session::read(req, app).map_or(Credential::Anonymous, Credential::Session),
            _ => authorization(req, app, address).await?,
        };
        let needs_user = policy.needs_user() || app.config.require_signin && policy.right != Right::Door;
        if needs_user && matches!(credential, Credential::Anonymous) {
            return Err(Error::Unauthenticated);
        }
        Ok(Self { credential, address, policy, needs_user })
    }

    /// Whether a request presents nothing.
    pub fn is_absent(req: &HttpRequest, app: &App) -> bool {
        let policy = req.extensions().get::<Policy>().copied();
        if policy.is_some_and(|policy| policy.credentials == Credentials::Session) {
            return session::read(req, app).is_none();
        }
        !req.headers().contains_key(header::AUTHORIZATION) && query_token(req, app).is_none()
    }

    /// Runs work that only reads, as the caller this is.
    ///
    /// # Errors
    /// As [`caller::identify`], [`Policy::admit`] and [`crate::db::Db::read`].
    pub async fn reading<T: Send + 'static>(
        &self,
        req: &HttpRequest,
        app: &Arc<App>,
        work: impl FnMut(&mut Connection, &Caller) -> Result<T> + Send + 'static,
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
        work: impl FnMut(&mut Connection, &Caller) -> Result<T> + Send + 'static,
        then: impl FnOnce(T) -> U + Send + 'static,
    ) -> Result<U> {
        let actor = Actor::default();
        let done = app.db.read_then(self.as_caller(app, &actor, work), then).await;
        actor.log(req);
        done
    }

    /// Runs one transaction, as the caller this is.
    ///
    /// # Errors
    /// As [`caller::identify`], [`Policy::admit`] and [`crate::db::Db::write`].
    pub async fn writing<T: Send + 'static>(
        &self,
        req: &HttpRequest,
        app: &Arc<App>,
        work: impl FnMut(&mut Connection, &Caller) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let actor = Actor::default();
        let done = app.db.write(self.as_caller(app, &actor, work)).await;
        actor.log(req);
        done
    }

    /// The work, with credential and policy judged before it on the same connection.
    fn as_caller<T>(
        &self,
        app: &Arc<App>,
        actor: &Actor,
        mut work: impl FnMut(&mut Connection, &Caller) -> Result<T> + Send + 'static,
    ) -> impl FnMut(&mut Connection) -> Result<T> + Send + 'static {
        let (presented, app, actor) = (self.clone(), Arc::clone(app), actor.clone());
        move |conn| {
            let caller = presented.identify(conn, &app)?;
            actor.is(&caller);
            // A session may have ended since.
            if presented.needs_user {
                caller.signed_in()?;
            }
            presented.policy.admit(&caller)?;
            work(conn, &caller)
        }
    }

    fn identify(&self, conn: &mut Connection, app: &App) -> Result<Caller> {
        let now = app.clock.now();
        let caller = caller::identify(conn, &self.credential, self.address, now)?;
        if let Some(token) = caller.token() {
            app.tally.token_use(token, now, self.address);
        }
        if let Some(session) = caller.session() {
            app.tally.session_use(session, now);
        }
        Ok(caller)
    }
}

/// The name of the caller, on its way from the database's thread to the log line of the request.
#[derive(Clone, Default)]
struct Actor(Arc<OnceLock<OwnerName>>);

impl Actor {
    fn is(&self, caller: &Caller) {
        if let Some(user) = caller.user() {
            self.0.get_or_init(|| user.name.clone());
        }
    }

    fn log(&self, req: &HttpRequest) {
        if let Some(name) = self.0.get() {
            log_fields(req, |log| log.actor = Some(name.to_string()));
        }
    }
}

/// What the head of a request says, else, where that is allowed, its query.
async fn authorization(req: &HttpRequest, app: &App, address: Option<IpAddr>) -> Result<Credential> {
    let mut fields = req.headers().get_all(header::AUTHORIZATION);
    match (fields.next(), fields.next()) {
        (None, _) => query_token(req, app).map_or(Ok(Credential::Anonymous), |text| token(&text)),
        (Some(_), Some(_)) => Err(NOT_UNDERSTOOD),
        (Some(value), None) => {
            let value = value.to_str().map_err(|_| NOT_UNDERSTOOD)?;
            let (scheme, rest) = value.split_once(' ').ok_or(NOT_UNDERSTOOD)?;
            match scheme.to_ascii_lowercase().as_str() {
                "bearer" | "token" => token(rest.trim()),
                "basic" => basic::credential(req, app, rest.trim(), address).await,
                _ => Err(NOT_UNDERSTOOD),
            }
        }
    }
}

fn token(text: &str) -> Result<Credential> {
    let secret: TokenSecret = text.parse().map_err(|_| BAD_TOKEN)?;
    Ok(Credential::Token(secret.hash()))
}

/// A token in the query: where the setting allows it, and where no header says who it is.
fn query_token(req: &HttpRequest, app: &App) -> Option<String> {
    if !app.config.auth.query_tokens {
        return None;
    }
    param(req, "token").or_else(|| param(req, "access_token")).map(str::to_owned)
}
