//! All organizations and all packages, with their size.

use crate::auth::call::Call;
use crate::domain::role::OwnerKind;
use crate::error::Result;
use crate::registry::operations::stats::{self, OwnerOrder, OwnerRow, PackageOrder, PackageRow};
use crate::web::format::{Bytes, Count, When};
use crate::web::list::{Pager, query, slice};
use crate::web::page::{Frame, Reply, frame};
use askama::Template;
use serde::Deserialize;

/// The query of both lists.
#[derive(Deserialize, Default)]
pub struct OwnerListQuery {
    #[serde(default)]
    q: String,
    #[serde(default)]
    sort: String,
}

struct Org {
    row: OwnerRow,
    packages: Count,
    versions: Count,
    bytes: Bytes,
    members: Count,
}

#[derive(Template)]
#[template(path = "admin_orgs.html")]
struct OrgsPage {
    frame: Frame,
    q: String,
    sort: OwnerOrder,
    orgs: Vec<Org>,
    pager: Pager,
}

/// `GET /-/admin/orgs`.
pub async fn orgs(call: Call) -> Result<Reply> {
    let asked: OwnerListQuery = query(&call.req);
    let sort = match asked.sort.as_str() {
        "size" => OwnerOrder::Size,
        _ => OwnerOrder::Name,
    };
    let (part, slice) = (asked.q.trim().to_owned(), slice(&call.req));
    let (frame, page) =
        frame(&call, move |conn, caller| stats::owners(conn, caller, (OwnerKind::Organization, &part, sort), slice))
            .await?;
    let shown = |row: OwnerRow| Org {
        packages: Count(row.packages),
        versions: Count(row.versions),
        bytes: Bytes(row.bytes),
        members: Count(row.members),
        row,
    };
    let pager = Pager::new(&call.req, page.total);
    Reply::page(&OrgsPage { frame, q: asked.q, sort, orgs: page.items.into_iter().map(shown).collect(), pager })
}

struct Package {
    row: PackageRow,
    created: When,
    versions: Count,
    files: Count,
    bytes: Bytes,
    downloads: Count,
}

#[derive(Template)]
#[template(path = "admin_packages.html")]
struct PackagesPage {
    frame: Frame,
    q: String,
    sort: PackageOrder,
    packages: Vec<Package>,
    pager: Pager,
}

/// `GET /-/admin/packages`.
pub async fn packages(call: Call) -> Result<Reply> {
    let asked: OwnerListQuery = query(&call.req);
    let sort = match asked.sort.as_str() {
        "size" => PackageOrder::Size,
        "name" => PackageOrder::Name,
        _ => PackageOrder::Newest,
    };
    let (part, slice, now) = (asked.q.trim().to_owned(), slice(&call.req), call.app.clock.now());
    let (frame, page) = frame(&call, move |conn, caller| stats::packages(conn, caller, (&part, sort), slice)).await?;
    let shown = |row: PackageRow| Package {
        created: When { at: row.created_at, now },
        versions: Count(row.versions),
        files: Count(row.files),
        bytes: Bytes(row.bytes),
        downloads: Count(row.downloads),
        row,
    };
    let pager = Pager::new(&call.req, page.total);
    Reply::page(&PackagesPage { frame, q: asked.q, sort, packages: page.items.into_iter().map(shown).collect(), pager })
}
