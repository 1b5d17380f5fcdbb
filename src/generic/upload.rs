//! Publishing a file: rights and limits first, then the body, then one transaction.

use super::{AppData, answer, begin};
use crate::auth::Presented;
use crate::domain::clock::Timestamp;
use crate::domain::digest::Sha256;
use crate::domain::path::FilePath;
use crate::error::{Error, Result};
use crate::http::body::{Body, BodyError, Pace};
use crate::http::declared;
use crate::http::middleware::tell;
use crate::http::params::{GENERIC, file_url};
use crate::registry::access::can_publish;
use crate::registry::publish::{self, Admission, NewBlob, Published};
use crate::state::App;
use crate::storage::{Adopted, BLOCK, BlobStore, Declared, Incoming, Space, StorageKey};
use actix_multipart::Multipart;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use std::sync::Arc;
use std::time::Duration;

/// After how many more bytes of an upload it is looked whether there is still room for it.
const LOOK_EVERY: u64 = 8 << 20;
/// Most bytes in the fields of a form that are not the file.
const MOST_BESIDE: usize = 64 << 10;
/// How often, and with which pause between, an upload looks whether its unanswered COMMIT was made.
const LOOKS: u32 = 5;
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// `PUT` of a file.
pub async fn upload(req: HttpRequest, payload: web::Payload, app: AppData) -> HttpResponse {
    let result = try_upload(&req, payload, &app).await;
    answer(&req, &app, result)
}

async fn try_upload(req: &HttpRequest, payload: web::Payload, app: &Arc<App>) -> Result<HttpResponse> {
    let (path, presented) = begin(req, app, GENERIC.file(req)).await?;
    tell(req, |story| story.owner = Some(path.owner.to_string()));
    let headers = req.headers();
    let form = is_form(headers);
    // What is wrong with the head is said to those who may publish: a stranger hears that he is one.
    let digests = check_head(headers, form);
    let said = publish::Declared {
        length: if form { None } else { content_length(headers) },
        sha256: digests.as_ref().ok().and_then(|digests| digests.sha256),
        only_if_absent: headers.get(header::IF_NONE_MATCH).is_some_and(|value| value == "*"),
    };
    let (limits, wanted, store) = (app.limits(), path.clone(), app.store.clone());
    let (admission, space) = presented
        .reading_then(
            req,
            app,
            move |conn, caller| publish::admit(conn, caller, &wanted, &said, &limits),
            move |admission| (admission, store.free_space()),
        )
        .await?;
    let digests = digests?;
    let allowance = match admission {
        Admission::SameIsThere(sha256) => return Ok(answer_stored(app, StatusCode::OK, &path, sha256)),
        Admission::Wanted(allowance) => allowance,
    };
    leave_reserve(app, space?, said.length.unwrap_or(0))?;
    let allowed = allowance.as_ref().map(|allowance| allowance.bytes);
    let limit = limits.file_bytes.into_iter().chain(allowed).min();
    let incoming = app.store.begin(limit, digests);
    let body = Body::new(payload, pace(app));
    let received = if form {
        receive_form(req, app, incoming, Multipart::new(headers, body)).await
    } else {
        receive(req, app, incoming, body).await
    };
    let received = received.map_err(|error| match (error, allowance) {
        (Error::TooLarge { limit }, Some(allowance)) if limit == allowance.bytes => Error::Quota(allowance.exceeded),
        (error, _) => error,
    })?;
    let adopted = received.finish().await?;
    let sha256 = adopted.sha256;
    let stored = commit(req, app, &presented, &path, adopted, said).await?;
    Ok(answer_stored(app, if stored { StatusCode::CREATED } else { StatusCode::OK }, &path, sha256))
}

fn answer_stored(app: &App, status: StatusCode, path: &FilePath, sha256: Sha256) -> HttpResponse {
    HttpResponse::build(status)
        .insert_header((header::LOCATION, app.url(&file_url(path))))
        .insert_header((header::ETAG, format!("\"{sha256}\"")))
        .finish()
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("multipart/form-data"))
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads what the head declares, and refuses one that cannot be of an upload.
fn check_head(headers: &HeaderMap, form: bool) -> Result<Declared> {
    if !headers.contains_key(header::CONTENT_LENGTH) && !headers.contains_key(header::TRANSFER_ENCODING) {
        return Err(Error::LengthRequired);
    }
    if headers.contains_key(header::CONTENT_RANGE) {
        return Err(Error::invalid("Content-Range", "a file is published whole: leave Content-Range out"));
    }
    if form && declared::speaks_of_content(headers) {
        let problem =
            "a digest of a form is not one of the file in it: send X-Checksum-Sha256, or the file as the body";
        return Err(Error::invalid("digest", problem));
    }
    declared::digests(headers)
}

/// Refuses an upload of which so many more bytes would leave less than the reserve on the store's disk: the database
/// may live there too, and must never find it full.
fn leave_reserve(app: &App, space: Space, more: u64) -> Result<()> {
    if space.available < more.saturating_add(app.config.store.reserve_bytes) { Err(Error::NoSpace) } else { Ok(()) }
}

fn pace(app: &App) -> Pace {
    let limits = &app.config.limits;
    Pace { stall: Duration::from_secs(limits.upload_stall_seconds), least_rate: limits.upload_least_bytes_per_second }
}

/// Reads a body to its end, into the store.
async fn receive<E: Into<BodyError>>(
    req: &HttpRequest,
    app: &App,
    mut incoming: Incoming,
    mut body: impl Stream<Item = Result<Bytes, E>> + Unpin,
) -> Result<Incoming> {
    let mut looked_at = 0;
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| error.into().0)?;
        tell(req, |story| story.received += u64::try_from(chunk.len()).unwrap_or_default());
        incoming.push(chunk).await?;
        if incoming.size() - looked_at > LOOK_EVERY {
            looked_at = incoming.size();
            let store = app.store.clone();
            let space = tokio::task::spawn_blocking(move || store.free_space()).await.map_err(Error::internal)??;
            leave_reserve(app, space, 0)?;
        }
    }
    Ok(incoming)
}

/// Reads a form whose one file part is the file; parts without a file name are passed over.
async fn receive_form(req: &HttpRequest, app: &App, incoming: Incoming, mut form: Multipart) -> Result<Incoming> {
    let mut incoming = Some(incoming);
    let (mut file, mut passed_over) = (None, 0);
    while let Some(field) = form.next().await {
        let mut field = field.map_err(|error| BodyError::from(error).0)?;
        if field.content_disposition().and_then(|disposition| disposition.get_filename()).is_none() {
            while let Some(chunk) = field.next().await {
                passed_over += chunk.map_err(|error| BodyError::from(error).0)?.len();
                if passed_over > MOST_BESIDE {
                    return Err(Error::invalid("body", "the form has more than a file: send the file alone"));
                }
            }
            continue;
        }
        let Some(incoming) = incoming.take() else {
            return Err(Error::invalid("body", "the form has several files: send one in each request"));
        };
        file = Some(receive(req, app, incoming, field).await?);
    }
    file.ok_or_else(|| {
        Error::invalid("body", "the form has no file: send one part with a filename, or the file as the body")
    })
}

/// Makes a file of what was received. False: the same bytes were there under this name, as declared.
async fn commit(
    req: &HttpRequest,
    app: &Arc<App>,
    presented: &Presented,
    path: &FilePath,
    adopted: Adopted,
    said: publish::Declared,
) -> Result<bool> {
    let blob = NewBlob {
        sha256: adopted.sha256,
        size: adopted.size,
        storage_key: adopted.key.to_string(),
        block_checksums: adopted.block_checksums.clone(),
        other: adopted.other,
    };
    let (now, limits) = (app.clock.now(), app.limits());
    // The bytes are held as long as the transaction may run, also when this request is gone: no sweep takes them.
    let adopted = Arc::new(adopted);
    let (held, wanted, row) = (Arc::clone(&adopted), path.clone(), blob.clone());
    let result = presented
        .writing(req, app, move |conn, caller| {
            let _held = &held;
            let right = can_publish(conn, caller, &wanted.owner, &wanted.package)?;
            publish::publish_file(conn, caller, &right, (&wanted, &row, &said), &limits, now)
        })
        .await;
    let published = match result {
        Ok(published) => published,
        Err(Error::OutcomeUnknown) => return look_up(app, path, blob, now).await,
        Err(error) => {
            discard(adopted).await;
            return Err(error);
        }
    };
    if published.storage_key != blob.storage_key {
        // The row is committed by now: whatever goes wrong here, nobody may be told that nothing was changed.
        settle_duplicate(app, adopted, &published, &blob).await.map_err(|_| Error::OutcomeUnknown)?;
    }
    if blob.other.is_none() {
        app.digests_wanted.notify_one();
    }
    Ok(published.stored)
}

/// Removes bytes that no row names. Should that fail, the sweep will.
async fn discard(adopted: Arc<Adopted>) {
    let Ok(adopted) = Arc::try_unwrap(adopted) else { return };
    let done = tokio::task::spawn_blocking(move || adopted.discard()).await;
    if let Ok(Err(error)) = done {
        tracing::warn!(%error, "superfluous bytes could not be removed; a sweep will do it");
    }
}

/// The same bytes were in the store already: the new copy goes, unless the old one turns out to be lost. A 201 must
/// never rest on bytes that are not there.
async fn settle_duplicate(app: &App, adopted: Arc<Adopted>, published: &Published, blob: &NewBlob) -> Result<()> {
    let old: StorageKey = published.storage_key.parse().map_err(Error::internal)?;
    let (store, size) = (app.store.clone(), blob.size);
    let sound = tokio::task::spawn_blocking(move || is_sound(&store, &old, size)).await.map_err(Error::internal)?;
    if sound {
        discard(adopted).await;
        return Ok(());
    }
    tracing::warn!(blob = %published.storage_key, "a lost blob is replaced by a new upload of its bytes");
    let (id, lost, key) = (published.blob, published.storage_key.clone(), blob.storage_key.clone());
    app.db.write(move |conn| publish::heal_blob(conn, id, &lost, &key)).await?;
    Ok(())
}

/// Whether stored bytes can be relied on: of a small blob all are read, of a large one the size must do.
fn is_sound(store: &BlobStore, key: &StorageKey, size: u64) -> bool {
    if size <= BLOCK {
        return store.read_small(key, size).is_ok();
    }
    matches!(store.stat(key), Ok(Some(found)) if found == size)
}

/// The connection died during COMMIT: the row is looked for, for some seconds, because Postgres may still be at it. If
/// it does not appear the outcome is unknown, and the bytes stay in any case.
async fn look_up(app: &App, path: &FilePath, blob: NewBlob, now: Timestamp) -> Result<bool> {
    for _ in 0..LOOKS {
        let (path, blob) = (path.clone(), blob.clone());
        match app.db.read(move |conn| publish::was_published(conn, &path, &blob, now)).await {
            Ok(true) => return Ok(true),
            Ok(false) | Err(_) => tokio::time::sleep(LOOK_PAUSE).await,
        }
    }
    Err(Error::OutcomeUnknown)
}
