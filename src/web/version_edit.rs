//! The forms that change a version: publishing and sealing it, its flags, notes, labels and expiration.

use super::forms::Protected;
use super::login::Nothing;
use super::page::Reply;
use super::problems::Problems;
use super::standing::VersionForms;
use super::version::{self, named};
use crate::auth::call::Call;
use crate::domain::address;
use crate::domain::path::VersionPath;
use crate::error::{Error, Result};
use crate::registry::access::can_publish;
use crate::registry::packages::{version_edit, version_states};

fn back(path: &VersionPath) -> Reply {
    Reply::to(&address::version_page(&path.owner, &path.package, &path.version))
}

/// `POST /{owner}/-/packages/generic/{name}/{version}/publish`.
pub async fn publish(call: Call, form: Protected<Nothing>) -> Result<Reply> {
    form.read(&call).await?;
    let path = named(&call).await?;
    let (asked, now) = (path.clone(), call.app.clock.now());
    call.writing(move |conn, caller| {
        let right = can_publish(conn, caller, &asked.owner, &asked.package)?;
        version_states::publish(conn, caller, &right, (&asked, None), now)
    })
    .await?;
    Ok(back(&path).notice(&call.app, &format!("Version {} has been published.", path.version)))
}

/// `POST /{owner}/-/packages/generic/{name}/{version}/seal`.
pub async fn seal(call: Call, form: Protected<Nothing>) -> Result<Reply> {
    form.read(&call).await?;
    let path = named(&call).await?;
    let (asked, now) = (path.clone(), call.app.clock.now());
    call.writing(move |conn, caller| {
        let right = can_publish(conn, caller, &asked.owner, &asked.package)?;
        version_states::seal(conn, caller, &right, &asked, now)
    })
    .await?;
    Ok(back(&path).notice(&call.app, &format!("Version {} has been sealed.", path.version)))
}

/// `POST /{owner}/-/packages/generic/{name}/{version}/edit`.
pub async fn edit(call: Call, form: Protected<VersionForms>) -> Result<Reply> {
    let typed = form.read_long(&call).await?;
    let path = named(&call).await?;
    match change(&call, &path, &typed).await {
        Ok(done) => Ok(back(&path).notice(&call.app, &format!("Version {} {done}.", path.version))),
        Err(Error::Invalid { field: "change", problem }) => Err(Error::invalid("change", problem)),
        Err(error) => {
            let error = match error {
                Error::Invalid { field, problem } => Error::Invalid { field: typed.field_of(field), problem },
                other => other,
            };
            let problems = Problems::of(error, "successor")?;
            version::again(call, path, typed, problems).await
        }
    }
}

async fn change(call: &Call, path: &VersionPath, typed: &VersionForms) -> Result<&'static str> {
    let (edit, done) = typed.read()?;
    let (asked, now) = (path.clone(), call.app.clock.now());
    call.writing(move |conn, caller| {
        let right = can_publish(conn, caller, &asked.owner, &asked.package)?;
        version_edit::update(conn, caller, &right, (&asked, &edit), now)
    })
    .await?;
    Ok(done)
}
