//! A request of a face: who sends it, and what its path names.

use super::Presented;
use crate::db::Connection;
use crate::domain::names::OwnerName;
use crate::error::{Error, Result, What};
use crate::http::params::segment;
use crate::http::request_log::log_fields;
use crate::registry::access::visit;
use crate::registry::caller::Caller;
use crate::state::App;
use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};
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
        segment(&self.req, index, "path").map_err(|_| {
            self.req.extensions_mut().insert(Impossible { index, what });
            self.absent(what)
        })
    }

    /// The answer to a path that names nothing.
    pub fn absent(&self, what: What) -> Error {
        if Presented::is_absent(&self.req, &self.app) { Error::Unauthenticated } else { Error::NotFound(what) }
    }

    /// Says in the log whose packages it is about.
    pub fn about(&self, owner: &impl Display) {
        log_fields(&self.req, |log| log.owner = Some(owner.to_string()));
    }
}

/// A part of a path that cannot be: which segment, and what it would have named.
#[derive(Clone, Copy)]
struct Impossible {
    index: usize,
    what: What,
}

/// What went wrong, judged once more where a part of the path cannot be: by the credential first, then by the owner,
/// and only then is it not there. So the answer is that to a name which could be and is not taken.
pub async fn judged(req: &HttpRequest, app: &Arc<App>, error: Error) -> Error {
    let impossible = req.extensions().get::<Impossible>().copied();
    let Some(Impossible { index, what }) = impossible else { return error };
    let owner = owner_before(req, index);
    let seen = async {
        let presented = Presented::read(req, app).await?;
        let look = move |conn: &mut Connection, caller: &Caller| match &owner {
            Some(owner) => visit(conn, caller, owner).map(drop),
            None => caller.signed_in().map(drop),
        };
        presented.reading(req, app, look).await
    };
    seen.await.err().unwrap_or(Error::NotFound(what))
}

/// The owner that a path names before this segment.
fn owner_before(req: &HttpRequest, index: usize) -> Option<OwnerName> {
    let pattern = req.match_pattern()?;
    let segments = pattern.trim_start_matches('/').split('/').take(index);
    let owner = segments.into_iter().position(|name| matches!(name, "{owner}" | "{org}" | "{user}"))?;
    segment(req, owner, "path").ok()
}
