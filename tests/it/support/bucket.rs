//! An S3 server for the tests: real requests, checked signatures, objects as files in a directory, and the faults that a
//! test chooses.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::dto::*;
use s3s::host::SingleDomain;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3, S3Request, S3Response, S3Result};
use s3s_fs::FileSystem;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::SystemTime;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

/// The bucket's name, which is also the name of its directory.
pub const BUCKET: &str = "blobs";
const ACCESS_KEY: &str = "test-access";
const SECRET_KEY: &str = "test-secret-that-nobody-may-see";

/// What goes wrong with a request.
#[derive(Debug, Clone)]
pub enum Fault {
    /// The answer is an error with this status and code; nothing is done.
    Error(u16, &'static str),
    /// There is no answer.
    Silence,
    /// The request is done, and then there is an error instead of its answer.
    LostAnswer,
    /// The answer's body breaks off after so many bytes.
    Cut(usize),
    /// The answer's body stops after so many bytes, and the connection stays open.
    Stall(usize),
    /// One bit of the answer's body is wrong, at this position.
    WrongBit(usize),
}

/// A fault of the next requests of a kind.
#[derive(Debug, Clone)]
struct Planned {
    method: Method,
    part: String,
    times: usize,
    fault: Fault,
}

type Uploads = Arc<Mutex<BTreeMap<String, (String, SystemTime)>>>;

/// A running server with one bucket.
pub struct Bucket {
    pub address: SocketAddr,
    /// The directory of the bucket's objects.
    pub dir: PathBuf,
    /// Whether the bucket is in the name of the host instead of the path.
    has_host: bool,
    faults: Arc<Mutex<Vec<Planned>>>,
    requests: Arc<Mutex<Vec<String>>>,
    uploads: Uploads,
    accepting: JoinHandle<()>,
}

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().thread_name("bucket").build().unwrap()
});

impl Bucket {
    /// Starts a server with its files in a directory. The bucket is empty, or has what the directory has already.
    pub fn new(root: &Path) -> Self {
        Self::start(root, false)
    }

    /// The same for addresses that have the bucket in the name of the host.
    pub fn with_host(root: &Path) -> Self {
        Self::start(root, true)
    }

    fn start(root: &Path, has_host: bool) -> Self {
        let dir = root.join(BUCKET);
        std::fs::create_dir_all(&dir).unwrap();
        let uploads = Uploads::default();
        let s3 = Recorder { files: FileSystem::new(root).unwrap(), uploads: Arc::clone(&uploads) };
        let mut builder = S3ServiceBuilder::new(s3);
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        if has_host {
            builder.set_host(SingleDomain::new(&format!("localhost:{}", address.port())).unwrap());
        }
        let service = builder.build();
        let (faults, requests) = (Arc::<Mutex<Vec<Planned>>>::default(), Arc::<Mutex<Vec<String>>>::default());
        let state = (service, Arc::clone(&faults), Arc::clone(&requests));
        let accepting = RUNTIME.spawn(async move { accept(TcpListener::from_std(listener).unwrap(), state).await });
        Self { address, dir, has_host, faults, requests, uploads, accepting }
    }

    /// The settings of a server that has its blobs here.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        let port = self.address.port();
        let endpoint =
            if self.has_host { format!("http://localhost:{port}") } else { format!("http://{}", self.address) };
        vec![
            ("PACKHOUSE_STORE_KIND", "s3".to_owned()),
            ("PACKHOUSE_STORE_BUCKET", BUCKET.to_owned()),
            ("PACKHOUSE_STORE_ENDPOINT", endpoint),
            ("PACKHOUSE_STORE_PATH_STYLE", (!self.has_host).to_string()),
            ("PACKHOUSE_STORE_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("PACKHOUSE_STORE_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
            ("PACKHOUSE_STORE_TIMEOUT_SECONDS", "2".to_owned()),
        ]
    }

    /// The same as the text of a configuration file.
    pub fn described(&self) -> String {
        let settings = self.settings().into_iter().map(|(name, value)| {
            let key = name.trim_start_matches("PACKHOUSE_STORE_").to_lowercase();
            match key.as_str() {
                "timeout_seconds" | "path_style" => format!("{key} = {value}\n"),
                _ => format!("{key} = {value:?}\n"),
            }
        });
        format!("[store]\n{}", settings.collect::<String>())
    }

    /// Lets the next requests with this method fail whose address contains a text.
    pub fn fail(&self, method: Method, part: &str, times: usize, fault: Fault) {
        self.faults.lock().unwrap().push(Planned { method, part: part.to_owned(), times, fault });
    }

    /// Lets every request fail from now on.
    pub fn fail_all(&self, fault: &Fault) {
        for method in [Method::GET, Method::HEAD, Method::PUT, Method::POST, Method::DELETE] {
            self.fail(method, "", usize::MAX, fault.clone());
        }
    }

    /// Lets no request fail any longer.
    pub fn heal(&self) {
        self.faults.lock().unwrap().clear();
    }

    /// The requests since the last call, as method and address without the signature.
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut *self.requests.lock().unwrap())
    }

    /// The keys of the multipart uploads that were begun and not ended.
    pub fn uploads(&self) -> Vec<String> {
        self.uploads.lock().unwrap().values().map(|(key, _)| key.clone()).collect()
    }

    /// Makes all uploads in progress older.
    pub fn age_uploads(&self, by: std::time::Duration) {
        for (_, begun) in self.uploads.lock().unwrap().values_mut() {
            *begun -= by;
        }
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

type State = (S3Service, Arc<Mutex<Vec<Planned>>>, Arc<Mutex<Vec<String>>>);

async fn accept(listener: TcpListener, state: State) {
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).unwrap();
        let state = state.clone();
        tokio::spawn(async move {
            let serve = service_fn(move |request| answer(state.clone(), request));
            // The client may go away at any time.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), serve).await;
        });
    }
}

type Answered = Response<UnsyncBoxBody<Bytes, io::Error>>;

async fn answer((service, faults, requests): State, request: Request<Incoming>) -> Result<Answered, Infallible> {
    let shown = shown(&request);
    let fault = take(&faults, request.method(), &shown);
    requests.lock().unwrap().push(shown);
    match fault {
        Some(Fault::Error(status, code)) => {
            // Otherwise the connection is closed while the client still sends, and it may never see the answer.
            let _ = request.into_body().collect().await;
            return Ok(error(status, code));
        }
        Some(Fault::Silence) => std::future::pending::<()>().await,
        _ => {}
    }
    let answered = hyper::service::Service::call(&service, request).await;
    let Ok(answered) = answered else { return Ok(error(500, "InternalError")) };
    let (parts, body) = answered.into_parts();
    let body = body.map_err(io::Error::other);
    let body = match fault {
        Some(Fault::LostAnswer) => return Ok(error(500, "InternalError")),
        Some(Fault::Cut(after)) => broken(body, after, false),
        Some(Fault::Stall(after)) => broken(body, after, true),
        Some(Fault::WrongBit(at)) => wrong(body, at),
        _ => body.boxed_unsync(),
    };
    Ok(Response::from_parts(parts, body))
}

fn shown(request: &Request<Incoming>) -> String {
    let uri = request.uri();
    let query = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.starts_with("X-Amz-"));
    let query = query.collect::<Vec<_>>().join("&");
    let mark = if query.is_empty() { "" } else { "?" };
    format!("{} {}{mark}{query}", request.method(), uri.path())
}

fn take(faults: &Mutex<Vec<Planned>>, method: &Method, shown: &str) -> Option<Fault> {
    let mut faults = faults.lock().unwrap();
    let planned = faults
        .iter_mut()
        .find(|planned| planned.times > 0 && planned.method == *method && shown.contains(&planned.part))?;
    planned.times -= usize::from(planned.times < usize::MAX);
    Some(planned.fault.clone())
}

fn error(status: u16, code: &str) -> Answered {
    let text = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>planned</Message></Error>");
    let body = Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync();
    Response::builder().status(status).body(body).unwrap()
}

/// A body that ends with an error, or never, after so many bytes.
fn broken(
    body: impl hyper::body::Body<Data = Bytes, Error = io::Error> + Send + 'static,
    after: usize,
    stalls: bool,
) -> UnsyncBoxBody<Bytes, io::Error> {
    let frames = body.into_data_stream().scan(after, move |left, piece| {
        let piece = match piece {
            Ok(piece) if piece.len() <= *left => {
                *left -= piece.len();
                Some(Ok(Frame::data(piece)))
            }
            Ok(piece) if *left > 0 => {
                let piece = piece.slice(..*left);
                *left = 0;
                Some(Ok(Frame::data(piece)))
            }
            _ => None,
        };
        std::future::ready(piece)
    });
    let end = futures_util::stream::once(async move {
        if stalls {
            std::future::pending::<()>().await;
        }
        Err(io::Error::other("planned"))
    });
    StreamBody::new(frames.chain(end)).boxed_unsync()
}

fn wrong(
    body: impl hyper::body::Body<Data = Bytes, Error = io::Error> + Send + 'static,
    at: usize,
) -> UnsyncBoxBody<Bytes, io::Error> {
    let frames = body.into_data_stream().scan(0, move |position, piece| {
        let piece = piece.map(|piece| {
            let mut piece = piece.to_vec();
            if let Some(byte) = at.checked_sub(*position).and_then(|at| piece.get_mut(at)) {
                *byte ^= 1;
            }
            *position += piece.len();
            Frame::data(Bytes::from(piece))
        });
        std::future::ready(Some(piece))
    });
    StreamBody::new(frames).boxed_unsync()
}

/// The server's files, and a list of the multipart uploads, which the crate `s3s-fs` doesn't have.
struct Recorder {
    files: FileSystem,
    uploads: Uploads,
}

macro_rules! s3 {
    ($($name:ident($input:ident) -> $output:ident;)*) => {
        #[async_trait]
        impl S3 for Recorder {
            $(
                async fn $name(&self, request: S3Request<$input>) -> S3Result<S3Response<$output>> {
                    self.files.$name(request).await
                }
            )*

            async fn create_multipart_upload(
                &self,
                request: S3Request<CreateMultipartUploadInput>,
            ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
                let key = request.input.key.clone();
                let begun = self.files.create_multipart_upload(request).await?;
                let id = begun.output.upload_id.clone().unwrap();
                self.uploads.lock().unwrap().insert(id, (key, SystemTime::now()));
                Ok(begun)
            }

            async fn complete_multipart_upload(
                &self,
                request: S3Request<CompleteMultipartUploadInput>,
            ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
                let id = request.input.upload_id.clone();
                let completed = self.files.complete_multipart_upload(request).await?;
                self.uploads.lock().unwrap().remove(&id);
                Ok(completed)
            }

            async fn abort_multipart_upload(
                &self,
                request: S3Request<AbortMultipartUploadInput>,
            ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
                let id = request.input.upload_id.clone();
                let aborted = self.files.abort_multipart_upload(request).await?;
                self.uploads.lock().unwrap().remove(&id);
                Ok(aborted)
            }

            async fn list_multipart_uploads(
                &self,
                _: S3Request<ListMultipartUploadsInput>,
            ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
                let uploads = self.uploads.lock().unwrap();
                let shown = uploads.iter().map(|(id, (key, begun))| MultipartUpload {
                    key: Some(key.clone()),
                    upload_id: Some(id.clone()),
                    initiated: Some(Timestamp::from(*begun)),
                    ..Default::default()
                });
                Ok(S3Response::new(ListMultipartUploadsOutput {
                    uploads: Some(shown.collect()),
                    is_truncated: Some(false),
                    ..Default::default()
                }))
            }
        }
    };
}

s3! {
    get_object(GetObjectInput) -> GetObjectOutput;
    head_object(HeadObjectInput) -> HeadObjectOutput;
    put_object(PutObjectInput) -> PutObjectOutput;
    delete_object(DeleteObjectInput) -> DeleteObjectOutput;
    delete_objects(DeleteObjectsInput) -> DeleteObjectsOutput;
    list_objects_v2(ListObjectsV2Input) -> ListObjectsV2Output;
    upload_part(UploadPartInput) -> UploadPartOutput;
    head_bucket(HeadBucketInput) -> HeadBucketOutput;
}
