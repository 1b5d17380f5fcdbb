//! A whole version as one archive. It is packed while it is sent, and it is the same, byte for byte, as long as the
//! version has the same files.

mod pack;
mod tar;

use self::pack::{Member, Packer};
use self::tar::Window;
use crate::auth::call::Call;
use crate::blocking::spawn_packing;
use crate::domain::glob::FileGlob;
use crate::domain::ids::{BlobId, FileId};
use crate::domain::path::VersionPath;
use crate::domain::role::Visibility;
use crate::error::{Error, Result, What};
use crate::http::blob::{INERT, Promised, content_range};
use crate::http::conditional::{Validators, Verdict, judge_tag, range_holds};
use crate::http::cors::{ANY_ORIGIN, EXPOSED};
use crate::http::disposition::attachment;
use crate::http::paging::params;
use crate::http::range::{Selection, select};
use crate::http::selected::redirect;
use crate::registry::access::can_read;
use crate::registry::packages::{archives, selection};
use crate::storage::{Stored, Transfer};
use actix_web::body::SizedStream;
use actix_web::http::header::{self, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpResponse, HttpResponseBuilder};
use bytes::Bytes;
use futures_util::stream;
use sha2::{Digest, Sha256};
use std::ops::Range;
use std::time::SystemTime;
use tokio::task::JoinHandle;

/// How many files are looked up at a time.
const BATCH: usize = 250;
/// The most patterns of a request.
const PATTERNS: usize = 20;

/// The format of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Tar,
    TarGz,
    Zip,
}

impl Format {
    /// The ending of a file of this format.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Tar => "tar",
            Self::TarGz => "tar.gz",
            Self::Zip => "zip",
        }
    }

    /// The media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Tar => "application/x-tar",
            Self::TarGz => "application/gzip",
            Self::Zip => "application/zip",
        }
    }

    /// What an archive of the same files depends on besides them. The libraries that compress and that write zip
    /// archives may write other bytes when they are updated, which happens with a new version of the program.
    fn revision(self) -> &'static str {
        match self {
            Self::Tar => "tar 1",
            Self::TarGz => concat!("tar.gz 1 ", env!("CARGO_PKG_VERSION")),
            Self::Zip => concat!("zip 1 ", env!("CARGO_PKG_VERSION")),
        }
    }
}

/// A file of the archive that is about to be packed: as little as possible, because there may be many.
struct Planned {
    id: FileId,
    blob: BlobId,
    /// How many bytes it takes in a tar archive.
    length: u64,
}

/// An archive that is about to be sent.
struct Plan {
    /// The name of the archive without its ending.
    name: String,
    files: Vec<Planned>,
    etag: String,
    /// The length of the tar archive.
    length: u64,
    public: bool,
}

/// What an address of an archive leads to.
enum Found {
    Archive(archives::Content, bool),
    Selected(VersionPath),
}

/// Answers a GET or HEAD of an archive: of the whole version, or of its files that match one of the parameters `match`.
/// `address` is the address of the archive of another version, for selectors.
///
/// # Errors
/// [`Error::NotFound`] for an unknown version, or when no file matches; [`Error::Invalid`] for a pattern;
/// [`Error::Busy`] when the first files cannot be read.
pub async fn send(
    call: Call,
    path: VersionPath,
    format: Format,
    address: impl Fn(&VersionPath) -> String,
) -> Result<HttpResponse> {
    let of = path.clone();
    let found = call.reading(move |conn, caller| {
        let right = can_read(conn, caller, &of.owner, Some(&of.package))?;
        match archives::content(conn, &right, &of) {
            Err(Error::NotFound(What::Version)) => match selection::select(conn, &right, &of)? {
                Some(version) => Ok(Found::Selected(VersionPath { version, ..of.clone() })),
                None => Err(Error::NotFound(What::Version)),
            },
            content => content.map(|content| Found::Archive(content, right.visibility() == Visibility::Public)),
        }
    });
    let (content, public) = match found.await? {
        Found::Archive(content, public) => (content, public),
        Found::Selected(version) => return Ok(redirect(&call.req, call.app.link(address(&version)))),
    };
    let patterns = patterns(&call)?;
    let public = public && !call.app.config.require_signin && !content.is_draft;
    let plan = Plan::new(content, format, &patterns, public)?;
    let headers = call.req.headers();
    match judge_tag(headers, &plan.etag) {
        Verdict::Failed => return Err(Error::PreconditionFailed("the archive does not match If-Match")),
        Verdict::NotModified => {
            return Ok(plan.head(StatusCode::NOT_MODIFIED, format).body(actix_web::body::None::new()));
        }
        Verdict::Proceed => {}
    }
    if format == Format::Tar {
        return send_tar(call, path, plan).await;
    }
    let mut head = plan.head(StatusCode::OK, format);
    if *call.req.method() == Method::HEAD {
        return Ok(head.streaming(stream::empty::<Result<Bytes, actix_web::Error>>()));
    }
    plan.count(&call);
    let packer = match format {
        Format::Zip => Packer::zip(call.app.store.clone()),
        Format::Tar | Format::TarGz => Packer::tar_gz(call.app.store.clone()),
    };
    let mut flow = Flow::new(call, path, plan.files);
    let first = flow.begin(packer).await?;
    if flow.is_over() {
        return Ok(head.body(first));
    }
    Ok(head.streaming(flow.into_stream(first)))
}

/// The patterns of a request.
fn patterns(call: &Call) -> Result<Vec<FileGlob>> {
    let texts: Vec<String> = params(&call.req, "match").collect();
    if texts.len() > PATTERNS {
        return Err(Error::invalid("match", format!("match: use at most {PATTERNS} patterns")));
    }
    let pattern = |text: String| text.parse().map_err(|why| Error::invalid("match", format!("match: {why}")));
    texts.into_iter().map(pattern).collect()
}

/// A tar archive has a known length, and can be continued anywhere.
async fn send_tar(call: Call, path: VersionPath, plan: Plan) -> Result<HttpResponse> {
    let headers = call.req.headers();
    let validators = Validators { etag: &plan.etag, last_modified: SystemTime::UNIX_EPOCH, date_is_strong: false };
    let mut asked = headers.get_all(header::RANGE);
    let selection = match (asked.next(), asked.next()) {
        (Some(value), None) if *call.req.method() == Method::GET && range_holds(headers, validators) => {
            value.to_str().map_or(Selection::Whole, |value| select(value, plan.length))
        }
        _ => Selection::Whole,
    };
    let (status, range) = match selection {
        // Several parts at once: the whole is sent instead, which a client has to expect.
        Selection::Whole | Selection::Many(_) => (StatusCode::OK, 0..plan.length),
        Selection::One(range) => (StatusCode::PARTIAL_CONTENT, range),
        Selection::Unsatisfiable => {
            let mut head = plan.head(StatusCode::RANGE_NOT_SATISFIABLE, Format::Tar);
            head.insert_header((header::CONTENT_RANGE, format!("bytes */{}", plan.length)));
            head.insert_header((header::CONTENT_TYPE, "text/plain; charset=utf-8"));
            return Ok(head.body("the archive has no bytes in the requested range\n"));
        }
    };
    let mut head = plan.head(status, Format::Tar);
    if status == StatusCode::PARTIAL_CONTENT {
        head.insert_header((header::CONTENT_RANGE, content_range(&range, plan.length)));
    }
    if *call.req.method() == Method::HEAD {
        return Ok(head.body(Promised(plan.length)));
    }
    // A part of an archive is no download of all files.
    if status == StatusCode::OK {
        plan.count(&call);
    }
    let length = range.end.saturating_sub(range.start);
    let (files, window) = within(plan.files, range);
    let packer = Packer::tar(call.app.store.clone(), window);
    let mut flow = Flow::new(call, path, files);
    let first = flow.begin(packer).await?;
    Ok(head.body(SizedStream::new(length, flow.into_stream(first))))
}

/// The files with bytes in a range of a tar archive, and the range counted from the first of them.
fn within(files: Vec<Planned>, range: Range<u64>) -> (Vec<Planned>, Window) {
    let (mut at, mut skipped) = (0_u64, 0_u64);
    let mut kept = Vec::new();
    for file in files {
        let start = at;
        at = at.saturating_add(file.length);
        if at <= range.start {
            skipped = at;
        } else if start < range.end {
            kept.push(file);
        }
    }
    (kept, Window::new(range.start - skipped, range.end - skipped))
}

impl Plan {
    fn new(content: archives::Content, format: Format, patterns: &[FileGlob], public: bool) -> Result<Self> {
        let archives::Content { package, version, files: members, .. } = content;
        let mut hasher = Sha256::new();
        hasher.update(format.revision());
        let (mut files, mut length) = (Vec::new(), tar::END as u64);
        for member in members {
            let path = member.name.as_str();
            if !patterns.is_empty() && !patterns.iter().any(|pattern| pattern.matches(path)) {
                continue;
            }
            hasher.update([0]);
            hasher.update(path);
            hasher.update([0]);
            hasher.update(member.sha256.as_bytes());
            let head = tar::head(path, member.size).map_err(Error::internal)?.len() as u64;
            let own = head.saturating_add(member.size).saturating_add(tar::padding(member.size) as u64);
            length = length.saturating_add(own);
            files.push(Planned { id: member.id, blob: member.blob, length: own });
        }
        if files.is_empty() {
            return Err(Error::NotFound(What::File));
        }
        let etag = format!("\"{}\"", crate::domain::digest::to_hex(&hasher.finalize()));
        Ok(Self { name: format!("{package}-{version}").replace('/', "_"), files, etag, length, public })
    }

    /// The headers of an answer.
    fn head(&self, status: StatusCode, format: Format) -> HttpResponseBuilder {
        const PUBLIC: &str = "public, max-age=0, must-revalidate, no-transform";
        const PRIVATE: &str = "private, max-age=0, must-revalidate, no-transform";
        let fixed = |value: &'static str| HeaderValue::from_static(value);
        let mut builder = HttpResponse::build(status);
        builder
            .insert_header((header::CONTENT_TYPE, fixed(format.media_type())))
            .insert_header((header::CONTENT_DISPOSITION, attachment(&format!("{}.{}", self.name, format.ending()))))
            .insert_header((header::ETAG, self.etag.as_str()))
            .insert_header((header::CACHE_CONTROL, fixed(if self.public { PUBLIC } else { PRIVATE })))
            .insert_header((header::ACCEPT_RANGES, fixed(if format == Format::Tar { "bytes" } else { "none" })))
            .insert_header((header::X_CONTENT_TYPE_OPTIONS, fixed("nosniff")))
            .insert_header((header::CONTENT_SECURITY_POLICY, fixed(INERT)))
            .insert_header((header::CROSS_ORIGIN_RESOURCE_POLICY, fixed("same-origin")));
        if self.public {
            builder.insert_header(ANY_ORIGIN).insert_header(EXPOSED);
        }
        builder
    }

    /// Counts a download of each file.
    fn count(&self, call: &Call) {
        let now = call.app.clock.now();
        self.files.iter().for_each(|file| call.app.counters.download(file.id, now));
    }
}

type Step = (Box<Packer>, Result<Bytes>);

/// An archive that is being sent: the next piece is packed while this one is on its way.
struct Flow {
    call: Call,
    path: VersionPath,
    rest: std::vec::IntoIter<Planned>,
    running: Option<JoinHandle<Step>>,
    transfer: Transfer,
}

impl Flow {
    fn new(call: Call, path: VersionPath, files: Vec<Planned>) -> Self {
        let transfer = call.app.store.transfer();
        Self { call, path, rest: files.into_iter(), running: None, transfer }
    }

    /// Packs the first piece: an error at this point can still be answered.
    async fn begin(&mut self, packer: Packer) -> Result<Bytes> {
        self.start(Box::new(packer)).await?;
        Ok(self.next().await?.unwrap_or_default())
    }

    fn is_over(&self) -> bool {
        self.running.is_none()
    }

    /// Looks up the next files if the packer has none, and lets it pack.
    async fn start(&mut self, mut packer: Box<Packer>) -> Result<()> {
        if packer.is_hungry() && self.rest.len() > 0 {
            packer.add(self.load().await?);
        }
        let (most, is_last) = (self.transfer.allowance(), self.rest.len() == 0);
        self.running = Some(spawn_packing(move || {
            let packed = packer.step(most, is_last);
            (packer, packed)
        }));
        Ok(())
    }

    async fn load(&mut self) -> Result<Vec<Member>> {
        let planned: Vec<Planned> = self.rest.by_ref().take(BATCH).collect();
        let ids: Vec<FileId> = planned.iter().map(|file| file.id).collect();
        let of = self.path.clone();
        let load = move |conn: &mut _, caller: &_| {
            // A reader who loses the right gets no more files.
            can_read(conn, caller, &of.owner, Some(&of.package))?;
            archives::load(conn, &ids)
        };
        let mut found = self.call.reading(load).await?;
        let member = |file: Planned| {
            let (name, stored) = found
                .remove(&file.id)
                .filter(|(_, stored)| stored.blob.id == file.blob)
                .ok_or_else(|| Error::Clash("the version was changed while its archive was sent".to_owned()))?;
            let key = stored.blob.storage_key.parse().map_err(Error::internal)?;
            let block_checksums = Some(stored.block_checksums).filter(|sums| !sums.is_empty()).map(Bytes::from);
            let (sha256, size) = (stored.blob.sha256, stored.blob.size);
            Ok(Member { path: name.to_string(), stored: Stored { key, sha256, size, block_checksums } })
        };
        planned.into_iter().map(member).collect()
    }

    /// The next piece; `None` after the last one.
    async fn next(&mut self) -> Result<Option<Bytes>> {
        while let Some(running) = self.running.take() {
            let (packer, packed) = running.await.map_err(Error::internal)?;
            let bytes = packed?;
            if !packer.is_done() {
                self.start(packer).await?;
            }
            if !bytes.is_empty() {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }

    /// The pieces, beginning with one that was packed already. An error cuts the connection.
    fn into_stream(self, first: Bytes) -> impl futures_util::Stream<Item = Result<Bytes, actix_web::Error>> {
        stream::try_unfold((self, Some(first)), |(mut flow, first)| async move {
            let next = match first {
                Some(first) => Some(first),
                None => flow.next().await.map_err(cut)?,
            };
            Ok(next.map(|bytes| (bytes, (flow, None))))
        })
    }
}

fn cut(error: Error) -> actix_web::Error {
    tracing::error!(error = %error.explained(), "an archive was cut off");
    actix_web::error::ErrorInternalServerError("the archive ended early")
}
