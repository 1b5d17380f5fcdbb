//! Answers plain downloads that are in the cache, before actix sees the request. Everything else that a download does
//! happens here too: its rights were checked when it was remembered, and it is counted, measured and logged.

use crate::auth::bearer_credential;
use crate::domain::request_id::RequestId;
use crate::http::gate::{PlainGet, Shortcut};
use crate::http::ready::ReadyAnswer;
use crate::http::request_log::{AnsweredRequest, RequestMetrics};
use crate::registry::caller::Credential;
use crate::state::App;
use crate::state::download_cache::{CachedDownload, Requester};
use actix_web::http::{Method, StatusCode};
use bytes::BytesMut;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

/// The shortcut for downloads.
pub struct HotDownloads {
    app: Arc<App>,
    route: &'static str,
    whole: RequestMetrics,
    unchanged: RequestMetrics,
}

impl HotDownloads {
    /// The shortcut of a server, if it remembers downloads. `route` is the route that they belong to.
    pub fn shortcut(app: &Arc<App>, route: &'static str) -> Option<Arc<dyn Shortcut + Send + Sync>> {
        if !app.downloads.is_on() {
            return None;
        }
        let metrics = |status| RequestMetrics::new(&Method::GET, route, status);
        let (whole, unchanged) = (metrics(StatusCode::OK), metrics(StatusCode::NOT_MODIFIED));
        Some(Arc::new(Self { app: Arc::clone(app), route, whole, unchanged }))
    }

    fn find(&self, request: &PlainGet<'_>) -> Option<Arc<CachedDownload>> {
        let credential = match request.authorization {
            None => Credential::Anonymous,
            Some(value) => bearer_credential(std::str::from_utf8(value).ok()?)?.ok()?,
        };
        let app = &self.app;
        app.downloads.get(app.db.coherence(), Requester::of(&credential)?, request.path, app.clock.now())
    }
}

impl Shortcut for HotDownloads {
    fn answer(&self, request: &PlainGet<'_>, client: IpAddr, out: &mut BytesMut) -> bool {
        let started = Instant::now();
        // The last answer of a connection says so, and actix writes that.
        if self.app.is_draining() {
            return false;
        }
        let Some(download) = self.find(request) else { return false };
        let now = self.app.clock.now();
        let Some(ready) = download.ready.as_ref().filter(|ready| ready.holds(&download.file, now)) else {
            return false;
        };
        let answer: &ReadyAnswer = match request.if_none_match {
            None => &ready.whole,
            Some(tag) if tag == ready.etag.as_bytes() => &ready.unchanged,
            Some(_) => return false,
        };
        self.app.downloads.count(true);
        let id = RequestId::new(rand::random());
        answer.write(now, &id, out);
        let counters = &self.app.counters;
        if let Some(token) = download.reader.token {
            counters.token_use(token, now, Some(client));
        }
        let metrics = if answer.status == StatusCode::OK {
            counters.download(download.file.id, now);
            &self.whole
        } else {
            &self.unchanged
        };
        let answered = AnsweredRequest {
            id: &id,
            method: &Method::GET,
            route: self.route,
            path: request.path,
            status: answer.status,
            owner: Some(download.asked.as_str()),
            actor: download.reader.user.as_ref().map(|(_, name)| name.as_str()),
            administrator: None,
            client: Some(client),
            received: 0,
            sent: answer.body_bytes(),
            took: started.elapsed(),
            is_cut: false,
            cause: None,
        };
        metrics.record(&answered);
        self.app.recent.note(&answered.as_recent(), answered.took);
        answered.log();
        true
    }
}
