//! Downloads a file by a link of a page. It uses the browser's session, or the credentials that programs send: people
//! copy such links to `curl` and `wget`.

use super::download_choice;
use super::file_list::{FileList, Wanted};
use super::page::Reply;
use super::version;
use crate::archive::{self, Format};
use crate::auth::call::Call;
use crate::domain::address;
use crate::domain::ids::FileId;
use crate::domain::names::FileName;
use crate::domain::path::VersionPath;
use crate::error::{Error, Result, What};
use crate::http::paging::param;
use crate::http::segment::with_query;
use crate::registry::access::can_read;
use crate::registry::packages::files::{self, Downloadable, FileOrder, find_downloadable_by_id};
use crate::registry::packages::releases;
use crate::serve;

/// `GET /{owner}/-/packages/generic/{name}/{version}/files/{id}/{file}`, where `{file}` is the name without directories.
pub async fn file(call: Call) -> Result<Reply> {
    let (_, file) = find(&call).await?;
    let named: FileName = call.part("file", What::File).await?;
    if named.lower() != file.name.last_segment().to_lowercase() {
        return Err(Error::NotFound(What::File));
    }
    send(&call, file).await
}

/// `GET /{owner}/-/packages/generic/{name}/{version}/files/{id}`: leads to the address that ends in the file's name.
pub async fn by_id(call: Call) -> Result<Reply> {
    let (path, file) = find(&call).await?;
    // A file named like a page below this address has no other.
    let to = address::file_by_name(&path.owner, &path.package, &path.version, file.id, &file.name);
    let Some(to) = to else { return send(&call, file).await };
    Ok(Reply::moved(&with_query(to, &call.req)))
}

/// `GET /{owner}/-/packages/generic/{name}/{version}/archive.tar.gz`.
pub async fn tar_gz(call: Call) -> Result<Reply> {
    whole(call, Format::TarGz).await
}

/// `GET /{owner}/-/packages/generic/{name}/{version}/archive.zip`.
pub async fn zip(call: Call) -> Result<Reply> {
    whole(call, Format::Zip).await
}

/// All files of a version as one archive.
async fn whole(call: Call, format: Format) -> Result<Reply> {
    let path = version::named(&call).await?;
    let address = |version: &VersionPath| address::archive_link(version, format.ending());
    Ok(Reply::raw(archive::send(call, path, format, address).await?))
}

/// `GET /{owner}/-/packages/generic/{name}/{version}/download`: leads to the right file for the reader's computer, or to
/// the page of the version if none is right. The version may be `latest`.
pub async fn right_file(call: Call) -> Result<Reply> {
    let asked = version::named(&call).await?;
    let visitor = download_choice::visitor(call.req.headers());
    let to = call
        .reading(move |conn, caller| {
            let right = can_read(conn, caller, &asked.owner, Some(&asked.package))?;
            let (path, release) = match releases::find(conn, &right, &asked) {
                Err(Error::NotFound(_)) if asked.version.is_latest() => {
                    let latest = version::latest(conn, &right, &asked.package)?;
                    let release = releases::find(conn, &right, &latest)?;
                    (latest, release)
                }
                found => (asked.clone(), found?),
            };
            let all = files::count(conn, release.id)?;
            let wanted = Wanted { part: "", order: FileOrder::default(), slice: version::first(1) };
            let files = FileList::read(conn, &right, (&path, release.id), all, &wanted)?;
            let only = if files.offers.len() == 1 { files.offers.first() } else { None };
            let offer = download_choice::best(&files.offers, visitor).or(only);
            Ok(offer.map_or_else(|| version::url(&path), |offer| offer.url().to_owned()))
        })
        .await?;
    Ok(Reply::to(&to).varying(download_choice::VARIES))
}

async fn find(call: &Call) -> Result<(VersionPath, Downloadable)> {
    let path = version::named(call).await?;
    let id = FileId(call.part("id", What::File).await?);
    let asked = path.clone();
    let file = call.reading(move |conn, caller| find_downloadable_by_id(conn, caller, &asked, id)).await?;
    Ok((path, file))
}

async fn send(call: &Call, file: Downloadable) -> Result<Reply> {
    let id = file.id;
    let served = serve::send(call, &file, None, true).await?;
    // The images of a README load with the page and are not downloads.
    if served.counts && param(&call.req, "shown").is_none() {
        call.app.counters.download(id, call.app.clock.now());
    }
    Ok(Reply::raw(served.response))
}
