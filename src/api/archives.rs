//! A whole version as one archive.

use super::endpoint::Answer;
use super::packages::version_path;
use crate::archive::{self, Format};
use crate::auth::call::Call;
use crate::domain::address;
use crate::error::Result;
use crate::http::description::{Description, bytes, text, text_like};
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use std::marker::PhantomData;

/// A format, as a type.
pub trait Packed {
    const FORMAT: Format;
}

/// `archive.tar`.
pub struct Tar;
/// `archive.tar.gz`.
pub struct TarGz;
/// `archive.zip`.
pub struct Zip;

impl Packed for Tar {
    const FORMAT: Format = Format::Tar;
}

impl Packed for TarGz {
    const FORMAT: Format = Format::TarGz;
}

impl Packed for Zip {
    const FORMAT: Format = Format::Zip;
}

/// An archive of this format.
pub struct Archive<P>(HttpResponse, PhantomData<P>);

impl<P: Packed> Answer for Archive<P> {
    fn respond(self) -> HttpResponse {
        self.0
    }

    fn describe(description: &mut Description) {
        let kind = P::FORMAT.media_type();
        let about = "Only files whose path matches: `*` and `?` do not match a `/`, `**` does. Can be repeated.";
        description.query("match", about, text());
        description.head("If-None-Match", "The `ETag` of the archive you have; you get 304 if it is the same.", text());
        description.head("If-Match", "The `ETag` of the archive you expect; you get 412 if it is another.", text());
        description.answers_with(StatusCode::OK, "The archive, sorted by path", kind, bytes());
        tagged(description);
        if P::FORMAT == Format::Tar {
            description.head("Range", "The requested part, such as `bytes=1000-`.", text());
            description.head("If-Range", "The `ETag` of the archive you have a part of.", text());
            description.answers_with(StatusCode::PARTIAL_CONTENT, "A part of the archive", kind, bytes());
            tagged(description);
            description.with("Content-Range", "The range of the part.", text_like("^bytes [0-9]+-[0-9]+/[0-9]+$"));
            description.answers_with(StatusCode::RANGE_NOT_SATISFIABLE, "It has no such range", "text/plain", text());
            description.with("Content-Range", "The size of the archive.", text_like(r"^bytes \*/[0-9]+$"));
        }
        description.answers(StatusCode::NOT_MODIFIED, "Your copy is current");
        description
            .answers(StatusCode::FOUND, "The version that a selector (`latest`, `@^1.2`, `@beta`) stands for now");
        description.with("Location", "The path with that version, and the query.", text());
        description.refuses(StatusCode::PRECONDITION_FAILED, "If-Match does not hold");
        description.refuses(StatusCode::UNPROCESSABLE_ENTITY, "A pattern is invalid");
    }
}

fn tagged(description: &mut Description) {
    description.with("ETag", "Depends only on the paths and contents of the files.", text_like(r#"^"[0-9a-f]{64}"$"#));
    description.with("Content-Disposition", "The name to save it under.", text());
}

/// `GET …/{version}/archive.tar`, `.tar.gz`, `.zip`.
pub async fn download<P: Packed>(call: Call) -> Result<Archive<P>> {
    let path = version_path(&call).await?;
    let sent = archive::send(call, path, P::FORMAT, |version| address::archive(version, P::FORMAT.ending())).await?;
    Ok(Archive(sent, PhantomData))
}
