//! The home page: the user's packages and organizations, or, without a session, the public packages.

use super::commands;
use super::list::{self, Chain};
use super::owner;
use super::packages::PackageListRow;
use super::page::{Frame, Reply, frame};
use crate::auth::call::Call;
use crate::domain::address;
use crate::domain::role::{OwnerKind, Permission};
use crate::error::Result;
use crate::registry::access::can_search;
use crate::registry::packages::catalog::{self, Belonging};
use crate::registry::packages::search::Search;
use crate::registry::packages::search::packages as package_search;
use askama::Template;

/// How many packages the home page shows to visitors.
const ROWS: i64 = 12;

/// The home page of a signed-in user.
#[derive(Template)]
#[template(path = "home.html")]
struct HomePage {
    frame: Frame,
    owners: Vec<Own>,
    rows: Vec<PackageListRow>,
    chain: Chain,
    /// The command that publishes a first file.
    first: String,
}

/// The home page of visitors without a session.
#[derive(Template)]
#[template(path = "welcome.html")]
struct WelcomePage {
    frame: Frame,
    rows: Vec<PackageListRow>,
}

/// The user, or an organization the user belongs to.
struct Own(Belonging);

impl Own {
    fn is_org(&self) -> bool {
        self.0.kind == OwnerKind::Organization
    }

    fn can_publish(&self) -> bool {
        self.0.permission >= Permission::Write
    }

    fn url(&self) -> String {
        owner::url(&self.0.name)
    }

    fn upload_url(&self) -> String {
        address::upload_page(&self.0.name, None)
    }

    fn initial(&self) -> String {
        owner::initial(&self.0.name)
    }

    fn tint(&self) -> u32 {
        owner::tint(&self.0.name)
    }
}

/// `GET /`.
pub async fn home(call: Call) -> Result<Reply> {
    let slice = list::slice(&call.req);
    let (frame, (owners, (own, has_more), all)) = frame(&call, move |conn, caller| {
        if caller.user().is_some() {
            let owners = catalog::belonging(conn, caller)?;
            let own = catalog::recent(conn, caller, &owners, slice)?;
            return Ok((owners, own, Vec::new()));
        }
        let newest = Search { limit: ROWS, ..Search::default() };
        Ok((Vec::new(), (Vec::new(), false), package_search::search(conn, &can_search(caller)?, &newest)?.hits))
    })
    .await?;
    let now = call.app.clock.now();
    let Some(user) = &frame.user else {
        let rows = all.into_iter().map(|hit| PackageListRow::new(hit.owner.name, hit.entry, None, now)).collect();
        return Reply::page(&WelcomePage { frame, rows });
    };
    let name = |id| owners.iter().find(|owner| owner.id == id).map(|owner| owner.name.clone());
    let row = |entry: catalog::Entry| name(entry.owner).map(|owner| PackageListRow::new(owner, entry, None, now));
    let rows = own.into_iter().filter_map(row).collect();
    let first = commands::first(&frame.root, &user.name);
    let page = slice.offset / slice.limit.max(1) + 1;
    let chain =
        Chain { first: (page > 1).then(|| "/".to_owned()), next: has_more.then(|| format!("/?page={}", page + 1)) };
    Reply::page(&HomePage { owners: owners.into_iter().map(Own).collect(), frame, rows, chain, first })
}
