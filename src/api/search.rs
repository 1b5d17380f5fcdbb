//! Search in all packages that the caller may read.

use super::endpoint::{Chained, Pages, Query};
use super::packages::PackageBody;
use super::users::PersonBody;
use crate::auth::call::Call;
use crate::error::{Error, Result};
use crate::registry::access::can_search;
use crate::registry::packages::search::{self, FoundVersions, Search};
use crate::registry::pages::Slice;
use serde::Deserialize;
use utoipa::IntoParams;

/// The query of [`search()`].
#[derive(Deserialize, IntoParams)]
pub struct SearchQuery {
    /// A part of the name of a package, a version or a file, ignoring case, or the full SHA-256, SHA-512, SHA-1 or MD5
    /// of a file. One or two characters are searched in package names only.
    #[serde(default)]
    #[param(pattern = r"^[^\x00-\x1f\x7f-\x9f]*$", max_length = 255)]
    q: String,
    /// Only packages of this owner.
    #[serde(default)]
    owner: String,
    /// Only versions with a file of this SHA-256.
    #[serde(default)]
    #[param(pattern = "^([0-9A-Fa-f]{64})?$")]
    sha256: String,
    /// `newest` (the default), `oldest` or `name`.
    #[serde(default)]
    #[param(pattern = "^(newest|oldest|name)?$")]
    sort: String,
    /// The place to continue from, taken from the `Link` header of the previous page. It takes precedence over `page`.
    #[serde(default)]
    #[param(pattern = r"^([0-9]{1,17}~[0-9]{1,18}~[^\x00-\x1f\x7f-\x9f]*)?$", max_length = 255)]
    after: String,
}

impl SearchQuery {
    /// `None` when nothing can match, because no owner can have that name.
    fn read(self, Slice { offset, limit }: Slice) -> Result<Option<Search>> {
        let given = |text: &str| (!text.trim().is_empty()).then(|| text.trim().to_owned());
        let sha256 = given(&self.sha256).map(|hex| hex.parse()).transpose();
        let search = Search {
            text: given(&self.q).map(|text| text.parse()).transpose()?,
            owner: None,
            sha256: sha256.map_err(|error| Error::invalid("sha256", format!("sha256: {error}")))?,
            by_words: false,
            sort: self.sort.parse()?,
            after: given(&self.after).map(|place| place.parse()).transpose()?,
            offset,
            limit,
            ..Search::default()
        };
        Ok(match given(&self.owner).map(|owner| owner.parse()) {
            None => Some(search),
            Some(Ok(owner)) => Some(Search { owner: Some(owner), ..search }),
            Some(Err(_)) => None,
        })
    }
}

/// `GET /packages/search`.
pub async fn search(call: Call, query: Query<SearchQuery>, pages: Pages) -> Result<Chained<PackageBody>> {
    let slice = pages.slice();
    let wanted = query.read().and_then(|wanted| wanted.read(slice));
    let found = call
        .reading(move |conn, caller| {
            let right = can_search(caller)?;
            match wanted.as_ref().map_err(Error::again)? {
                Some(wanted) => search::search(conn, &right, wanted),
                None => Ok(FoundVersions { hits: Vec::new(), total: 0, next: None }),
            }
        })
        .await?;
    let next = found.next.map(|place| place.to_string());
    Ok(pages.chain(found.hits, found.total, next, |hit| {
        PackageBody::new(&call.app, &PersonBody::new(&call.app, hit.owner), hit.release)
    }))
}
