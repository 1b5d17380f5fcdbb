//! The routes for operators, and of the OpenAPI document.

use super::table::{Interface, Routes, Serve};
use crate::api::{openapi, swagger};
use crate::auth::policy::AcceptedCredentials::{self, Ignored, Own};
use crate::auth::policy::Right::Everybody;
use crate::ops;
use actix_web::{FromRequest, Handler, Responder};

/// Handlers that build their own responses.
pub(super) struct Ops;

impl Interface for Ops {
    const CREDENTIALS: AcceptedCredentials = Ignored;
}

impl<F, I> Serve<Ops, I> for F
where
    F: Handler<I, Output: Responder>,
    I: FromRequest + 'static,
{
    fn service(self) -> super::table::Service {
        super::table::Service::new(self, None)
    }
}

#[rustfmt::skip]
pub(super) fn routes() -> Routes<Ops> {
    Routes::new()
        // Liveness, readiness, health and metrics: proxies keep them internal.
        .get("/livez", ops::livez).right(Everybody).exact().id("opsLivez").about("Check whether the process is up")
            .described_by(ops::describe_lines)
        .get("/readyz", ops::readyz).right(Everybody).exact().id("opsReadyz").about("Check whether the server is ready")
            .described_by(ops::describe_ready)
        .get("/api/healthz", ops::healthz).right(Everybody).exact().id("opsHealthz")
            .about("Check whether the server is ready, as JSON").described_by(ops::describe_health)
        .get("/metrics", ops::metrics).right(Everybody).exact().credentials(Own).id("opsMetrics")
            .about("Get metrics for Prometheus").described_by(ops::describe_metrics)

        // The OpenAPI document.
        .get("/api/openapi.json", openapi::document).right(Everybody).id("openapiDocument").about("Get this document")
            .described_by(openapi::describe_document)
        .get("/api/swagger", swagger::page).right(Everybody).id("swaggerPage").about("Show this document as a page")
            .described_by(swagger::describe_page)
        .get("/api/swagger/{asset}", swagger::asset).right(Everybody).id("swaggerAsset")
            .about("Get an asset of the page").described_by(swagger::describe_asset)
}
