//! Atom feeds of published versions, for feed readers. They take a token for feeds alone in their address, because most
//! readers can send nothing else.

mod atom;

use self::atom::{Entry, Feed};
use super::markdown;
use super::owner;
use super::packages;
use super::page::{Reply, site_root};
use super::version;
use crate::auth::call::Call;
use crate::blocking::spawn_blocking;
use crate::domain::address;
use crate::domain::digest::to_hex;
use crate::domain::text::visible;
use crate::error::{Error, Result};
use crate::http::conditional::has_tag;
use crate::http::paging::{Paging, param, params};
use crate::registry::access::{can_read, can_search};
use crate::registry::packages::feeds::{self, Item};
use crate::registry::packages::search::{Needle, Search};
use actix_web::HttpResponse;
use actix_web::http::header;
use sha2::{Digest, Sha256};

/// The most bytes of a version's notes in a feed; the page has the rest.
const LONGEST: usize = 32 << 10;

/// `GET /{owner}/-/packages.atom`.
pub async fn of_owner(call: Call) -> Result<Reply> {
    let name = owner::named(&call)?;
    let (name, items) = call
        .reading(move |conn, caller| {
            let right = can_read(conn, caller, &name, None)?;
            Ok((right.owner().name.clone(), feeds::of_owner(conn, &right)?))
        })
        .await?;
    let title = format!("Packages of {name}");
    send(&call, title, address::owner_packages(&name), items).await
}

/// `GET /{owner}/-/packages/generic/{name}/versions.atom`; also the page of a version with this name.
pub async fn of_package(call: Call) -> Result<Reply> {
    if param(&call.req, address::ITSELF).is_some() {
        return version::page(call).await;
    }
    let path = packages::named(&call).await?;
    let (owner, (package, items)) = call
        .reading(move |conn, caller| {
            let right = can_read(conn, caller, &path.owner, Some(&path.package))?;
            Ok((right.owner().name.clone(), feeds::of_package(conn, &right, &path.package)?))
        })
        .await?;
    let title = format!("Versions of {owner}/{package}");
    send(&call, title, address::versions_page(&owner, &package), items).await
}

/// `GET /explore/packages.atom`: all published versions that the reader may see, or those that match `q`.
pub async fn of_search(call: Call) -> Result<Reply> {
    let q = params(&call.req, "q").next().unwrap_or_default();
    let text: Option<Needle> = match q.trim() {
        "" => None,
        text => Some(text.parse()?),
    };
    let (title, page) = match &text {
        None => ("Packages".to_owned(), "/explore/packages".to_owned()),
        Some(_) => {
            let q = q.trim();
            (format!("Packages matching {q}"), format!("/explore/packages?q={}", crate::domain::path::escape(q)))
        }
    };
    let search = Search { text, by_words: true, ..Search::default() };
    let items = call
        .reading(move |conn, caller| {
            let right = can_search(caller)?;
            feeds::of_search(conn, &right, search.clone())
        })
        .await?;
    send(&call, title, page, items).await
}

/// Sends a feed. The tag depends on what is rendered, not on the result, so that an unchanged feed costs no rendering.
async fn send(call: &Call, title: String, page: String, items: Vec<Item>) -> Result<Reply> {
    let root = site_root(&call.req, &call.app);
    let own_url = format!("{root}{}", Paging::rest(&call.req));
    let mut hasher = Sha256::new();
    let mut add = |text: &str| {
        hasher.update((text.len() as u64).to_be_bytes());
        hasher.update(text);
    };
    [env!("CARGO_PKG_VERSION"), &title, &own_url].into_iter().for_each(&mut add);
    for item in &items {
        let creator = item.creator.as_ref().map_or("", |name| name.as_str());
        let names = [item.owner.as_str(), item.package.as_str(), item.version.as_str(), &item.notes, creator];
        names.into_iter().for_each(&mut add);
        add(&item.id.to_string());
        add(&item.published_at.to_string());
    }
    let etag = format!("\"{}\"", to_hex(&hasher.finalize()));
    let mut head = HttpResponse::Ok();
    head.insert_header((header::ETAG, etag.as_str()))
        .insert_header((header::CACHE_CONTROL, "private, no-cache"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"));
    if has_tag(call.req.headers(), &etag) {
        return Ok(Reply::raw(head.status(actix_web::http::StatusCode::NOT_MODIFIED).finish()));
    }
    let store = call.app.store.id().to_string();
    let updated = items.iter().map(|item| item.published_at).max();
    let feed = move || {
        let feed = Feed {
            id: urn(&store, &own_url),
            title,
            page_url: format!("{root}{page}"),
            updated: updated.map_or_else(|| "1970-01-01T00:00:00Z".to_owned(), |at| at.to_string()),
            entries: items.into_iter().map(|item| entry(&store, &root, item)).collect(),
            own_url,
        };
        atom::write(&feed)
    };
    let xml = spawn_blocking(feed).await.map_err(Error::internal)?.map_err(Error::internal)?;
    let xml = String::from_utf8(xml).map_err(Error::internal)?;
    // XML allows most control characters nowhere.
    Ok(Reply::raw(head.content_type("application/atom+xml; charset=utf-8").body(visible(&xml).into_owned())))
}

fn entry(store: &str, root: &str, item: Item) -> Entry {
    let page = format!("{root}{}", address::version_page(&item.owner, &item.package, &item.version));
    let cut = item.notes.floor_char_boundary(LONGEST);
    let (notes, rest) = item.notes.split_at_checked(cut).unwrap_or((&item.notes, ""));
    let mut content = markdown::render_readme(notes, |_, _| None).to_string();
    if !rest.is_empty() {
        content.push_str("<p>…</p>");
    }
    Entry {
        id: urn(store, &format!("version {}", item.id)),
        title: format!("{} {}", item.package, item.version),
        url: page,
        published: item.published_at.to_string(),
        author: item.creator.map_or_else(|| item.owner.to_string(), |name| name.to_string()),
        content,
    }
}

/// A name that nothing else in the world has, and that stays when the site or an owner is renamed: it is made of the id
/// of the store.
fn urn(store: &str, what: &str) -> String {
    let digest = Sha256::new().chain_update(store).chain_update([0]).chain_update(what).finalize();
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(digest.iter()).for_each(|(to, from)| *to = *from);
    format!("urn:uuid:{}", uuid::Builder::from_custom_bytes(bytes).into_uuid())
}
