//! What the retention rules would delete now: every version with keep or delete, and why.

use super::super::format::{Bytes, Count};
use super::super::list::{Choice, Pager, choices, slice};
use super::super::owner::Owner;
use super::super::page::{Frame, Reply, frame};
use super::rule_preview::PreviewTable;
use super::{org_of, right};
use crate::auth::call::Call;
use crate::db::Connection;
use crate::domain::address::RetentionPages;
use crate::domain::retention::RetentionRule;
use crate::error::Result;
use crate::http::paging::param;
use crate::registry::caller::Caller;
use crate::registry::packages::retention::preview::{self, Preview};
use crate::registry::packages::retention::rules;
use askama::Template;

#[derive(Template)]
#[template(path = "retention_preview.html")]
struct PreviewPage {
    frame: Frame,
    owner: Option<Owner>,
    urls: RetentionPages,
    fates: Vec<Choice>,
    sets: Vec<Choice>,
    deleted: Count,
    kept: Count,
    free: Bytes,
    table: PreviewTable,
    pager: Pager,
}

/// `GET /user/settings/retention/preview` and `GET /org/{org}/settings/retention/preview`.
pub async fn show(call: Call) -> Result<Reply> {
    let org = org_of(&call).await?;
    let (urls, now, wanted) = (RetentionPages::of(org.as_ref()), call.app.clock.now(), slice(&call.req));
    let all_rules = param(&call.req, "rules") == Some("all");
    let only = match param(&call.req, "only") {
        Some("delete") => Some(true),
        Some("keep") => Some(false),
        _ => None,
    };
    let load = move |conn: &mut Connection, caller: &Caller| {
        let (right, owner) = right(conn, caller, org.as_ref())?;
        let name = right.owner().name.clone();
        let mut rules: Vec<RetentionRule> =
            rules::list(conn, &right.to_see())?.into_iter().map(|stored| stored.rule).collect();
        rules.iter_mut().for_each(|rule| rule.enabled |= all_rules);
        Ok((owner, name, preview::preview(conn, &right.to_see(), Some(&rules), now)?))
    };
    let (frame, (owner, name, preview)) = frame(&call, load).await?;
    let Preview { mut lines, kept, deleted, free_bytes, .. } = preview;
    lines.retain(|line| only.is_none_or(|deletes| line.decision.deletes == deletes));
    let pager = Pager::new(&call.req, i64::try_from(lines.len()).unwrap_or(i64::MAX));
    let fates = choices(&call.req, "only", &[("", "All"), ("delete", "Delete"), ("keep", "Keep")]);
    let sets = choices(&call.req, "rules", &[("", "Enabled rules"), ("all", "All rules")]);
    Reply::page(&PreviewPage {
        frame,
        owner,
        urls,
        fates,
        sets,
        deleted: Count(deleted),
        kept: Count(kept),
        free: Bytes(free_bytes),
        table: PreviewTable::new(name, wanted.cut(lines), now),
        pager,
    })
}
