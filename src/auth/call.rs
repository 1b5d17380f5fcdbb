//! A request of a face: who sends it, and what its path names.

use super::Presented;
use crate::db::Connection;
use crate::error::{Error, Result, What};
use crate::http::middleware::tell;
use crate::http::params::segment;
use crate::registry::caller::Caller;
use crate::state::App;
use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};
use std::fmt::Display;
use std::future::{Ready, ready};
use std::str::FromStr;
use std::sync::Arc;
use tokio::sync::OnceCell;

/// A request: who sends it, and what its path names.
pub struct Call {
    pub req: HttpRequest,
    pub app: Arc<App>,
    presented: OnceCell<Presented>,
}

impl FromRequest for Call {
    type Error = actix_web::Error;
    type Future = Ready<Result<Self, actix_web::Error>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        let app = req.app_data::<web::Data<Arc<App>>>().map(|app| Arc::clone(app.get_ref()));
        let app = app.ok_or_else(|| actix_web::error::ErrorInternalServerError("the server's state is not set up"));
        ready(app.map(|app| Self { req: req.clone(), app, presented: OnceCell::new() }))
    }
}

impl Call {
    /// The credential, read once.
    ///
    /// # Errors
    /// As [`Presented::read`].
    pub async fn presented(&self) -> Result<&Presented> {
        self.presented.get_or_try_init(|| Presented::read(&self.req, &self.app)).await
    }

    /// Judges the credential before anything else is read: whether its user may do at all what the address is for.
    ///
    /// # Errors
    /// The caller's lack of a right, and `demand`'s own.
    pub async fn admit(
        &self,
        demand: impl FnMut(&mut Connection, &Caller) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        self.reading(demand).await
    }

    /// Runs work that only reads, as the caller.
    ///
    /// # Errors
    /// As [`Presented::reading`].
    pub async fn reading<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut Connection, &Caller) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.presented().await?.reading(&self.req, &self.app, work).await
    }

    /// Runs one transaction, as the caller.
    ///
    /// # Errors
    /// As [`Presented::writing`].
    pub async fn writing<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut Connection, &Caller) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.presented().await?.writing(&self.req, &self.app, work).await
    }

    /// A segment of the path by its name in the route. One that cannot be is one that is not there; the anonymous are
    /// asked to sign in, as for anything they cannot see.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Unauthenticated`].
    pub fn part<T: FromStr<Err: Display>>(&self, name: &str, what: What) -> Result<T> {
        let pattern = self.req.match_pattern().unwrap_or_default();
        let mut segments = pattern.trim_start_matches('/').split('/');
        let named = |segment: &str| segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) == Some(name);
        let index = segments.position(named);
        let index = index.ok_or_else(|| Error::internal(anyhow::anyhow!("no {name} in {pattern}")))?;
        segment(&self.req, index, "path").map_err(|_| self.absent(what))
    }

    /// The answer to a path that names nothing.
    pub fn absent(&self, what: What) -> Error {
        if Presented::is_absent(&self.req, &self.app) { Error::Unauthenticated } else { Error::NotFound(what) }
    }

    /// Says in the log whose packages it is about.
    pub fn about(&self, owner: &impl Display) {
        tell(&self.req, |story| story.owner = Some(owner.to_string()));
    }
}
