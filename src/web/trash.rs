//! The trash of an owner: what was deleted, restoring it, and deleting it for good.

use super::format::{Bytes, Count, When};
use super::forms::Protected;
use super::list::{Pager, slice};
use super::login::Nothing;
use super::notice::{Notice, noun};
use super::owner::Owner;
use super::page::{Frame, Reply, frame};
use crate::auth::call::Call;
use crate::domain::address;
use crate::domain::clock::Timestamp;
use crate::domain::ids::TrashId;
use crate::domain::names::OwnerName;
use crate::domain::trash::TrashReason;
use crate::error::{Error, Result, What};
use crate::registry::access::can_see_trash;
use crate::registry::packages::freed::{self, Given};
use crate::registry::packages::restoration;
use crate::registry::packages::trash_entries::{self, TrashEntry};
use crate::registry::pages::Page;
use askama::Template;

/// A row in the list.
struct Line {
    owner: OwnerName,
    entry: TrashEntry,
    now: Timestamp,
}

impl Line {
    fn deleted(&self) -> When {
        When { at: self.entry.deleted_at, now: self.now }
    }

    fn kept_until(&self) -> When {
        When { at: self.entry.keep_until, now: self.now }
    }

    fn size(&self) -> Bytes {
        Bytes(self.entry.bytes)
    }

    fn files(&self) -> Count {
        Count(self.entry.files)
    }

    /// What it is, for the buttons.
    fn noun(&self) -> &'static str {
        noun(self.entry.kind)
    }

    /// Why it is in the trash, as the beginning of a sentence that ends with who did it.
    fn why(&self) -> &'static str {
        match self.entry.reason {
            TrashReason::Deleted => "Deleted",
            TrashReason::Replaced => "Replaced",
            TrashReason::Moved => "Moved away",
            TrashReason::Expired => "Expired",
            TrashReason::Retention => "Deleted by a retention rule",
        }
    }

    fn restoration_url(&self) -> String {
        address::trash_restoration(&self.owner, self.entry.id)
    }

    fn deletion_url(&self) -> String {
        address::trash_deletion(&self.owner, self.entry.id)
    }
}

#[derive(Template)]
#[template(path = "trash.html")]
struct TrashPage {
    frame: Frame,
    owner: Owner,
    lines: Vec<Line>,
    pager: Pager,
    freed: Bytes,
}

/// `GET /{owner}/-/trash`.
pub async fn list(call: Call) -> Result<Reply> {
    let name: OwnerName = call.part("owner", What::Owner).await?;
    call.about(&name);
    let (slice, now) = (slice(&call.req), call.app.clock.now());
    let (frame, (owner, page, freed)) = frame(&call, move |conn, caller| {
        let right = can_see_trash(conn, caller, &name)?;
        let owner = Owner::of(conn, caller, right.owner())?;
        let page = trash_entries::list(conn, caller, &right, slice)?;
        let freed = trash_entries::occupied_by(conn, caller, &right)?;
        Ok((owner, page, freed))
    })
    .await?;
    let Page { items, total } = page;
    let lines = items.into_iter().map(|entry| Line { owner: owner.name.clone(), entry, now }).collect();
    let pager = Pager::new(&call.req, total);
    Reply::page(&TrashPage { frame, owner, lines, pager, freed: Bytes(freed) })
}

/// The owner and the entry that the path names.
async fn entry(call: &Call) -> Result<(OwnerName, TrashId)> {
    let owner: OwnerName = call.part("owner", What::Owner).await?;
    call.about(&owner);
    Ok((owner, TrashId(call.part("entry", What::TrashEntry).await?)))
}

/// `POST /{owner}/-/trash/{entry}/restore`.
pub async fn restore(call: Call, form: Protected<Nothing>) -> Result<Reply> {
    form.read(&call).await?;
    let (owner, id) = entry(&call).await?;
    let (asked, quota, now) = (owner.clone(), call.app.upload_limits().quota, call.app.clock.now());
    let restored = call
        .writing(move |conn, caller| {
            let (right, _) = trash_entries::find_to_change(conn, caller, &asked, id)?;
            restoration::restore(conn, caller, &right, id, quota, now)
        })
        .await;
    match restored {
        Ok(restored) => {
            let to = match &restored.version {
                Some(version) => address::version_page(&owner, &restored.package, version),
                None => address::package_page(&owner, &restored.package),
            };
            Ok(Reply::to(&to).notice(&call.app, &format!("{} has been restored.", restored.path())))
        }
        Err(Error::Clash(text) | Error::WrongState(text) | Error::Quota(text)) => {
            Ok(Reply::to(&address::trash_page(&owner)).tell(&call.app, &Notice::bad(&format!("Not restored: {text}."))))
        }
        Err(error) => Err(error),
    }
}

#[derive(Template)]
#[template(path = "trash_delete.html")]
struct DeletionPage {
    frame: Frame,
    owner: Owner,
    line: Line,
    freed: Bytes,
}

/// `GET /{owner}/-/trash/{entry}/delete`.
pub async fn delete_form(call: Call) -> Result<Reply> {
    let (name, id) = entry(&call).await?;
    let now = call.app.clock.now();
    let (frame, (owner, entry, freed)) = frame(&call, move |conn, caller| {
        let (right, entry) = trash_entries::find_to_change(conn, caller, &name, id)?;
        trash_entries::demand_purge(&right)?;
        let owner = Owner::of(conn, caller, right.owner())?;
        let freed = freed::bytes(conn, Given::Entries(&[id]), Some(right.owner().id))?;
        Ok((owner, entry, freed))
    })
    .await?;
    let line = Line { owner: owner.name.clone(), entry, now };
    Reply::page(&DeletionPage { frame, owner, line, freed: Bytes(freed) })
}

/// `POST /{owner}/-/trash/{entry}/delete`.
pub async fn delete(call: Call, form: Protected<Nothing>) -> Result<Reply> {
    form.read(&call).await?;
    let (owner, id) = entry(&call).await?;
    let (asked, now) = (owner.clone(), call.app.clock.now());
    let purged = call
        .writing(move |conn, caller| {
            let (right, _) = trash_entries::find_to_change(conn, caller, &asked, id)?;
            trash_entries::purge(conn, caller, &right, id, now)
        })
        .await?;
    let notice = format!("{} has been deleted for good.", purged.path());
    Ok(Reply::to(&address::trash_page(&owner)).notice(&call.app, &notice))
}
