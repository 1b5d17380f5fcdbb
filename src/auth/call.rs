//! A request to any interface: its caller and the names in its path.

use super::credentials::Credentials;
use crate::db::Connection;
use crate::domain::names::OwnerName;
use crate::domain::path::{FilePath, PackagePath, VersionPath};
use crate::error::{Error, Result, What};
use crate::http::request_log::{log_fields, path_as_sent};
use crate::http::segment::{Segment, segment_of_route};
use crate::registry::access::visit_packages;
use crate::registry::caller::Caller;
use crate::state::App;
use crate::state::download_cache::CachedDownload;
use actix_web::dev::Payload;
use actix_web::http::Method;
use actix_web::{FromRequest, HttpRequest, web};
use std::fmt::Display;
use std::future::{Ready, ready};
use std::str::FromStr;
use std::sync::Arc;
use tokio::sync::OnceCell;

/// A request: its caller and the names in its path.
pub struct Call {
    pub req: HttpRequest,
    pub app: Arc<App>,
    credentials: OnceCell<Credentials>,
}

impl FromRequest for Call {
    type Error = actix_web::Error;
    type Future = Ready<Result<Self, actix_web::Error>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        let app = req.app_data::<web::Data<Arc<App>>>().map(|app| Arc::clone(app.get_ref()));
        let app = app.ok_or_else(|| actix_web::error::ErrorInternalServerError("the server's state is not set up"));
        ready(app.map(|app| Self { req: req.clone(), app, credentials: OnceCell::new() }))
    }
}

impl Call {
    /// The request's credentials, read once.
    async fn credentials(&self) -> Result<&Credentials> {
        self.credentials.get_or_try_init(|| Credentials::read(&self.req, &self.app)).await
    }

    /// Checks that the request has a valid credential, before anything else is checked.
    ///
    /// # Errors
    /// [`Error::BadCredential`], [`Error::Unauthenticated`], [`Error::RateLimited`], [`Error::Busy`].
    pub async fn demand_credentials(&self) -> Result<()> {
        self.credentials().await.map(drop)
    }

    /// Checks before a body is read whether the caller may use the address at all.
    ///
    /// # Errors
    /// The errors of a caller without the right, and `demand`'s own errors.
    pub async fn admit(
        &self,
        demand: impl FnMut(&mut Connection, &Caller) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        self.reading(demand).await
    }

    /// Runs work that only reads, as the caller.
    ///
    /// # Errors
    /// The caller's lack of a credential or a right, and `work`'s own; [`Error::Busy`].
    pub async fn reading<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut Connection, &Caller) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.reading_then(work, |found| found).await
    }

    /// Runs [`Call::reading`], and then more work on the same thread without the connection.
    ///
    /// # Errors
    /// The caller's lack of a credential or a right, and `work`'s own; [`Error::Busy`].
    pub async fn reading_then<T: Send + 'static, U: Send + 'static>(
        &self,
        work: impl FnMut(&mut Connection, &Caller) -> Result<T> + Send + 'static,
        then: impl FnOnce(T) -> U + Send + 'static,
    ) -> Result<U> {
        self.credentials().await?.reading_then(&self.req, &self.app, work, then).await
    }

    /// The download of this address, if it was resolved before for the same credential and still holds.
    ///
    /// # Errors
    /// As [`Call::demand_credentials`].
    pub async fn recall(&self) -> Result<Option<Arc<CachedDownload>>> {
        let credentials = self.credentials().await?;
        let app = &self.app;
        let Some(requester) = credentials.requester().filter(|_| app.downloads.is_on()) else { return Ok(None) };
        let path = path_as_sent(&self.req);
        let found = app.downloads.get(app.db.coherence(), requester, &path, app.clock.now());
        app.downloads.count(found.is_some());
        if let Some(found) = &found {
            credentials.note_reader(&self.req, app, &found.reader);
        }
        Ok(found)
    }

    /// Remembers a download of this address for the credential of the request.
    ///
    /// # Errors
    /// As [`Call::demand_credentials`].
    pub async fn remember(&self, download: CachedDownload) -> Result<()> {
        if let Some(requester) = self.credentials().await?.requester() {
            self.app.downloads.insert(requester, &path_as_sent(&self.req), download);
        }
        Ok(())
    }

    /// Forgets the download of this address for the credential of the request.
    ///
    /// # Errors
    /// As [`Call::demand_credentials`].
    pub async fn forget(&self) -> Result<()> {
        if let Some(requester) = self.credentials().await?.requester() {
            self.app.downloads.remove(requester, &path_as_sent(&self.req));
        }
        Ok(())
    }

    /// Runs one transaction, as the caller, that usually only adds: it waits for other servers only if it took something
    /// away.
    ///
    /// # Errors
    /// The same, and [`Error::OutcomeUnknown`].
    pub async fn adding<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut Connection, &Caller) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.credentials().await?.adding(&self.req, &self.app, work).await
    }

    /// Runs one transaction, as the caller.
    ///
    /// # Errors
    /// The same, and [`Error::OutcomeUnknown`].
    pub async fn writing<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut Connection, &Caller) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.credentials().await?.writing(&self.req, &self.app, work).await
    }

    /// A segment of the path by its name in the route. A text that breaks the rules of such names is answered like a
    /// valid name that does not exist: errors about the credential come first, then errors about the owner, and only
    /// then not found.
    ///
    /// # Errors
    /// [`Error::NotFound`]; the errors of a caller without a credential or a right.
    pub async fn part<T: FromStr<Err: Display>>(&self, name: &str, what: What) -> Result<T> {
        let segment = segment_of_route(&self.req, name)?;
        match segment.parse("path") {
            Ok(part) => Ok(part),
            Err(_) => Err(self.why_absent(&segment, what).await),
        }
    }

    /// A segment of the path by its name in the route; `None` if the text breaks the rules of such names.
    pub fn possible_part<T: FromStr<Err: Display>>(&self, name: &str) -> Option<T> {
        segment_of_route(&self.req, name).and_then(|segment| segment.parse("path")).ok()
    }

    /// Whether the route has a segment of this name.
    pub fn has_part(&self, name: &str) -> bool {
        segment_of_route(&self.req, name).is_ok()
    }

    async fn why_absent(&self, segment: &Segment<'_>, what: What) -> Error {
        let owner = segment.owner_before(&self.req);
        let look = move |conn: &mut Connection, caller: &Caller| match &owner {
            Some(owner) => visit_packages(conn, caller, owner).map(drop),
            None => caller.signed_in().map(drop),
        };
        self.reading(look).await.err().unwrap_or(Error::NotFound(what))
    }

    /// The owner of `…/{owner}/…`.
    ///
    /// # Errors
    /// As [`Call::file_path`].
    pub async fn owner_path(&self) -> Result<OwnerName> {
        self.named(self.owner()).await
    }

    /// The owner and package of `…/{owner}/…/{name}`.
    ///
    /// # Errors
    /// As [`Call::file_path`].
    pub async fn package_path(&self) -> Result<PackagePath> {
        let names = || Ok(PackagePath { package: self.name("name", "package name")?, owner: self.owner()? });
        self.named(names()).await
    }

    /// The owner, package and version of `…/{owner}/…/{name}/{version}`.
    ///
    /// # Errors
    /// As [`Call::file_path`].
    pub async fn version_path(&self) -> Result<VersionPath> {
        let names = || {
            let (package, version) = (self.name("name", "package name")?, self.name("version", "package version")?);
            Ok(VersionPath { package, version, owner: self.owner()? })
        };
        self.named(names()).await
    }

    /// The owner, package, version and file of `…/{owner}/…/{name}/{version}/{file}`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a PUT with an invalid name. Every other method answers [`Error::NotFound`], or the same
    /// error as for an unknown owner.
    pub async fn file_path(&self) -> Result<FilePath> {
        let (version, file) = self.version_path_and("file", "filename").await?;
        Ok(version.with_file(file))
    }

    /// The version of `…/{owner}/…/{name}/{version}/{last}`, and the last segment; `field` is its name in an error.
    ///
    /// # Errors
    /// As [`Call::file_path`].
    pub async fn version_path_and<T: FromStr<Err: Display>>(
        &self,
        last: &str,
        field: &'static str,
    ) -> Result<(VersionPath, T)> {
        let names = || {
            let (package, version) = (self.name("name", "package name")?, self.name("version", "package version")?);
            let last = self.name(last, field)?;
            Ok((VersionPath { package, version, owner: self.owner()? }, last))
        };
        self.named(names()).await
    }

    fn owner(&self) -> Result<OwnerName> {
        self.name("owner", "owner")
    }

    fn name<T: FromStr<Err: Display>>(&self, segment: &str, field: &'static str) -> Result<T> {
        segment_of_route(&self.req, segment)?.parse(field)
    }

    async fn named<T>(&self, names: Result<T>) -> Result<T> {
        let error = match names {
            Err(error) if *self.req.method() != Method::PUT => error,
            names => return names,
        };
        Err(match error {
            Error::Invalid { field: "owner", .. } => match self.credentials().await {
                Ok(credentials) if credentials.is_absent() => Error::Unauthenticated,
                Ok(_) => Error::NotFound(What::Owner),
                Err(error) => error,
            },
            Error::Invalid { .. } => Error::NotFound(What::File),
            other => other,
        })
    }

    /// Records in the request's log line which owner the request is about.
    pub fn about(&self, owner: &impl Display) {
        log_fields(&self.req, |log| log.owner = Some(owner.to_string()));
    }
}
