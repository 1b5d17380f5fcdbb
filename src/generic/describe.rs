//! What the routes of this face take and answer, for the OpenAPI document: their bodies are bytes and lines, which no
//! type speaks of.

use super::listings::ListedVersion;
use crate::http::description::{Description, bytes, integer, text, text_like};
use crate::views::FileView;
use actix_web::http::StatusCode;
use utoipa::ToSchema;
use utoipa::openapi::{ArrayBuilder, ObjectBuilder};

const TEXT: &str = "text/plain";
const ETAG: &str = r#"^"[0-9a-f]{64}"$"#;

/// `GET` of a file.
pub fn download(description: &mut Description) {
    asked_of_a_file(description);
    description.answers_with(
        StatusCode::OK,
        "The file, or the lines of a side-car",
        "application/octet-stream",
        bytes(),
    );
    description.or(TEXT, text());
    description.with("Content-Disposition", "The name to save it under (RFC 6266).", text());
    description.with("Cache-Control", "Who may keep it.", text());
    for (name, about, pattern) in OF_A_FILE {
        description.may_have(name, about, text_like(pattern));
    }
    description.answers_with(
        StatusCode::PARTIAL_CONTENT,
        "A part of it, or several",
        "application/octet-stream",
        bytes(),
    );
    description.or("multipart/byteranges", bytes());
    of_a_file(description);
    description.may_have("Content-Range", "Which part, if it is one.", text_like("^bytes [0-9]+-[0-9]+/[0-9]+$"));
    description.answers(StatusCode::NOT_MODIFIED, "The reader has it already");
    of_a_file(description);
    redirect(description);
    description.refuses(StatusCode::PRECONDITION_FAILED, "If-Match or If-Unmodified-Since does not hold");
    of_a_refusal(description);
    description.refuses(StatusCode::RANGE_NOT_SATISFIABLE, "The file has no such range");
    of_a_refusal(description);
    description.with("Content-Range", "How long the file is.", text_like(r"^bytes \*/[0-9]+$"));
}

/// What a reader may ask of a file.
fn asked_of_a_file(description: &mut Description) {
    description.head("Range", "The parts that are wanted, such as `bytes=0-99` (RFC 9110 §14).", text());
    description.head(
        "If-Range",
        "The `ETag` or date of the file of which these are parts; the whole otherwise.",
        text(),
    );
    description.head("If-None-Match", "The `ETag` of what the reader has: 304 if it is still the same.", text());
    description.head("If-Match", "The `ETag` of the file that is wanted: 412 if it is another.", text());
    description.head("If-Modified-Since", "A date of HTTP: 304 if the file is not newer.", text());
    description.head("If-Unmodified-Since", "A date of HTTP: 412 if the file is newer.", text());
}

/// What is said of a file, whether its bytes are sent or not.
fn of_a_file(description: &mut Description) {
    of_a_refusal(description);
    let (name, about, pattern) = DIGEST;
    description.with(name, about, text_like(pattern));
}

/// The same without the digest, which is none of the sentence that is sent instead.
fn of_a_refusal(description: &mut Description) {
    description.with("Content-Disposition", "The name to save it under (RFC 6266).", text());
    description.with("Cache-Control", "Who may keep it.", text());
    for (name, about, pattern) in OF_A_FILE {
        description.with(name, about, text_like(pattern));
    }
}

/// What is said of the bytes that are sent.
const DIGEST: (&str, &str, &str) =
    ("Repr-Digest", "Its SHA-256 (RFC 9530).", "^sha-256=:[0-9A-Za-z+/]{42}[AEIMQUYcgkosw048]=:$");

/// What is said of a file and not of a side-car, which is computed.
const OF_A_FILE: [(&str, &str, &str); 4] = [
    ("ETag", "The SHA-256 of the file in quotes.", ETAG),
    ("X-Checksum-Sha256", "Its SHA-256 in hexadecimal.", "^[0-9a-f]{64}$"),
    ("Last-Modified", "When it was published.", "GMT$"),
    ("Accept-Ranges", "That parts of it may be asked for.", "^bytes$"),
];

/// `PUT` of a file.
pub fn upload(description: &mut Description) {
    description.takes("application/octet-stream", bytes());
    let form = ObjectBuilder::new().property("file", bytes()).required("file");
    description.takes("multipart/form-data", form);
    declared(description);
    description.answers(StatusCode::CREATED, "Stored");
    stored(description);
    description.answers(StatusCode::OK, "The same bytes are there already, as their declared SHA-256 says");
    stored(description);
    description.refuses(StatusCode::BAD_REQUEST, "A name, a digest, a form or a field of the head is wrong");
    description.refuses(StatusCode::FORBIDDEN, "The owner's quota; the message has the figures");
    description.refuses(StatusCode::REQUEST_TIMEOUT, "The body came too slowly, or not to its end");
    description.refuses(StatusCode::CONFLICT, "The version has a file of this name");
    description.refuses(StatusCode::LENGTH_REQUIRED, "Neither a length nor chunked coding");
    description.refuses(StatusCode::PRECONDITION_FAILED, "If-None-Match: * and the file is there");
    description.refuses(StatusCode::PAYLOAD_TOO_LARGE, "Larger than the limit");
    description.refuses(StatusCode::UNPROCESSABLE_ENTITY, "The bytes do not have the declared digest");
    description.refuses(StatusCode::INSUFFICIENT_STORAGE, "No room left; nothing was kept");
    description.with("Retry-After", "After how many seconds to try again.", integer(0));
}

/// What a publisher may say of his bytes.
fn declared(description: &mut Description) {
    let sum = |digits: usize| text_like(&format!("^[0-9a-fA-F]{{{digits}}}$"));
    description.head("X-Checksum-Sha256", "The SHA-256 of the file: 422 if it is not; makes a retry safe.", sum(64));
    description.head("X-Checksum-Sha512", "Its SHA-512.", sum(128));
    description.head("X-Checksum-Sha1", "Its SHA-1.", sum(40));
    description.head("X-Checksum-Md5", "Its MD5.", sum(32));
    let digests = "`sha-256=:base64:` or `sha-512=:base64:` (RFC 9530)";
    let field = || text_like("^sha-(256=:[0-9A-Za-z+/]{42}[AEIMQUYcgkosw048]=|512=:[0-9A-Za-z+/]{85}[AQgw]==):$");
    description.head("Repr-Digest", &format!("The digest of the body: {digests}; not with a form."), field());
    description.head("Content-Digest", &format!("The same: {digests}; not with a form."), field());
    description.head("Content-MD5", "The MD5 in base64; not with a form.", text_like("^[0-9A-Za-z+/]{21}[AQgw]==$"));
    description.head("If-None-Match", "`*`: 412 instead of 409 if the file is there.", text_like(r"^\*$"));
}

/// What is said of a file that was stored.
fn stored(description: &mut Description) {
    description.with("Location", "The file's address.", text());
    description.with("ETag", "Its SHA-256 in quotes.", text_like(ETAG));
}

/// `DELETE`.
pub fn delete(description: &mut Description) {
    description.answers(StatusCode::NO_CONTENT, "Gone");
}

/// `GET` of a package.
pub fn versions(description: &mut Description) {
    list::<ListedVersion>(description);
}

/// `GET` of a version.
pub fn files(description: &mut Description) {
    list::<FileView>(description);
    redirect(description);
}

/// A list: a name a line, or JSON for who asks for it.
fn list<T: ToSchema>(description: &mut Description) {
    description.query("page", "Which page, from 1; what is no such number counts as not given.", integer(1));
    description.query("limit", "Entries of a page: 1,000 unless said otherwise, and at most.", integer(1));
    description.answers_with(StatusCode::OK, "A name a line; objects for who accepts JSON", TEXT, text());
    let objects = ArrayBuilder::new().items(description.schema::<T>());
    description.or("application/json", objects);
    description.with_pages();
}

/// Where `latest` leads.
fn redirect(description: &mut Description) {
    description.answers(StatusCode::FOUND, "The version `latest` stands for this one");
    description.with("Location", "The address of what `latest` stands for now.", text());
    description.with("Link", "The same with `rel=\"immutable\"`: it will always mean this.", text());
}
