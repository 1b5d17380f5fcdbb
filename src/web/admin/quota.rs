//! The quota of an owner, for administrators.

use crate::auth::call::Call;
use crate::domain::address::{self, UserAction};
use crate::domain::limit::Limit;
use crate::domain::names::OwnerName;
use crate::domain::quota::{OwnQuota, Quota};
use crate::domain::role::OwnerKind;
use crate::error::{Result, What};
use crate::registry::access::can_set_quota;
use crate::registry::packages::quotas::{self, Change};
use crate::web::format::{Bytes, Count};
use crate::web::forms::Protected;
use crate::web::page::{Frame, Reply, frame};
use crate::web::problems::Problems;
use askama::Template;
use serde::Deserialize;

/// The form as typed.
#[derive(Debug, Clone, Deserialize, Default)]
pub struct Typed {
    #[serde(default)]
    versions: String,
    #[serde(default)]
    bytes: String,
    #[serde(default)]
    file_bytes: String,
}

#[derive(Template)]
#[template(path = "admin_quota.html")]
struct QuotaPage {
    frame: Frame,
    owner: OwnerName,
    kind: OwnerKind,
    /// The instance's defaults, for owners without a custom limit.
    instance: [String; 3],
    used_versions: Count,
    used_bytes: Bytes,
    /// How much of each limit is used.
    meters: Vec<(&'static str, i64, i64)>,
    typed: Typed,
    problems: Problems,
}

impl QuotaPage {
    /// The list that has the owner.
    fn list_url(&self) -> &'static str {
        match self.kind {
            OwnerKind::User => "/-/admin/users",
            OwnerKind::Organization => "/-/admin/orgs",
        }
    }

    fn owner_url(&self) -> String {
        match self.kind {
            OwnerKind::User => address::admin_user(&self.owner),
            OwnerKind::Organization => address::owner_page(&self.owner),
        }
    }

    fn url(&self) -> String {
        url(self.kind, &self.owner)
    }
}

/// The address of this page.
fn url(kind: OwnerKind, name: &OwnerName) -> String {
    match kind {
        OwnerKind::User => address::admin_user_action(name, UserAction::Quota),
        OwnerKind::Organization => address::admin_org_quota(name),
    }
}

/// The owner in the path.
async fn named(call: &Call, kind: OwnerKind) -> Result<OwnerName> {
    let part = if kind == OwnerKind::User { "user" } else { "org" };
    let name = call.part(part, What::from(kind)).await?;
    call.about(&name);
    Ok(name)
}

/// A limit as typed in the form; empty means the default.
fn typed(own: Option<i64>) -> String {
    match own {
        None => String::new(),
        Some(-1) => "none".to_owned(),
        Some(number) => number.to_string(),
    }
}

async fn quota_page(call: &Call, kind: OwnerKind, kept: Option<Typed>, problems: Problems) -> Result<QuotaPage> {
    let name = named(call, kind).await?;
    let (frame, (owner, own, used)) = frame(call, move |conn, caller| {
        let right = can_set_quota(conn, caller, &name, kind)?;
        let owner = right.owner();
        Ok((owner.name.clone(), quotas::own(conn, owner.id)?, quotas::usage(conn, owner.id)?))
    })
    .await?;
    let instance: Quota = call.app.upload_limits().quota;
    let holds = own.or(instance);
    let OwnQuota { versions, bytes, file_bytes } = own;
    let shown = |limit: Option<i64>, show: fn(i64) -> String| limit.map_or_else(|| "unlimited".to_owned(), show);
    let size = |number: i64| Bytes(number).to_string();
    let meters = [("Versions", used.versions, holds.versions), ("Storage", used.bytes, holds.bytes)];
    Ok(QuotaPage {
        frame,
        owner,
        kind,
        instance: [
            shown(instance.versions, |number| Count(number).to_string()),
            shown(instance.bytes, size),
            shown(instance.file_bytes, size),
        ],
        used_versions: Count(used.versions),
        used_bytes: Bytes(used.bytes),
        meters: meters.into_iter().filter_map(|(label, used, limit)| Some((label, used, limit?))).collect(),
        typed: kept.unwrap_or_else(|| Typed {
            versions: typed(versions),
            bytes: typed(bytes),
            file_bytes: typed(file_bytes),
        }),
        problems,
    })
}

/// `GET /-/admin/users/{user}/quota`.
pub async fn of_user(call: Call) -> Result<Reply> {
    Reply::page(&quota_page(&call, OwnerKind::User, None, Problems::default()).await?)
}

/// `GET /-/admin/orgs/{org}/quota`.
pub async fn of_org(call: Call) -> Result<Reply> {
    Reply::page(&quota_page(&call, OwnerKind::Organization, None, Problems::default()).await?)
}

/// `POST /-/admin/users/{user}/quota`.
pub async fn set_for_user(call: Call, form: Protected<Typed>) -> Result<Reply> {
    set(call, form, OwnerKind::User).await
}

/// `POST /-/admin/orgs/{org}/quota`.
pub async fn set_for_org(call: Call, form: Protected<Typed>) -> Result<Reply> {
    set(call, form, OwnerKind::Organization).await
}

async fn set(call: Call, form: Protected<Typed>, kind: OwnerKind) -> Result<Reply> {
    let typed = form.read(&call).await?;
    let problems = match parsed(&typed) {
        Ok(limits) => match change(&call, limits, kind).await {
            Ok(name) => {
                return Ok(Reply::to(&url(kind, &name)).notice(&call.app, &format!("Quota of {name} saved.")));
            }
            Err(error) => Problems::of(error, "versions")?,
        },
        Err(problems) => problems,
    };
    let page = quota_page(&call, kind, Some(typed), problems).await?;
    page.problems.reply(&page)
}

/// The limits in the form, or the problem of each field.
fn parsed(typed: &Typed) -> Result<Change, Problems> {
    let mut problems = Problems::default();
    let versions = problems.take("versions", limit(&typed.versions).ok_or(WRONG_COUNT));
    let bytes = problems.take("bytes", limit(&typed.bytes).ok_or(WRONG_SIZE));
    let file_bytes = problems.take("file_bytes", limit(&typed.file_bytes).ok_or(WRONG_SIZE));
    if problems.is_empty() { Ok(Change { versions, bytes, file_bytes }) } else { Err(problems) }
}

async fn change(call: &Call, change: Change, kind: OwnerKind) -> Result<OwnerName> {
    let (name, now) = (named(call, kind).await?, call.app.clock.now());
    let asked = name.clone();
    call.writing(move |conn, caller| {
        let right = can_set_quota(conn, caller, &asked, kind)?;
        quotas::set(conn, caller, &right, change, now).map(drop)
    })
    .await?;
    Ok(name)
}

const WRONG_COUNT: &str = "enter a whole number such as 5000, or the word none for unlimited, or leave the field empty \
                           for the default";
const WRONG_SIZE: &str = "enter a size such as 10 GiB, or the word none for unlimited, or leave the field empty for \
                          the default";

/// Parses a limit: empty (the inner `None`), `none`, `5000` or `10 GiB`.
fn limit(text: &str) -> Option<Option<Limit>> {
    let text = text.trim().to_lowercase();
    let number = match text.as_str() {
        "" => return Some(None),
        "none" | "-1" => -1,
        other => size(other)?,
    };
    Limit::try_from(number).ok().map(Some)
}

/// Parses a number with an optional unit.
fn size(text: &str) -> Option<i64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let factor: i64 = match unit.trim() {
        "" | "b" => 1,
        "k" | "kib" | "kb" => 1 << 10,
        "m" | "mib" | "mb" => 1 << 20,
        "g" | "gib" | "gb" => 1 << 30,
        "t" | "tib" | "tb" => 1 << 40,
        _ => return None,
    };
    digits.parse::<i64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quota_limits_are_parsed_as_people_type_them() {
        let read = |text: &str| limit(text).map(|limit| limit.map(Limit::number));
        for (text, number) in
            [("", None), (" none ", Some(-1)), ("0", Some(0)), ("10 GiB", Some(10 << 30)), ("5k", Some(5 << 10))]
        {
            assert_eq!(read(text), Some(number), "{text:?}");
        }
        for wrong in ["-5", "many", "1.5 GiB", "10 parsecs", "99999999999999 TiB"] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }
}
