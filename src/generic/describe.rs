//! The OpenAPI descriptions of the generic protocol's routes: their bodies are bytes and lines, which have no Rust
//! types to describe them.

use super::listings::{ListedPackage, ListedVersion};
use crate::domain::iso_duration::IsoDuration;
use crate::http::description::{Description, bytes, integer, text, text_like};
use crate::views::FileView;
use actix_web::http::StatusCode;
use utoipa::openapi::{ArrayBuilder, ObjectBuilder};
use utoipa::{PartialSchema, ToSchema};

const TEXT: &str = "text/plain";
const ETAG: &str = r#"^"[0-9a-f]{64}"$"#;

/// `GET` of a file.
pub fn download(description: &mut Description) {
    asked_of_a_file(description);
    let about = "`false`: send the bytes, even if the server would redirect to the object store.";
    description.query("redirect", about, text_like("^(true|false)?$"));
    description.answers_with(
        StatusCode::OK,
        "The file; or the lines of a checksum file, or the list or index page of a directory",
        "application/octet-stream",
        bytes(),
    );
    description.or(TEXT, text());
    description.or("text/html", text());
    let objects = ArrayBuilder::new().items(description.schema::<FileView>());
    description.or("application/json", objects);
    description.may_have("Content-Disposition", "The name to save it under (RFC 6266); a directory has none.", text());
    description.with("Cache-Control", "Which caches may store it.", text());
    for (name, about, pattern) in OF_A_FILE {
        description.may_have(name, about, text_like(pattern));
    }
    of_its_version(description);
    description.answers_with(
        StatusCode::PARTIAL_CONTENT,
        "One or more parts of the file",
        "application/octet-stream",
        bytes(),
    );
    description.or("multipart/byteranges", bytes());
    of_a_file(description);
    description.may_have(
        "Content-Range",
        "The range of the part, if there is only one.",
        text_like("^bytes [0-9]+-[0-9]+/[0-9]+$"),
    );
    description.answers(StatusCode::NOT_MODIFIED, "Your copy is current");
    of_a_file(description);
    redirect(description);
    let about = "The address of the bytes in the object store, if the server is set up so; it is valid for 10 minutes";
    description.answers(StatusCode::TEMPORARY_REDIRECT, about);
    of_a_file(description);
    description.with("Location", "A signed address on another server.", text());
    description.refuses(StatusCode::PRECONDITION_FAILED, "If-Match or If-Unmodified-Since does not hold");
    of_a_refusal(description);
    description.refuses(StatusCode::RANGE_NOT_SATISFIABLE, "The file has no such range");
    of_a_refusal(description);
    description.with("Content-Range", "The size of the file.", text_like(r"^bytes \*/[0-9]+$"));
}

/// The request headers of a download.
fn asked_of_a_file(description: &mut Description) {
    description.head("Range", "The requested parts, such as `bytes=0-99` (RFC 9110 §14).", text());
    description.head("If-Range", "The `ETag` or date of your copy; you get the whole file if it has changed.", text());
    description.head("If-None-Match", "The `ETag` of the copy you have; you get 304 if it is still current.", text());
    description.head("If-Match", "The `ETag` of the file you expect; you get 412 if it is another file.", text());
    description.head("If-Modified-Since", "An HTTP date; you get 304 if the file is not newer.", text());
    description.head("If-Unmodified-Since", "An HTTP date; you get 412 if the file is newer.", text());
    description.head("Want-Repr-Digest", "`sha-512=10`: you get the SHA-512 as `Repr-Digest` (RFC 9530).", text());
    description.head("Want-Digest", "Anything: you also get `Digest` (RFC 3230).", text());
}

/// The headers that describe a file, with or without its bytes.
fn of_a_file(description: &mut Description) {
    of_a_refusal(description);
    let (name, about, pattern) = DIGEST;
    description.with(name, about, text_like(pattern));
    let sha256 = text_like("^SHA-256=[0-9A-Za-z+/]{42}[AEIMQUYcgkosw048]=$");
    description.may_have("Digest", "Its SHA-256, if you sent Want-Digest (RFC 3230).", sha256);
}

/// The same without the digest, which would be wrong for the sentence that is sent instead.
fn of_a_refusal(description: &mut Description) {
    description.with("Content-Disposition", "The name to save it under (RFC 6266).", text());
    description.with("Cache-Control", "Which caches may store it.", text());
    for (name, about, pattern) in OF_A_FILE {
        description.with(name, about, text_like(pattern));
    }
    of_its_version(description);
}

/// The headers that warn of the version of a file.
fn of_its_version(description: &mut Description) {
    let yanked = "Why the version was yanked, percent-encoded; only for a yanked version.";
    description.may_have("X-Packhouse-Yanked", yanked, text_like("^[\\x20-\\x7e]+$"));
    description.may_have("Deprecation", "When the version was deprecated (RFC 9745).", text_like("^@[0-9]+$"));
    description.may_have("Sunset", "When the version will be deleted (RFC 8594).", text_like("GMT$"));
    description.may_have("Link", "`rel=\"successor-version\"`: the version to use instead.", text());
}

/// The headers that describe the sent bytes.
const DIGEST: (&str, &str, &str) = (
    "Repr-Digest",
    "Its SHA-256, or its SHA-512 if you prefer that (RFC 9530).",
    "^sha-(256=:[0-9A-Za-z+/]{42}[AEIMQUYcgkosw048]=|512=:[0-9A-Za-z+/]{85}[AQgw]==):$",
);

/// The headers that describe a file but not a checksum file, which is computed.
const OF_A_FILE: [(&str, &str, &str); 4] = [
    ("ETag", "The SHA-256 of the file in quotes.", ETAG),
    ("X-Checksum-Sha256", "Its SHA-256 in hexadecimal.", "^[0-9a-f]{64}$"),
    ("Last-Modified", "When it was published.", "GMT$"),
    ("Accept-Ranges", "Range requests are supported.", "^bytes$"),
];

/// `PUT` of a file.
pub fn upload(description: &mut Description) {
    description.takes("application/octet-stream", bytes());
    let form = ObjectBuilder::new().property("file", bytes()).required("file");
    description.takes("multipart/form-data", form);
    let about = "`true`: a new version becomes a draft, and an existing one must be a draft.";
    description.query("draft", about, text_like("^(true|false)$"));
    declared(description);
    let about = "The time until the version that this file creates expires, such as `P7D`; later files may repeat it.";
    description.query("expires_in", about, IsoDuration::schema());
    description.answers(StatusCode::CREATED, "Stored");
    stored(description);
    description.answers(StatusCode::OK, "The file already exists with the same content, or it was replaced");
    stored(description);
    description.refuses(StatusCode::BAD_REQUEST, "A name, a digest, a form or a header is invalid");
    description.refuses(StatusCode::FORBIDDEN, "The owner's quota is exceeded; the message has the figures");
    description.refuses(StatusCode::REQUEST_TIMEOUT, "The body was too slow or incomplete");
    description.refuses(
        StatusCode::CONFLICT,
        "The name is taken and the file may not be replaced, or the version or the package accepts no files",
    );
    description.refuses(StatusCode::LENGTH_REQUIRED, "The request has neither a length nor chunked encoding");
    description.refuses(StatusCode::PRECONDITION_FAILED, "If-Match or If-None-Match does not hold");
    description.refuses(StatusCode::PAYLOAD_TOO_LARGE, "The file is larger than the limit");
    description.refuses(StatusCode::UNPROCESSABLE_ENTITY, "The bytes do not have the declared digest");
    description.refuses(StatusCode::INSUFFICIENT_STORAGE, "No space left; nothing was kept");
    description.with("Retry-After", "Try again after this many seconds.", integer(0));
}

/// The request headers in which a publisher declares digests.
fn declared(description: &mut Description) {
    let sum = |digits: usize| text_like(&format!("^[0-9a-fA-F]{{{digits}}}$"));
    description.head(
        "X-Checksum-Sha256",
        "The SHA-256 of the file; you get 422 if it differs. It makes retries safe.",
        sum(64),
    );
    description.head("X-Checksum-Sha512", "Its SHA-512.", sum(128));
    description.head("X-Checksum-Sha1", "Its SHA-1.", sum(40));
    description.head("X-Checksum-Md5", "Its MD5.", sum(32));
    let digests = "`sha-256=:base64:` or `sha-512=:base64:` (RFC 9530)";
    let field = || text_like("^sha-(256=:[0-9A-Za-z+/]{42}[AEIMQUYcgkosw048]=|512=:[0-9A-Za-z+/]{85}[AQgw]==):$");
    description.head("Repr-Digest", &format!("The digest of the body: {digests}; not with a form."), field());
    description.head("Content-Digest", &format!("The same: {digests}; not with a form."), field());
    description.head("Content-MD5", "The MD5 in base64; not with a form.", text_like("^[0-9A-Za-z+/]{21}[AQgw]==$"));
    description.head("If-None-Match", "`*`: you get 412 instead of 409 if the file exists.", text_like(r"^\*$"));
    let about = "The `ETag` of the file to replace, or `*`; you get 412 if it is another file, or if there is none.";
    description.head("If-Match", about, text());
}

/// The headers that describe a stored file.
fn stored(description: &mut Description) {
    description.with("Location", "The file's address.", text());
    description.with("ETag", "Its SHA-256 in quotes.", text_like(ETAG));
}

/// `DELETE`.
pub fn delete(description: &mut Description) {
    let about = "`true`: delete for good at once, without the trash. Only owners and site administrators may do this.";
    description.query("purge", about, text_like("^(true|false)?$"));
    description.answers(StatusCode::NO_CONTENT, "Deleted; it can be restored for some days, unless it was purged");
    description.refuses(StatusCode::BAD_REQUEST, "`purge` is neither `true` nor `false`");
    description.refuses(StatusCode::CONFLICT, "The version is sealed or on hold");
}

/// `GET` of an owner.
pub fn packages(description: &mut Description) {
    list::<ListedPackage>(description);
}

/// `GET` of a package.
pub fn versions(description: &mut Description) {
    list::<ListedVersion>(description);
    to_index(description);
}

/// `GET` of a version.
pub fn files(description: &mut Description) {
    list::<FileView>(description);
    redirect(description);
}

/// A list: one name per line, or JSON for clients that ask for it.
fn list<T: ToSchema>(description: &mut Description) {
    description.query("order", "`oldest`, the default, or `newest` first.", text_like("^(oldest|newest)?$"));
    description.query("page", "The page, from 1. Without `page` and `limit` the list is complete.", integer(1));
    description.query("limit", "Entries per page: at most 1,000, which is also the default.", integer(1));
    let about = "One name per line, or JSON if `Accept` prefers it; for a package or a version also an index page";
    description.answers_with(StatusCode::OK, about, TEXT, text());
    description.or("text/html", text());
    let objects = ArrayBuilder::new().items(description.schema::<T>());
    description.or("application/json", objects);
    description.with_pages();
    description.refuses(StatusCode::BAD_REQUEST, "The order is neither `oldest` nor `newest`");
}

/// The redirect to the index page.
fn to_index(description: &mut Description) {
    description.answers(StatusCode::FOUND, "The address of the index page, for clients that prefer HTML");
    description.with("Location", "The same path with a slash at its end, and the query.", text());
}

/// The redirect from a selector, or to the index page.
fn redirect(description: &mut Description) {
    let about =
        "The version that a selector (`latest`, `@^1.2`, `@beta`) stands for now, or the address of the index page";
    description.answers(StatusCode::FOUND, about);
    let about = "The path with that version, or with a slash at its end, and the query.";
    description.with("Location", about, text());
    description.may_have(
        "Link",
        "For a selector: the same address with `rel=\"immutable\"`, because it always names the same version.",
        text(),
    );
}
