//! All pages of the manual, embedded in the program, with their order and links.

use super::files::{DOCS, asset, files};
use super::front_matter::{self, FrontMatter};
use super::image;
use super::render::{Picture, Places, Section, render};
use crate::web::assets;
use include_dir::File;
use std::collections::HashMap;
use std::sync::OnceLock;

/// A page.
#[derive(Debug)]
pub struct ManualPage {
    /// The file below `docs/`.
    pub file: String,
    /// The address: the folder and the file's name, with a slash at the end.
    pub url: String,
    pub title: String,
    pub html: String,
    /// The headings of the second and third level.
    pub sections: Vec<Section>,
    aliases: Vec<String>,
    /// The name of the folder, or `None` at the top.
    folder: Option<String>,
    weight: i32,
}

impl ManualPage {
    /// Whether this is the index page of its folder.
    fn is_index(&self) -> bool {
        self.file == "index.md" || self.file.ends_with("/index.md")
    }
}

/// An entry of the table of contents, and the pages below it.
#[derive(Debug)]
pub struct Chapter {
    at: usize,
    below: Vec<usize>,
}

/// What an address leads to.
pub enum FoundPage<'a> {
    Page(&'a ManualPage),
    Alias(&'a ManualPage),
}

/// The manual.
#[derive(Debug)]
pub struct ManualPages {
    pages: Vec<ManualPage>,
    chapters: Vec<Chapter>,
    /// The pages in order.
    order: Vec<usize>,
    /// What each path leads to, without the slash at the end.
    paths: HashMap<String, (usize, bool)>,
    /// The problems of the files; a test checks that there are none.
    pub problems: Vec<String>,
}

/// Documents for developers have names in capitals, like the license files, and are not part of the manual.
fn is_page(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    name.strip_suffix(".md").is_some_and(|stem| stem.chars().any(char::is_lowercase))
}

/// The address of a file.
fn url_of(file: &str) -> String {
    let stem = file.strip_suffix(".md").unwrap_or(file);
    let stem = stem.strip_suffix("index").filter(|folder| folder.is_empty() || folder.ends_with('/')).unwrap_or(stem);
    format!("/docs/{}{}", stem.trim_end_matches('/'), if stem.is_empty() { "" } else { "/" })
}

/// Resolves the links and pictures of a file.
struct Around<'a> {
    folder: &'a str,
    /// The address of the page.
    url: &'a str,
}

impl Around<'_> {
    /// Resolves a relative path to one below `docs/`.
    fn resolve(&self, path: &str) -> Option<String> {
        let mut parts: Vec<&str> = self.folder.split('/').filter(|part| !part.is_empty()).collect();
        for part in path.split('/') {
            match part {
                "" | "." => {}
                ".." => drop(parts.pop()?),
                part => parts.push(part),
            }
        }
        Some(parts.join("/"))
    }
}

impl Places for Around<'_> {
    fn relative(&self, to: &str) -> String {
        let depth = self.url.matches('/').count().saturating_sub(1);
        format!("{}{}", "../".repeat(depth), to.trim_start_matches('/'))
    }

    fn link(&self, to: &str) -> Option<String> {
        let (path, anchor) = to.split_once('#').map_or((to, None), |(path, anchor)| (path, Some(anchor)));
        if path.is_empty() || path.starts_with('/') || path.contains(':') {
            return None;
        }
        let file = self.resolve(path)?;
        DOCS.get_file(&file).filter(|_| is_page(&file))?;
        Some(self.relative(&url_of(&file)) + &anchor.map(|anchor| format!("#{anchor}")).unwrap_or_default())
    }

    fn picture(&self, of: &str) -> Option<Picture> {
        let path = self.resolve(of)?;
        let file = DOCS.get_file(&path)?;
        let (stem, kind) = path.rsplit_once('.')?;
        let dark = format!("{stem}-dark.{kind}");
        Some(Picture {
            url: self.relative(&assets::url(&asset(&path))),
            dark: DOCS.get_file(&dark).map(|_| self.relative(&assets::url(&asset(&dark)))),
            size: image::size(file.contents()),
        })
    }
}

fn read(path: &str, file: &File<'_>) -> Result<ManualPage, String> {
    let text = file.contents_utf8().ok_or("the file is not UTF-8")?;
    let (FrontMatter { title, weight, aliases }, body) = front_matter::split(text)?;
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let url = url_of(path);
    let rendered = render(body, &Around { folder, url: &url });
    Ok(ManualPage {
        file: path.to_owned(),
        url,
        title,
        html: rendered.html,
        sections: rendered.sections,
        aliases,
        folder: path.split_once('/').map(|(top, _)| top.to_owned()),
        weight,
    })
}

impl ManualPages {
    /// The manual, built once.
    pub fn get() -> &'static Self {
        static BOOK: OnceLock<ManualPages> = OnceLock::new();
        BOOK.get_or_init(Self::open)
    }

    fn open() -> Self {
        let (mut pages, mut problems) = (Vec::new(), Vec::new());
        for (path, file) in files().into_iter().filter(|(path, _)| is_page(path)) {
            match read(path, file) {
                Ok(page) => pages.push(page),
                Err(problem) => problems.push(format!("docs/{path}: {problem}")),
            }
        }
        // Sort by weight, then by title; the index page of a folder comes first.
        pages.sort_by(|a, b| (a.weight, &a.title).cmp(&(b.weight, &b.title)));
        let mut chapters: Vec<Chapter> = Vec::new();
        let tops = pages.iter().enumerate().filter(|(_, page)| page.folder.is_none());
        let heads = pages.iter().enumerate().filter(|(_, page)| page.is_index() && page.file.split('/').count() == 2);
        let mut first: Vec<usize> = tops.chain(heads).map(|(at, _)| at).collect();
        first.sort_by_key(|at| (pages.get(*at).is_none_or(|page| page.file != "index.md"), *at));
        for at in first {
            let folder = pages.get(at).and_then(|page| page.folder.clone());
            let is_below = |(other, page): (usize, &ManualPage)| {
                (folder.is_some() && page.folder == folder && other != at).then_some(other)
            };
            chapters.push(Chapter { at, below: pages.iter().enumerate().filter_map(is_below).collect() });
        }
        let order: Vec<usize> =
            chapters.iter().flat_map(|chapter| [chapter.at].into_iter().chain(chapter.below.iter().copied())).collect();
        let lost = pages.iter().enumerate().filter(|(at, _)| !order.contains(at));
        problems.extend(lost.map(|(_, page)| format!("docs/{}: the folder has no index.md", page.file)));
        let mut manual = Self { pages, chapters, order, paths: HashMap::new(), problems };
        manual.name_pages();
        manual
    }

    /// Registers the pages under their addresses and aliases, which must be unique.
    fn name_pages(&mut self) {
        let own = self.pages.iter().enumerate().map(|(at, page)| (&page.url, at, false));
        let former = self.pages.iter().enumerate();
        let former = former.flat_map(|(at, page)| page.aliases.iter().map(move |alias| (alias, at, true)));
        for (url, at, alias) in own.chain(former) {
            if self.paths.insert(url.trim_end_matches('/').to_owned(), (at, alias)).is_some() {
                self.problems.push(format!("{url} is used twice"));
            }
        }
    }

    /// What a path leads to, with or without a slash at the end.
    pub fn find(&self, path: &str) -> Option<FoundPage<'_>> {
        let (at, alias) = self.paths.get(path.trim_end_matches('/'))?;
        let page = self.pages.get(*at)?;
        Some(if *alias { FoundPage::Alias(page) } else { FoundPage::Page(page) })
    }

    /// All pages in order.
    pub fn pages(&self) -> impl Iterator<Item = &ManualPage> {
        self.order.iter().filter_map(|at| self.pages.get(*at))
    }

    /// The table of contents.
    pub fn contents(&self) -> impl Iterator<Item = (&ManualPage, Vec<&ManualPage>)> {
        self.chapters.iter().filter_map(|chapter| {
            let below = chapter.below.iter().filter_map(|at| self.pages.get(*at)).collect();
            Some((self.pages.get(chapter.at)?, below))
        })
    }

    /// The index page of a page's folder, if it is another page.
    pub fn above(&self, page: &ManualPage) -> Option<&ManualPage> {
        let folder = page.folder.as_ref()?;
        let head = self.chapters.iter().filter_map(|chapter| self.pages.get(chapter.at));
        head.into_iter().find(|head| head.folder.as_ref() == Some(folder) && head.url != page.url)
    }

    /// The previous page.
    pub fn previous(&self, page: &ManualPage) -> Option<&ManualPage> {
        let mut pages = self.pages().take_while(|other| other.url != page.url);
        let mut last = None;
        for other in pages.by_ref() {
            last = Some(other);
        }
        last
    }

    /// The next page.
    pub fn next(&self, page: &ManualPage) -> Option<&ManualPage> {
        self.pages().skip_while(|other| other.url != page.url).nth(1)
    }
}

#[cfg(test)]
mod tests {
    use super::{is_page, url_of};

    #[test]
    fn the_address_of_a_manual_page_is_its_folder_and_name() {
        for (file, url) in [
            ("index.md", "/docs/"),
            ("usage/index.md", "/docs/usage/"),
            ("reindex.md", "/docs/reindex/"),
            ("usage/packages/generic.md", "/docs/usage/packages/generic/"),
        ] {
            assert_eq!(url_of(file), url);
        }
        assert!(is_page("usage/a.md") && !is_page("ARCHITECTURE.md") && !is_page("screenshots/a.webp"));
    }
}
