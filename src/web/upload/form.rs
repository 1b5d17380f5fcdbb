//! Uploads several files in one form, for browsers without JavaScript. Each part is streamed into the store as it
//! arrives, and accepted or rejected by itself. The fields with the package and version come before the files.

use super::{Outcome, Typed, show, version_page};
use crate::auth::call::Call;
use crate::domain::names::OwnerName;
use crate::domain::path::VersionPath;
use crate::error::{Error, Result, What};
use crate::http::body::{BodyError, PacedBody, demand_no_length};
use crate::http::problem::{log_internal, status_of};
use crate::publish::{self, Target, is_form};
use crate::registry::access::can_upload;
use crate::web::forms;
use crate::web::page::Reply;
use crate::web::problems::{Problems, sentence};
use actix_multipart::{Field, Multipart};
use actix_web::http::StatusCode;
use actix_web::web;
use futures_util::StreamExt;

/// The maximum size of all fields that are not files, in bytes.
const MOST_BESIDE: usize = 64 << 10;

/// `POST /{owner}/-/upload`.
pub async fn submit(call: Call, payload: web::Payload) -> Result<Reply> {
    let owner: OwnerName = call.part("owner", What::Owner).await?;
    call.about(&owner);
    let asked = owner.clone();
    call.admit(move |conn, caller| can_upload(conn, caller, &asked).map(drop)).await?;
    let headers = call.req.headers();
    if !is_form(headers) {
        return Err(Error::invalid("body", "the body is not multipart/form-data: send the files in a multipart form"));
    }
    publish::check_form_head(headers)?;
    let mut form = Multipart::new(headers, PacedBody::new(payload, call.app.pace()));
    let mut reading = Reading { call: &call, owner, typed: Typed::default(), draft: false, checked: false, beside: 0 };
    match reading.all(&mut form).await? {
        End::Fields(problems) => {
            let Reading { owner, typed, .. } = reading;
            show(&call, owner, typed, (StatusCode::UNPROCESSABLE_ENTITY, problems, None)).await
        }
        End::Files(path, outcome, None) => {
            let count = outcome.stored.len();
            let files = if count == 1 { "1 file".to_owned() } else { format!("{count} files") };
            let notice = format!("{files} uploaded to {} {}.", path.package, path.version);
            Ok(Reply::to(&version_page(&path)).notice(&call.app, &notice))
        }
        End::Files(_, outcome, Some(status)) => {
            let Reading { owner, typed, .. } = reading;
            let problems = Problems::whole(status, "some files were not uploaded: see the list below");
            show(&call, owner, typed, (status, problems, Some(outcome))).await
        }
    }
}

/// The result of reading a form.
enum End {
    /// The fields have problems, and no file was read.
    Fields(Problems),
    /// The files were read; the status belongs to the first file that was not stored.
    Files(VersionPath, Outcome, Option<StatusCode>),
}

/// A form that is being read.
struct Reading<'a> {
    call: &'a Call,
    owner: OwnerName,
    typed: Typed,
    /// Whether the version is to be a draft.
    draft: bool,
    /// Whether the CSRF token has been checked.
    checked: bool,
    beside: usize,
}

impl Reading<'_> {
    async fn all(&mut self, form: &mut Multipart) -> Result<End> {
        let (mut path, mut outcome, mut status) = (None, Outcome::default(), None);
        while let Some(field) = form.next().await {
            let mut field = field.map_err(|error| BodyError::from(error).0)?;
            demand_no_length(&field).map_err(|error| error.0)?;
            let Some(name) = file_name(&field) else {
                self.text(&mut field).await?;
                continue;
            };
            self.demand_ours()?;
            // Browsers send an empty file name if no file was chosen.
            if name.is_empty() {
                continue;
            }
            let path: &VersionPath = match &path {
                Some(path) => path,
                None => match self.path() {
                    Ok(found) => path.insert(found),
                    Err(problems) => return Ok(End::Fields(problems)),
                },
            };
            match self.store(path, &name, &mut field).await {
                Ok(()) => outcome.stored.push(name),
                Err(error) => {
                    let is_last = concerns_all(&error);
                    log_internal(&self.call.req, &error);
                    status.get_or_insert(status_of(&error).0);
                    outcome.failed.push((name, sentence("", &error.to_string())));
                    if is_last {
                        break;
                    }
                }
            }
        }
        self.demand_ours()?;
        match path {
            Some(path) => Ok(End::Files(path, outcome, status)),
            None => {
                let mut problems = self.path().err().unwrap_or_default();
                problems.add("files", "choose at least one file");
                Ok(End::Fields(problems))
            }
        }
    }

    /// Reads a field that is not a file.
    async fn text(&mut self, field: &mut Field) -> Result<()> {
        let name = field.name().unwrap_or_default().to_owned();
        let mut bytes = Vec::new();
        while let Some(chunk) = field.next().await {
            let chunk = chunk.map_err(|error| BodyError::from(error).0)?;
            self.beside += chunk.len();
            if self.beside > MOST_BESIDE {
                return Err(Error::invalid("form", format!("the fields are longer than {MOST_BESIDE} bytes")));
            }
            bytes.extend_from_slice(&chunk);
        }
        let text = String::from_utf8(bytes).map_err(|_| Error::invalid("form", "the form is not UTF-8"))?;
        match &*name {
            forms::FIELD => {
                forms::check_field(self.call, &text)?;
                self.checked = true;
            }
            "package" => self.typed.package = text,
            "version" => self.typed.version = text,
            "draft" => self.draft = true,
            _ => {}
        }
        Ok(())
    }

    /// Checks that a valid CSRF token came before the files.
    fn demand_ours(&self) -> Result<()> {
        if self.checked { Ok(()) } else { forms::check_field(self.call, "") }
    }

    /// The version to upload to.
    fn path(&self) -> Result<VersionPath, Problems> {
        let (package, version) = (self.typed.package.parse(), self.typed.version.parse());
        match (package, version) {
            (Ok(package), Ok(version)) => Ok(VersionPath { owner: self.owner.clone(), package, version }),
            (package, version) => {
                let mut problems = Problems::default();
                problems.take("package", package.map_err(|error| format!("invalid package name: {error}")));
                problems.take("version", version.map_err(|error| format!("invalid version: {error}")));
                Err(problems)
            }
        }
    }

    /// Stores one part as a file.
    async fn store(&self, path: &VersionPath, name: &str, field: &mut Field) -> Result<()> {
        let name = name.parse().map_err(|error| Error::invalid("filename", format!("invalid file name: {error}")))?;
        let target = Target::undeclared(path.with_file(name)).draft(Ok(self.draft));
        publish::receive(self.call, target, field).await.map(drop)
    }
}

/// The file name of a part, if it is a file.
fn file_name(field: &Field) -> Option<String> {
    field.content_disposition()?.get_filename().map(str::to_owned)
}

/// Whether an error would affect all following files too.
fn concerns_all(error: &Error) -> bool {
    let own = matches!(
        error,
        Error::Conflict(_)
            | Error::Blocked(_)
            | Error::Invalid { .. }
            | Error::TooLarge { .. }
            | Error::Quota(_)
            | Error::DigestMismatch(_)
    );
    !own
}
