//! The routes of the generic package protocol.

use super::table::{Interface, Routes, Serve, Service, read, write};
use crate::auth::policy::AcceptedCredentials::{self, Any};
use crate::auth::policy::Right::{Reader, Writer};
use crate::domain::role::Area::Package;
use crate::error::Result;
use crate::generic::{describe, files, listings, render_error, upload, versions};
use crate::registry::audit::Event;
use crate::state::App;
use actix_web::{FromRequest, Handler, HttpRequest, HttpResponse, web};
use std::sync::Arc;

/// The generic protocol: errors are one line of text.
pub(super) struct Generic;

impl Interface for Generic {
    const CREDENTIALS: AcceptedCredentials = Any;
}

impl<F, I> Serve<Generic, I> for F
where
    F: Handler<I, Output = Result<HttpResponse>>,
    I: FromRequest + 'static,
{
    fn service(self) -> Service {
        let answer = move |req: HttpRequest, app: web::Data<Arc<App>>, inputs: I| {
            let done = self.call(inputs);
            async move { done.await.unwrap_or_else(|error| render_error(&req, &app, &error)) }
        };
        Service::new(answer, None)
    }
}

/// The route of downloads.
pub const DOWNLOAD: &str = "/api/packages/{owner}/generic/{name}/{version}/{file}";

#[rustfmt::skip]
pub(super) fn routes() -> Routes<Generic> {
    Routes::new()
        // The generic package protocol.
        .get(DOWNLOAD, files::download).right(Reader)
            .takes_rest().scope(read(Package)).cross_origin().id("genericFilesDownload").about("Download a file")
            .described_by(describe::download)
        .put(DOWNLOAD, upload::upload).right(Writer)
            .takes_rest().scope(write(Package)).event(Event::FilePublish).id("genericUpload").about("Publish a file")
            .described_by(describe::upload)
        .delete(DOWNLOAD, files::delete).right(Writer)
            .takes_rest().scope(write(Package)).event(Event::FileDelete).id("genericFilesDelete").about("Delete a file")
            .described_by(describe::delete)
        .get("/api/packages/{owner}/generic/{name}/{version}", listings::files).right(Reader).scope(read(Package))
            .id("genericListingsFiles").about("List the files of a version").described_by(describe::files)
        .delete("/api/packages/{owner}/generic/{name}/{version}", versions::delete).right(Writer)
            .scope(write(Package)).event(Event::VersionDelete).id("genericVersionsDelete").about("Delete a version")
            .described_by(describe::delete)
        .get("/api/packages/{owner}/generic/{name}", listings::versions).right(Reader).scope(read(Package))
            .id("genericListingsVersions").about("List the versions of a package").described_by(describe::versions)
        .get("/api/packages/{owner}/generic", listings::packages).right(Reader).scope(read(Package))
            .id("genericListingsPackages").about("List the packages of an owner").described_by(describe::packages)
}
