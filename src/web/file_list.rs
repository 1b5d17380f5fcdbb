//! The list of a version's files: each with the checksums, signatures and parts lists that belong to it, in the order that
//! the reader wants, and with headings where files have directories.

use super::download_choice::Offer;
use super::format::{Bytes, Count, When};
use crate::db::Connection;
use crate::domain::address;
use crate::domain::companion::{self, Companion};
use crate::domain::digest::OtherDigests;
use crate::domain::ids::{FileId, VersionId};
use crate::domain::names::FileName;
use crate::domain::path::VersionPath;
use crate::error::{Error, Result, What};
use crate::jobs::digests;
use crate::registry::access::CanRead;
use crate::registry::owners::person::Person;
use crate::registry::packages::files::{self, FileOrder, FileSummary};
use crate::registry::packages::outline::{self, OutlinedFile};
use crate::registry::pages::Slice;
use crate::state::App;
use std::cmp::Reverse;
use std::collections::HashMap;

/// How many files a page lists.
pub const ROWS: i64 = 100;
/// The most rows that show all digests. In a longer list, they are one click away: a page must stay small, and some
/// digests may have to be computed.
const ROWS_WITH_DIGESTS: usize = 20;

/// A file that belongs to another.
struct Attached {
    what: Companion,
    id: FileId,
    name: FileName,
    size: i64,
}

/// A file with those that belong to it.
struct ListedFile {
    file: FileSummary,
    attached: Vec<Attached>,
}

/// What the reader wants to see of the files.
pub struct Wanted<'a> {
    /// A part of the name.
    pub part: &'a str,
    pub order: FileOrder,
    pub slice: Slice,
}

/// A page of a version's files.
pub struct FileList {
    rows: Vec<ListedFile>,
    /// How many rows there are on all pages.
    pub total: i64,
    /// Whether the rows are in the order of their directories.
    is_tree: bool,
    /// The files to choose from, in the order of their names; no checksums and the like.
    pub offers: Vec<Offer>,
}

impl FileList {
    /// Reads a page of the files of a version that has so many.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the version was deleted in the meantime.
    pub fn read(
        conn: &mut Connection,
        right: &CanRead,
        (path, version): (&VersionPath, VersionId),
        all: i64,
        wanted: &Wanted<'_>,
    ) -> Result<Self> {
        if all > outline::MOST {
            let page = files::browse(conn, right, path, wanted.part, wanted.order, wanted.slice)?;
            let offers = page.items.iter().map(|file| Offer::new(path, file.id, &file.name, file.blob.size)).collect();
            let rows = page.items.into_iter().map(|file| ListedFile { file, attached: Vec::new() }).collect();
            return Ok(Self { rows, total: page.total, is_tree: false, offers });
        }
        let outline = outline::of_version(conn, version)?;
        if outline.is_empty() {
            return Err(Error::NotFound(What::Version));
        }
        let arranged = Arranged::new(&outline, wanted.part, wanted.order);
        let offers = arranged.places.iter().filter_map(|place| outline.get(*place));
        let mut offers: Vec<Offer> = offers
            .map(|file| Offer::new(path, file.id, &file.name, u64::try_from(file.size).unwrap_or_default()))
            .collect();
        offers.sort_by_cached_key(|offer| offer.name.lower());
        let (start, length) = (size(wanted.slice.offset), size(wanted.slice.limit));
        let shown: Vec<usize> = arranged.places.iter().skip(start).take(length).copied().collect();
        let ids: Vec<FileId> = shown.iter().filter_map(|place| outline.get(*place)).map(|file| file.id).collect();
        let attached = |id: FileId| {
            let of = outline.iter().position(|file| file.id == id).and_then(|place| arranged.attached.get(&place));
            of.into_iter().flatten().filter_map(|(what, place)| {
                let file = outline.get(*place)?;
                Some(Attached { what: *what, id: file.id, name: file.name.clone(), size: file.size })
            })
        };
        let rows = files::load(conn, &ids)?.into_iter();
        let rows = rows.map(|file| ListedFile { attached: attached(file.id).collect(), file }).collect();
        Ok(Self {
            rows,
            total: i64::try_from(arranged.places.len()).unwrap_or(i64::MAX),
            is_tree: arranged.is_tree,
            offers,
        })
    }

    /// The files of the page.
    pub fn files(&self) -> impl Iterator<Item = &FileSummary> {
        self.rows.iter().map(|row| &row.file)
    }

    /// The rows to show, with the digests that are not stored yet if the list is short.
    ///
    /// # Errors
    /// As [`digests::of_blob`].
    pub async fn rows(self, app: &App, path: &VersionPath, people: &[Person]) -> Result<Vec<FileRow>> {
        let has_digests = self.rows.len() <= ROWS_WITH_DIGESTS;
        let mut rows: Vec<FileRow> = Vec::new();
        let mut directory = String::new();
        for ListedFile { file, attached } in self.rows {
            let other = match has_digests {
                true => Some(digests::of_blob(&app.db, &app.store, &app.digesting, &file.blob).await?),
                false => None,
            };
            let mut row = FileRow::new(app, path, people, file, other);
            row.attached = attached.iter().map(|file| AttachedRow::new(path, file)).collect();
            if self.is_tree && row.directory != directory {
                directory.clone_from(&row.directory);
                row.heading = true;
            }
            rows.push(row);
        }
        Ok(rows)
    }
}

fn size(number: i64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// The places of the files to list, in order, and of those that belong to them.
struct Arranged {
    places: Vec<usize>,
    attached: HashMap<usize, Vec<(Companion, usize)>>,
    is_tree: bool,
}

impl Arranged {
    fn new(outline: &[OutlinedFile], part: &str, order: FileOrder) -> Self {
        let lower: Vec<String> = outline.iter().map(|file| file.name.lower()).collect();
        let about = companion::attach(&lower);
        let mut attached: HashMap<usize, Vec<(Companion, usize)>> = HashMap::new();
        for (place, of) in about.iter().enumerate() {
            if let Some((of, what)) = of {
                attached.entry(*of).or_default().push((*what, place));
            }
        }
        let part = part.to_lowercase();
        let fits = |place: usize| lower.get(place).is_some_and(|name| name.contains(&part));
        let fits_with = |place: &usize| {
            fits(*place) || attached.get(place).is_some_and(|all| all.iter().any(|(_, place)| fits(*place)))
        };
        let stands = about.iter().enumerate().filter(|(_, of)| of.is_none()).map(|(place, _)| place);
        let mut places: Vec<usize> = stands.filter(fits_with).collect();
        let is_tree = order == FileOrder::Name && part.is_empty() && lower.iter().any(|name| name.contains('/'));
        let key = |place: &usize| outline.get(*place);
        match order {
            // Directories come first, as in a file manager.
            FileOrder::Name if is_tree => places.sort_by_cached_key(|place| {
                let name = lower.get(*place).map_or("", String::as_str);
                let (directory, last) = name.rsplit_once('/').unwrap_or(("", name));
                (directory.is_empty(), directory.to_owned(), last.to_owned())
            }),
            FileOrder::Name => {}
            FileOrder::Size => places.sort_by_key(|place| key(place).map(|file| (Reverse(file.size), file.id))),
            FileOrder::Newest => places.sort_by_key(|place| key(place).map(|file| (Reverse(file.created_at), file.id))),
            FileOrder::Downloads => {
                places.sort_by_key(|place| key(place).map(|file| (Reverse(file.downloads), file.id)));
            }
        }
        Self { places, attached, is_tree }
    }
}

/// A file that belongs to the file of a row.
pub struct AttachedRow {
    pub label: &'static str,
    pub name: String,
    pub url: String,
    pub size: Bytes,
}

impl AttachedRow {
    fn new(path: &VersionPath, file: &Attached) -> Self {
        Self {
            label: file.what.label(),
            name: file.name.last_segment().to_owned(),
            url: address::file_download(&path.owner, &path.package, &path.version, file.id, &file.name),
            size: Bytes(file.size),
        }
    }
}

/// A row in the list of files.
pub struct FileRow {
    pub id: FileId,
    /// The directory that the file is in, with a slash at its end, or nothing.
    pub directory: String,
    /// The name in the directory.
    pub name: String,
    /// Whether the name of the directory is shown above the row.
    pub heading: bool,
    pub url: String,
    /// The page that shows the commands for this file.
    pub commands_url: String,
    pub size: Bytes,
    pub exact_size: Count,
    pub sha256: String,
    /// The start of the SHA-256, enough to tell files apart.
    pub short: String,
    /// The other digests, in a short list.
    pub other: Option<OtherDigests>,
    pub downloads: Count,
    pub published: When,
    pub publisher: Option<Person>,
    pub attached: Vec<AttachedRow>,
}

impl FileRow {
    fn new(app: &App, path: &VersionPath, people: &[Person], file: FileSummary, other: Option<OtherDigests>) -> Self {
        let here = address::version_page(&path.owner, &path.package, &path.version);
        let join = if here.contains('?') { '&' } else { '?' };
        let size = i64::try_from(file.blob.size).unwrap_or(i64::MAX);
        let name = file.name.last_segment().to_owned();
        let sha256 = file.blob.sha256.to_hex();
        Self {
            url: address::file_download(&path.owner, &path.package, &path.version, file.id, &file.name),
            commands_url: format!("{here}{join}file={}#get", file.id),
            id: file.id,
            directory: file.name.as_str().strip_suffix(&name).unwrap_or_default().to_owned(),
            name,
            heading: false,
            size: Bytes(size),
            exact_size: Count(size),
            short: sha256.chars().take(12).collect(),
            sha256,
            other,
            downloads: Count(file.downloads),
            published: When { at: file.created_at, now: app.clock.now() },
            publisher: file.creator.and_then(|id| people.iter().find(|person| person.id == id).cloned()),
            attached: Vec::new(),
        }
    }

    /// The name with its directory.
    pub fn full_name(&self) -> String {
        format!("{}{}", self.directory, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::Timestamp;

    fn outline(names: &[&str]) -> Vec<OutlinedFile> {
        let file = |(id, name): (i64, &&str)| OutlinedFile {
            id: FileId(id),
            name: name.parse().unwrap(),
            size: id,
            downloads: 0,
            created_at: Timestamp::from_unix(id),
        };
        (0..).zip(names).map(file).collect()
    }

    fn arranged(names: &[&str], part: &str, order: FileOrder) -> Vec<String> {
        let files = outline(names);
        Arranged::new(&files, part, order).places.iter().map(|place| files[*place].name.to_string()).collect()
    }

    #[test]
    fn checksums_are_no_rows_and_are_found_with_their_file() {
        let names = ["a.zip", "a.zip.sha256", "b.zip"];
        assert_eq!(arranged(&names, "", FileOrder::Name), ["a.zip", "b.zip"]);
        assert_eq!(arranged(&names, "SHA256", FileOrder::Name), ["a.zip"]);
        assert_eq!(arranged(&names, "", FileOrder::Size), ["b.zip", "a.zip"]);
    }

    #[test]
    fn directories_come_before_the_files_beside_them() {
        let names = ["README.md", "a-b/x", "a/b/y", "a/z", "a/b/x"];
        assert_eq!(arranged(&names, "", FileOrder::Name), ["a/z", "a-b/x", "a/b/x", "a/b/y", "README.md"]);
        assert_eq!(arranged(&names, "x", FileOrder::Newest), ["a/b/x", "a-b/x"]);
    }
}
