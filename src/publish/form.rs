//! A form with one file in it (`multipart/form-data`), as the stream of that file's bytes.

use crate::error::Error;
use crate::http::body::{BodyError, demand_no_length};
use actix_multipart::{Field, Multipart};
use actix_web::http::header::{self, HeaderMap};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use std::pin::Pin;
use std::task::{Context, Poll};

/// The most bytes in the fields of a form besides the file.
const MAX_OTHER_FIELDS: usize = 64 << 10;

/// Whether a body is a `multipart/form-data` form.
pub fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("multipart/form-data"))
}

/// The bytes of the one file in a form. Parts without a file name are ignored; no file, or a second one, is an error.
pub struct FileOfForm(Pin<Box<dyn Stream<Item = Result<Bytes, BodyError>>>>);

impl FileOfForm {
    /// The file of this form, before any of it is read.
    pub fn new(form: Multipart) -> Self {
        let reader = FormReader { form, file: None, found: false, passed_over: 0 };
        Self(Box::pin(stream::try_unfold(reader, FormReader::next)))
    }
}

impl Stream for FileOfForm {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(cx)
    }
}

struct FormReader {
    form: Multipart,
    /// The part with the file, while it is being read.
    file: Option<Field>,
    found: bool,
    passed_over: usize,
}

impl FormReader {
    /// The next bytes of the file; `None` at the end of the form.
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, BodyError> {
        loop {
            if let Some(file) = &mut self.file {
                if let Some(chunk) = file.next().await {
                    return Ok(Some((chunk?, self)));
                }
                self.file = None;
            }
            let Some(part) = self.form.next().await else { break };
            let part = part?;
            demand_no_length(&part)?;
            if !is_file(&part) {
                self.pass_over(part).await?;
            } else if self.found {
                return Err(wrong("the form has several files: send one in each request"));
            } else {
                (self.file, self.found) = (Some(part), true);
            }
        }
        if self.found {
            return Ok(None);
        }
        Err(wrong("the form has no file: send one part with a filename, or the file as the body"))
    }

    async fn pass_over(&mut self, mut field: Field) -> Result<(), BodyError> {
        while let Some(chunk) = field.next().await {
            self.passed_over += chunk?.len();
            if self.passed_over > MAX_OTHER_FIELDS {
                return Err(wrong("the form has more than a file: send the file alone"));
            }
        }
        Ok(())
    }
}

fn is_file(part: &Field) -> bool {
    part.content_disposition().is_some_and(|disposition| disposition.get_filename().is_some())
}

fn wrong(problem: &str) -> BodyError {
    BodyError(Error::invalid("body", problem))
}
